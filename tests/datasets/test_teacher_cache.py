"""The cache of a teacher: what goes in comes out, lazily, and what is cut short, foreign or stale is refused."""

import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from tiny_teacher import save_weights, write_proposals, write_teacher

from mlic_mm.datasets import TeacherCache, teacher_fingerprint
from mlic_mm.datasets.teacher_cache.cache import CachedTeacher
from mlic_mm.datasets.teacher_cache.writer import TeacherShards

SHARD = TeacherShards.size
SETTINGS: dict = dict(
    fingerprint=dict(weights='a', model='b', pipeline='c', proposals='d'),
    classes=['cat', 'dog', 'owl'],
    layers=['', 'backbone.layer3'],
    regions=dict(iou_threshold=0.4, num=2),
    dataset=dict(type='VOCMultiLabel', split='train'),
)


def entry(seed: int) -> CachedTeacher:
    """Of ``seed`` proposals; none means a teacher without matrices."""
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(0, 10, (seed, 3)).astype(np.float32) if seed else None for _ in range(2)]
    boxes = np.sort(rng.random((seed // 2, 4)), axis=1)
    maps = {'': rng.random((4, 2, 2 + seed)), 'backbone.layer3': rng.random((2, 4, 4))}
    return CachedTeacher((40, 50 + seed), rng.normal(0, 5, 3), *matrices, boxes, rng.random(seed // 2) * 1e-6, maps)


def begin(folder: Path, settings: dict, ids: list[str], force: bool = False) -> TeacherShards:
    shards = TeacherShards(folder, settings, ids)
    shards.begin(force)
    return shards


def write(folder: Path, count: int = SHARD + 3, **changes: object) -> dict[str, CachedTeacher]:
    """Write a cache of images ``0`` … with as many proposals as their rest by 6."""
    entries = {str(number): entry(number % 6) for number in range(count)}
    shards = begin(folder, SETTINGS | changes, list(entries))
    for number in range(len(shards)):
        shards.write(number, {img_id: entries[img_id] for img_id in shards.ids_of(number)})
    return entries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / 'kept')
    return tmp_path / 'kept'


def test_what_goes_in_comes_out(folder: Path) -> None:
    cache = TeacherCache(folder)
    assert cache.classes == ('cat', 'dog', 'owl')
    assert len(cache) == SHARD + 3
    assert '66' in cache
    assert 66 in cache
    assert '67' not in cache
    for number in (0, 1, 5, SHARD, SHARD + 2):
        given_, kept = entry(number % 6), cache[number]
        assert kept.size == given_.size
        np.testing.assert_allclose(kept.logits, given_.logits, rtol=1e-7)
        assert kept.logits.dtype == np.float32
        if number % 6:
            for name in ('cls_logits', 'det_logits'):
                assert getattr(kept, name).dtype == np.float16
                np.testing.assert_allclose(getattr(kept, name), getattr(given_, name), rtol=1 / 2048, atol=1e-7)
        else:
            assert kept.cls_logits is None
            assert kept.det_logits is None
        assert kept.boxes is not None
        assert kept.boxes.shape == (number % 6 // 2, 4)
        np.testing.assert_allclose(kept.boxes, given_.boxes, atol=1.01 / 131070)
        np.testing.assert_allclose(kept.scores, given_.scores, rtol=1e-6)  # small ones too
        for layer, values in given_.maps.items():
            np.testing.assert_allclose(kept.maps[layer], values, rtol=1 / 2048)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-65504, 65504, width=32), min_size=6, max_size=6), st.lists(st.floats(0, 1), min_size=4))
def test_half_precision_and_steps_of_boxes_keep_their_bounds(logits: list[float], sides: list[float]) -> None:
    matrix = np.array(logits, np.float32).reshape(2, 3)
    boxes = np.array(sides[: len(sides) // 4 * 4]).reshape(-1, 4)
    one = CachedTeacher((1, 1), np.zeros(3), matrix, -matrix, boxes, np.ones(len(boxes)), {})
    with tempfile.TemporaryDirectory() as folder:
        begin(Path(folder), SETTINGS | dict(layers=[]), ['x']).write(0, {'x': one})
        kept = TeacherCache(folder)['x']
        assert kept.cls_logits is not None
        np.testing.assert_allclose(kept.cls_logits, matrix, rtol=1 / 2048, atol=3e-8)
        np.testing.assert_allclose(kept.boxes, boxes, atol=1.01 / 131070)


def test_pickled_objects_open_for_themselves(folder: Path) -> None:
    cache = TeacherCache(folder)
    assert not cache._opened
    cache['0']
    assert list(cache._opened) == [0]
    copy = pickle.loads(pickle.dumps(cache))
    assert not copy._opened
    np.testing.assert_array_equal(copy['65'].logits, cache['65'].logits)


def test_what_is_read_may_be_written_to(folder: Path) -> None:
    cache = TeacherCache(folder)
    before = cache['5'].logits.copy()
    for kept in (cache['5'].logits, cache['5'].cls_logits, cache['5'].maps['']):
        assert kept is not None
        kept[:] = 7
    np.testing.assert_array_equal(cache['5'].logits, before)
    assert (cache['5'].maps[''] != 7).any()


def test_an_index_cut_short_missing_or_of_something_else(folder: Path) -> None:
    file = folder / 'index.json'
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r'index.json: cut short or damaged .*--force'):
        TeacherCache(folder)
    file.write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match='version 2 of the format, known is 1'):
        TeacherCache(folder)
    file.write_text(text.replace('"classes"', '"labels"'))
    with pytest.raises(ValueError, match="damaged, it has no 'classes'"):
        TeacherCache(folder)
    file.write_text('{"mine": 1}')
    with pytest.raises(ValueError, match='not the index of a teacher cache'):
        TeacherCache(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match='not found'):
        TeacherCache(folder)


def test_shards_missing_cut_short_or_of_another_cache(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / 'other', classes=['dog', 'cat', 'owl'])
    shard = folder / '000001.safetensors'
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    cache = TeacherCache(folder)
    assert cache['3'].size  # of the other shard
    with pytest.raises(ValueError, match=r'000001.safetensors: .*cut short'):
        cache.check()
    with pytest.raises(ValueError, match=r'000001.safetensors: .*cut short'):
        cache['65']
    shutil.copy(tmp_path / 'other' / '000001.safetensors', shard)
    with pytest.raises(ValueError, match='is of another cache than'):
        cache.check()
    shard.write_bytes(whole)
    cache.check()
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 2 shards are missing, the first is 000001'):
        TeacherCache(folder)


def test_a_flipped_byte_is_noticed_and_its_shard_done_again(tmp_path: Path) -> None:
    """Whichever byte it is, of header, numbers, boxes or maps."""
    entries = write(tmp_path / 'kept', count=5)
    shard = tmp_path / 'kept' / '000000.safetensors'
    cache = TeacherCache(tmp_path / 'kept')
    whole = shard.read_bytes()
    shards = TeacherShards(cache.path, SETTINGS, list(entries))
    assert shards.key == cache.key
    assert shards.is_done(0)
    for at in range(0, len(whole), 7):
        shard.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        opened = TeacherCache(tmp_path / 'kept')
        with pytest.raises(ValueError, match=r'000000\.safetensors: .*writes .*again: python'):
            [opened[img_id] for img_id in entries]
        assert not shards.is_done(0)


@pytest.mark.parametrize('change', [dict(shard=0), dict(shard='64'), dict(ids=[1]), dict(ids='abc'), dict(layers=None)])
def test_an_index_with_wrong_values(folder: Path, change: dict) -> None:
    index = json.loads((folder / 'index.json').read_text())
    (folder / 'index.json').write_text(json.dumps(index | change))
    with pytest.raises(ValueError, match=r'index\.json: damaged, .*--force'):
        TeacherCache(folder)


def test_an_unknown_image_names_what_the_cache_is_of(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"image 'x9'; it has 67 images of VOCMultiLabel \(train\), the first '0'"):
        TeacherCache(folder)['x9']


def test_a_value_too_large_for_half_precision_names_image_and_layer(tmp_path: Path) -> None:
    shards = begin(tmp_path / 'kept', SETTINGS, ['a'])
    good, bad = entry(4), {'': np.array([[[70000.0]]]), 'backbone.layer3': np.zeros((1, 1, 1))}
    nan = np.full(3, np.nan)
    for one, reason in (
        (good._replace(maps=bad), r"image 'a', layer '': 70000.0 does not fit"),
        (good._replace(det_logits=np.full((4, 3), np.nan)), "image 'a', det_logits: nan does not fit"),
        (good._replace(cls_logits=np.full((4, 3), -1e6)), "image 'a', cls_logits: -1000000.0 does not fit"),
        (good._replace(logits=nan), "image 'a', logits: a value is not finite"),
    ):
        with pytest.raises(ValueError, match=reason):
            shards.write(0, {'a': one})
    assert os.listdir(tmp_path / 'kept') == ['index.json']


def test_a_folder_begun_otherwise_is_refused_and_replaced_by_force(folder: Path) -> None:
    ids = [str(number) for number in range(SHARD + 3)]
    assert begin(folder, SETTINGS, ids).missing() == []  # goes on
    for part in SETTINGS['fingerprint']:
        changed = SETTINGS | dict(fingerprint=SETTINGS['fingerprint'] | {part: 'z'})
        with pytest.raises(ValueError, match=rf"begun with another teacher: {part} '.', now 'z'.*--force"):
            begin(folder, changed, ids)
    for key, value in (('layers', []), ('regions', dict(iou_threshold=0.5, num=2)), ('classes', ['a'])):
        with pytest.raises(ValueError, match=f'begun with other {key}'):
            begin(folder, SETTINGS | {key: value}, ids)
    with pytest.raises(ValueError, match='begun with other images: 67, now 66'):
        begin(folder, SETTINGS, ids[1:])
    assert len(TeacherCache(folder)) == SHARD + 3

    (folder / 'notes.txt').write_text('mine')
    begin(folder, SETTINGS | dict(layers=[]), ids, force=True)
    assert sorted(os.listdir(folder)) == ['index.json', 'notes.txt']
    # An index cut short is still ours.
    (folder / 'index.json').write_text('{"format": "mlic_mm.teacher_cache", "vers')
    with pytest.raises(ValueError, match='cut short or damaged'):
        begin(folder, SETTINGS, ids)
    begin(folder, SETTINGS, ids, force=True)
    assert json.loads((folder / 'index.json').read_text())['ids'] == ids


def test_a_folder_that_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / '000000.safetensors').write_text('mine')
    for _ in range(2):
        with pytest.raises(FileExistsError, match='is no teacher cache; it is left alone'):
            begin(tmp_path, SETTINGS, ['a'], force=True)
        assert (tmp_path / '000000.safetensors').read_text() == 'mine'
        (tmp_path / 'index.json').write_text('{"format": "another"}')
    with pytest.raises(FileExistsError, match='is a file'):
        begin(tmp_path / 'index.json', SETTINGS, ['a'], force=True)
    with pytest.raises(ValueError, match="image id 'a' occurs twice"):
        begin(tmp_path / 'new', SETTINGS, ['a', 'b', 'a'])


def test_a_fingerprint_is_of_contents_and_not_of_places(tmp_path: Path) -> None:
    config, checkpoint = write_teacher(tmp_path / 'a', images=3)
    before = teacher_fingerprint(config, checkpoint)
    assert list(before) == ['weights', 'model', 'pipeline', 'proposals']
    # Saved again with more in it, moved, with a cache of images and other meta keys.
    loaded = torch.load(checkpoint, weights_only=True)
    reversed_ = {f'module.{key}': value for key, value in reversed(loaded['state_dict'].items())}
    torch.save(dict(state_dict=reversed_, optimizer=dict(state={}), meta=dict(epoch=3)), tmp_path / 'again.pth')
    shutil.move(tmp_path / 'a' / 'proposals.st', tmp_path / 'elsewhere.st')
    text = config.read_text().replace(str(tmp_path / 'a' / 'proposals.st'), str(tmp_path / 'elsewhere.st'))
    text = text.replace("LoadImage')", "LoadImage', cache_mb=5)").replace(
        "PackProposals')", "PackProposals', meta_keys=())"
    )
    config.write_text(text)
    assert teacher_fingerprint(config, tmp_path / 'again.pth') == before
    assert teacher_fingerprint(Config.fromfile(config), str(tmp_path / 'again.pth')) == before


def test_a_fingerprint_says_what_changed(tmp_path: Path) -> None:
    config, checkpoint = write_teacher(tmp_path, images=3)
    before, text = teacher_fingerprint(config, checkpoint), config.read_text()

    def changed() -> list[str]:
        now = teacher_fingerprint(config, checkpoint)
        return [part for part in now if now[part] != before[part]]

    for old, new, part in (
        ('roi_size=2', 'roi_size=3', 'model'),
        ('mean=[120.0]', 'mean=[121.0]', 'model'),
        ('scale=(64, 64)', 'scale=(96, 96)', 'pipeline'),
        ('num=5', 'num=4', 'pipeline'),
    ):
        config.write_text(text.replace(old, new))
        assert changed() == [part], new
    config.write_text(text)
    save_weights(config, checkpoint, seed=1)
    assert changed() == ['weights']
    save_weights(config, checkpoint, seed=0)
    assert changed() == []
    write_proposals(tmp_path / 'proposals.st', ['000.png', '001.png', '002.png'], seed=1)
    assert changed() == ['proposals']


def test_a_teacher_of_several_counts_the_files_of_its_members(tmp_path: Path) -> None:
    config, checkpoint = write_teacher(tmp_path / 'a', images=3)
    members = [dict(config=str(config), checkpoint=str(checkpoint))]
    pipeline = [dict(type='mlic_mm.LoadImage')]
    ensemble = Config(
        dict(
            model=dict(type='mlic_mm.EnsembleClassifier', members=members),
            test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        )
    )
    before = teacher_fingerprint(ensemble)
    assert before['weights'] == before['proposals'] == ''
    moved = shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    ensemble.model.members = [dict(config=str(moved / config.name), checkpoint=str(moved / checkpoint.name))]
    assert teacher_fingerprint(ensemble) == before
    save_weights(config, moved / checkpoint.name, seed=2)
    assert teacher_fingerprint(ensemble)['model'] != before['model']


def test_bad_configs_and_files(tmp_path: Path) -> None:
    config, checkpoint = write_teacher(tmp_path, images=2)
    with pytest.raises(FileNotFoundError, match=r'no config .*nowhere\.py'):
        teacher_fingerprint(tmp_path / 'nowhere.py', checkpoint)
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*nowhere\.pth'):
        teacher_fingerprint(config, tmp_path / 'nowhere.pth')
    with pytest.raises(ValueError, match='has no model'):
        teacher_fingerprint(Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='x')])))))
    with pytest.raises(ValueError, match='has no pipeline in test_dataloader'):
        teacher_fingerprint(Config(dict(model=dict(type='x'))))
