"""Pretrained weights by URL, by file, or a message that names both and the switch to train without."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from mmengine.config import Config
from mmengine.model import PretrainedInit
from mmengine.runner import CheckpointLoader
from mmpretrain.registry import MODELS

from mlic_mm.safe_load.pretrained import addresses_of, cached_path, pretrained_sources, resolve_pretrained

# Port 9 (discard) of this machine: refused at once, as on a machine without network.
DEAD = 'http://127.0.0.1:9/resnet_tiny.pth'


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch home'))
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    return tmp_path / 'torch home' / 'hub' / 'checkpoints'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine: its address and the folder it serves."""
    folder = tmp_path / 'served'
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}', folder
        httpd.shutdown()


def config(checkpoint: str, **more) -> Config:
    backbone = {'type': 'ResNet', 'depth': 18, 'init_cfg': {'type': 'Pretrained', 'checkpoint': checkpoint}}
    return Config({'model': {'type': 'ImageClassifier', 'backbone': backbone}, **more})


def test_offline_the_message_names_both_ways_and_the_switch(hub: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        resolve_pretrained(config(DEAD))
    message = str(caught.value)
    assert f'{DEAD}: ' in message
    assert str(hub / 'resnet_tiny.pth') in message
    assert '--cfg-options model.backbone.init_cfg.checkpoint=FILE' in message
    assert '--cfg-options model.backbone.init_cfg=None' in message
    assert '\n' not in message
    assert not list(hub.glob('*.pth*')), 'a failed download left a file behind'


def test_the_three_cures_of_the_message_work(hub: Path, tmp_path: Path) -> None:
    weights = tmp_path / 'my weights.pth'
    torch.save({'state_dict': {}}, weights)

    by_file = config(DEAD)
    by_file.merge_from_dict({'model.backbone.init_cfg.checkpoint': str(weights)})
    assert resolve_pretrained(by_file) == [weights]

    without = config(DEAD)
    without.merge_from_dict({'model.backbone.init_cfg': None})
    assert resolve_pretrained(without) == []
    MODELS.build(without.model.backbone).init_weights()

    hub.mkdir(parents=True, exist_ok=True)
    (hub / 'resnet_tiny.pth').write_bytes(weights.read_bytes())
    assert resolve_pretrained(config(DEAD)) == [hub / 'resnet_tiny.pth'] == [cached_path(DEAD)]
    assert CheckpointLoader.load_checkpoint(DEAD) == {'state_dict': {}}, 'mmengine must find the same file'


def test_a_url_is_fetched_once_and_checked(server: tuple[str, Path], hub: Path) -> None:
    address, folder = server
    content = b'weights'
    name = f'net-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    (folder / name).write_bytes(content)
    cfg = config(f'{address}/{name}')
    assert resolve_pretrained(cfg) == [hub / name]
    assert (hub / name).read_bytes() == content
    (folder / name).unlink()
    assert resolve_pretrained(cfg) == [hub / name]

    (hub / name).write_bytes(content[:3])
    with pytest.raises(ValueError, match=f'(?s){name}.*damaged.*fetch it again'):
        resolve_pretrained(cfg)


def test_weights_are_found_at_either_home(
    server: tuple[str, Path], hub: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """The config names the one that is gone; mmengine then finds the file under both addresses without asking."""
    address, folder = server
    homes = (urlsplit(DEAD).netloc, urlsplit(address).netloc)
    monkeypatch.setattr('mlic_mm.safe_load.pretrained.HOMES', homes)
    torch.save({'state_dict': {}}, folder / 'net.pth')
    name = f'net_8xb32-{hashlib.sha256((folder / "net.pth").read_bytes()).hexdigest()[:8]}.pth'
    (folder / 'v0').mkdir()
    (folder / 'net.pth').rename(folder / 'v0' / name)
    for home in homes:
        assert resolve_pretrained(config(f'http://{home}/v0/{name}')) == [hub / name]
        assert f'downloading {address}/v0/{name}' in capfd.readouterr().err
        if home == homes[0]:
            (hub / name).unlink()
    (folder / 'v0' / name).unlink()
    for home in ('download.openmmlab.com', 'mmassets.onedl.ai', *homes):
        assert CheckpointLoader.load_checkpoint(f'http://{home}/v0/{name}') == {'state_dict': {}}


def test_both_homes_are_named_where_neither_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mlic_mm.safe_load.pretrained.HOMES', ('127.0.0.1:9', 'localhost:9'))
    with pytest.raises(
        FileNotFoundError, match=r'http://127\.0\.0\.1:9/resnet.*; http://localhost:9/resnet.*put it at'
    ):
        resolve_pretrained(config(DEAD))


def test_homes() -> None:
    path = 'mmclassification/v0/vgg/vgg16_batch256_imagenet_20210208-db26f1a5.pth'
    old, new = f'https://download.openmmlab.com/{path}', f'https://mmassets.onedl.ai/{path}'
    assert addresses_of(old) == [old, new]
    assert addresses_of(new) == [new, old]
    assert addresses_of(DEAD) == [DEAD]


def test_a_missing_page_is_named(server: tuple[str, Path]) -> None:
    with pytest.raises(FileNotFoundError, match='404'):
        resolve_pretrained(config(f'{server[0]}/absent.pth'))


def test_a_missing_file_is_named_with_its_key(tmp_path: Path) -> None:
    absent = tmp_path / 'absent.pth'
    with pytest.raises(FileNotFoundError, match=r'(?s)absent\.pth.*load_from=FILE.*load_from=None'):
        resolve_pretrained(config(str(absent), model=None, load_from=str(absent)))


def test_every_place_of_a_config_is_looked_at() -> None:
    listed = {'model': {'head': {'init_cfg': [{'type': 'Normal'}, {'type': 'mmengine.Pretrained', 'checkpoint': 'a'}]}}}
    with pytest.raises(FileNotFoundError) as caught:
        resolve_pretrained(listed)
    assert 'model.head.init_cfg.1.checkpoint=FILE' in str(caught.value)
    assert 'model.head.init_cfg=None' in str(caught.value)


def test_other_ways_to_name_them() -> None:
    """The class in place of its name, as in pure-Python configs, and mmpretrain's short form."""
    nodes = {'backbone': {'init_cfg': {'type': PretrainedInit, 'checkpoint': 'a'}}, 'pretrained': 'b'}
    assert sorted(pretrained_sources({'model': nodes})) == ['a', 'b']
    with pytest.raises(FileNotFoundError, match=r'model\.pretrained=FILE.*model\.pretrained=None'):
        resolve_pretrained({'model': {'backbone': {}, 'pretrained': 'absent.pth'}})


def test_other_schemes_and_later_processes_are_left_to_mmengine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_pretrained(config('torchvision://resnet18')) == []
    assert resolve_pretrained({'model': {'init_cfg': None}}) == []
    monkeypatch.setenv('LOCAL_RANK', '1')
    assert resolve_pretrained(config(DEAD)) == []
