"""tools/cache_teacher.py: a run that is stopped goes on, shards are whole or not there, folders are kept."""

import resource
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from run_tool import call_tool
from tiny_run import ToolProcess
from tiny_teacher import CLASSES, save_weights, write_teacher

from mlic_mm.datasets import TeacherCache, teacher_fingerprint
from mlic_mm.datasets.teacher_cache.writer import TeacherShards
from mlic_mm.models.teachers.trained_classifier import build_classifier

pytestmark = pytest.mark.integration

SHARD = TeacherShards.size
IMAGES = 3 * SHARD + 8
CPU = ('--device', 'cpu', '--workers', '1')


@pytest.fixture(scope='module')
def teacher(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Config and checkpoint; do not change."""
    return write_teacher(tmp_path_factory.mktemp('with space'), images=IMAGES)


@pytest.mark.process
def test_stopped_by_ctrl_c_and_gone_on(
    teacher: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    config, checkpoint = teacher
    out = tmp_path / 'made' / 'cache'
    words = ('cache_teacher.py', config, checkpoint, '--out', out, *CPU)
    slow = ToolProcess(*words, '--batch-size', '1', cwd=tmp_path)
    while slow.process.is_alive() and not list(out.glob('0*')):
        slow.process.join(0.01)
    slow.signal_group(signal.SIGINT)
    assert slow.wait() == 130, slow.output
    assert 'interrupted: the same command goes on from here' in slow.output
    assert 'Traceback' not in slow.output
    done = sorted(out.glob('0*'))
    assert 1 <= len(done) < 4
    assert sorted(out.iterdir()) == [*done, out / 'index.json']
    with pytest.raises(FileNotFoundError, match='shards are missing'):
        TeacherCache(out)

    # A shard cut short is done again; one that is whole is not.
    cut = out / '000003.safetensors'
    cut.write_bytes(done[0].read_bytes()[:200])
    before = done[0].stat().st_mtime_ns
    output = start(capfd, *map(str, words[1:]), '--batch-size', '7')
    assert f'{SHARD * len(done)} of {IMAGES} images were done before' in output
    assert f'images [##############################] {IMAGES}/{IMAGES}' in output
    assert done[0].stat().st_mtime_ns == before
    cache = TeacherCache(out)
    cache.check()
    assert cache.ids == [f'{number:03}.png' for number in range(IMAGES)]
    assert cache.classes == CLASSES
    assert cache.fingerprint == teacher_fingerprint(config, checkpoint)
    assert cache.index['dataset'] == dict(type='CSVMultiLabel', split='train')
    size = sum(file.stat().st_size for file in out.iterdir())
    assert f'{IMAGES} images, {size / 2**20:.1f} MiB, {size / IMAGES:.0f} bytes per image' in output

    # The size of batches does not matter, and doing nothing is done at once.
    words = (str(config), str(checkpoint), '--device', 'cpu', '--workers', '0', '--out')
    assert 'were done before' in start(capfd, *words, str(out))
    start(capfd, *words, str(tmp_path / 'other'))
    for name in ('000.png', f'{IMAGES - 1:03}.png'):
        other = TeacherCache(tmp_path / 'other')[name]
        np.testing.assert_allclose(other.logits, cache[name].logits, rtol=1e-4, atol=1e-5)


def test_a_full_disk_keeps_what_is_finished(
    teacher: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Files may not grow beyond the size of a shard without maps: the index fits, a shard with maps does not."""
    out = tmp_path / 'cache'
    words = [*map(str, teacher), '--out', str(out), '--layers', 'backbone.layer1', '--device', 'cpu', '--workers', '0']
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(SystemExit, match=f'File too large after 0 of {IMAGES} images, which are kept') as error:
            call_tool('cache_teacher', *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert str(error.value).startswith(f'error: {out}')
    assert [file.name for file in out.iterdir()] == ['index.json']
    start(capfd, *words)
    assert TeacherCache(out)['000.png'].maps['backbone.layer1'].shape == (4, 16, 16)


def test_another_teacher_is_not_mixed_in(
    teacher: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    config, checkpoint = teacher
    out, other = tmp_path / 'cache', tmp_path / 'other.pth'
    save_weights(config, other, seed=1)
    options = ['--out', str(out), '--device', 'cpu', '--workers', '0']
    few = ['--cfg-options', 'train_dataloader.dataset.indices=4']
    start(capfd, str(config), str(checkpoint), *options, *few)
    with pytest.raises(SystemExit, match=r'begun with another teacher: weights .*--force'):
        call_tool('cache_teacher', str(config), str(other), *options, *few)
    with pytest.raises(SystemExit, match=f'begun with other images: 4, now {IMAGES}'):
        call_tool('cache_teacher', str(config), str(checkpoint), *options)
    before = TeacherCache(out)['000.png'].logits
    start(capfd, str(config), str(other), '--force', *options, *few)
    assert not np.allclose(TeacherCache(out)['000.png'].logits, before)


def start(capfd: pytest.CaptureFixture, *words: str) -> str:
    """Run the tool in this process to its good end and return its output."""
    call_tool('cache_teacher', *words)
    return capfd.readouterr().out


def test_images_of_several_sizes_and_numbers_of_proposals(tmp_path: Path) -> None:
    """Each image alone gives the same as in a batch with others, of which it keeps no filling."""
    config, checkpoint = write_teacher(tmp_path, images=7, fill='keep', scale='(64, 1000), keep_ratio=True')
    cv2.imwrite(str(tmp_path / '003.png'), np.zeros((60, 48, 3), np.uint8))
    config.write_text(config.read_text().replace("LoadImage')", "LoadImage', max_pixels=10**6)"))
    rows = (tmp_path / 'labels.csv').read_text().splitlines()
    (tmp_path / 'labels.csv').write_text('\n'.join(row for row in rows if not row.startswith('003')) + '\n')
    caches = []
    for size in (1, 4):
        out = str(tmp_path / f'cache{size}')
        words = [str(config), str(checkpoint), '--out', out, '--batch-size', str(size), '--device', 'cpu']
        call_tool('cache_teacher', *words, '--workers', '0', '--num-regions', '3', '--layers', 'backbone')
        caches.append(TeacherCache(out))
    assert len(caches[0]) == 6
    rows_of = []
    for img_id in caches[0].ids:
        alone, together = caches[0][img_id], caches[1][img_id]
        assert alone.cls_logits is not None
        assert together.cls_logits is not None
        np.testing.assert_allclose(alone.cls_logits, together.cls_logits, rtol=2e-3, atol=2e-3)
        assert together.boxes.shape == (3, 4)
        rows_of.append(len(together.cls_logits))
    assert rows_of == [2, 1, 4, 5, 2, 3]


def test_user_errors_are_one_line(teacher: tuple[Path, Path], tmp_path: Path) -> None:
    config, checkpoint = teacher
    out = str(tmp_path / 'cache')
    words = [str(config), str(checkpoint), '--out', out, '--device', 'cpu', '--workers', '0']
    for options, reason in (
        (['--split', 'val'], 'has no val_dataloader; it has data for: train, test'),
        (['--layers', 'backbone.layer9'], "has no module 'backbone.layer9'"),
        (['--iou-threshold', '0'], 'iou_threshold=0.0'),
    ):
        with pytest.raises(SystemExit, match=f'error: .*{reason}'):
            call_tool('cache_teacher', *words, *options)
    with pytest.raises(SystemExit, match='no config'):
        call_tool('cache_teacher', 'nowhere.py', *words[1:])
    with pytest.raises(SystemExit, match='no checkpoint given, so the teacher would have nothing to teach'):
        call_tool('cache_teacher', words[0], *words[2:])
    assert not Path(out).exists()
    Path(out).mkdir()
    Path(out, 'diary').write_text('mine')
    with pytest.raises(SystemExit, match='is no teacher cache; it is left alone'):
        call_tool('cache_teacher', *words, '--force')
    assert Path(out, 'diary').read_text() == 'mine'


def test_labels_in_another_order_are_refused(tmp_path: Path) -> None:
    config, checkpoint = write_teacher(tmp_path, images=3)
    loaded = torch.load(checkpoint, weights_only=True)
    torch.save(loaded | dict(meta=dict(dataset_meta=dict(classes=CLASSES[::-1]))), checkpoint)
    with pytest.raises(SystemExit, match='labels differ at index 0'):
        call_tool('cache_teacher', str(config), str(checkpoint), '--out', str(tmp_path / 'cache'), '--device', 'cpu')


@pytest.mark.parametrize('workers', ['0', '1'])
def test_an_image_that_vanishes_is_one_line(tmp_path: Path, workers: str) -> None:
    config, checkpoint = write_teacher(tmp_path, images=3)
    (tmp_path / '002.png').unlink()
    with pytest.raises(SystemExit, match=r'error: .*002.png: image not found[^\n]*$'):
        call_tool('cache_teacher', str(config), str(checkpoint), '--out', str(tmp_path / 'cache'), '--workers', workers)


def test_an_ensemble_teaches_by_image_logits_alone(
    teacher: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    plain = tmp_path / 'member.py'
    plain.write_text(
        "model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),"
        " neck=dict(type='GlobalAveragePooling'),"
        " head=dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=32))\n"
        'data_preprocessor = dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True)\n'
    )
    model, _ = build_classifier(Config.fromfile(plain), None)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'member.pth')
    root = shutil.copytree(teacher[0].parent, tmp_path / 'data')
    (tmp_path / 'ensemble.py').write_text(
        f'_base_ = [{str(root / "teacher.py")!r}]\n'
        f"model = dict(_delete_=True, type='mlic_mm.EnsembleClassifier', members=[dict(config={str(plain)!r}, "
        f'checkpoint={str(tmp_path / "member.pth")!r}, flip=True)])\n'
        "test_dataloader = dict(dataset=dict(pipeline=[dict(type='mlic_mm.LoadImage'), dict(type='Resize', "
        "scale=(64, 64)), dict(type='PackInputs')]))\n"
    )
    out = str(tmp_path / 'cache')
    words = ['--workers', '0', '--cfg-options', 'train_dataloader.dataset.indices=5']
    start(capfd, str(tmp_path / 'ensemble.py'), '--out', out, *words)
    kept = TeacherCache(out)['000.png']
    assert kept.logits.shape == (3,)
    assert kept.cls_logits is None
    assert kept.boxes is None
