"""ScoreDump files and the metric that writes them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS

from mlic_mm.evaluation import DumpScores, ScoreDump


def make(**changes: object) -> ScoreDump:
    parts = {
        'scores': np.array([[0.1, 0.9], [0.7, 0.3], [0.5, 0.5]]),
        'targets': [[0, 1], [1, -1], [0, 0]],
        'image_ids': ['7', 'ünder score/ä b.jpg', '9'],
        'image_paths': ['a/7.jpg', 'ünder score/ä b.jpg', ''],
        'classes': ['cat', 'traffic light'],
    }
    return ScoreDump(**{**parts, **changes})


class Writes:
    """A pickle that would create a file when read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_round_trip(tmp_path: Path) -> None:
    dump = make()
    assert (dump.scores.dtype, dump.targets.dtype, dump.classes) == (np.float32, np.int8, ('cat', 'traffic light'))
    path = tmp_path / 'new folder' / 'scores.npz'
    assert dump.save(path) == path
    found = ScoreDump.load(path)
    assert found.classes == dump.classes
    for name in ('scores', 'targets', 'image_ids', 'image_paths'):
        np.testing.assert_array_equal(getattr(found, name), getattr(dump, name))
    assert (found.scores.dtype, found.targets.dtype) == (np.float32, np.int8)
    bare = ScoreDump.load(path, paths=False)
    assert bare.image_paths.tolist() == ['', '', '']
    assert bare.image_ids.tolist() == dump.image_ids.tolist()
    assert dump.save(tmp_path / 'again.npz').read_bytes() == path.read_bytes()


@pytest.mark.parametrize('write', [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path: Path, write: Callable[..., None]) -> None:
    """Dumps of earlier versions were compressed throughout."""
    dump = make()
    names = ('scores', 'targets', 'image_ids', 'image_paths', 'classes')
    write(tmp_path / 'old.npz', **{name: np.asarray(getattr(dump, name)) for name in names})
    found = ScoreDump.load(tmp_path / 'old.npz')
    assert found.classes == dump.classes
    for name in names[:-1]:
        np.testing.assert_array_equal(getattr(found, name), getattr(dump, name))


def test_dumps_without_images_round_trip(tmp_path: Path) -> None:
    path = make(scores=np.zeros((0, 2)), targets=np.zeros((0, 2)), image_ids=[], image_paths=[]).save(
        tmp_path / 'a.npz'
    )
    assert ScoreDump.load(path).scores.shape == (0, 2)


def test_save_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'scores.npz'
    make().save(path)
    before = path.read_bytes()
    mode = path.stat().st_mode

    def full_disk(file, array: np.ndarray, **options: object) -> None:
        file.write(b'half')
        raise OSError('No space left on device')

    monkeypatch.setattr(np.lib.format, 'write_array', full_disk)
    with pytest.raises(OSError, match='No space'):
        make().save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['scores.npz']
    (tmp_path / 'plain').touch()
    assert mode == (tmp_path / 'plain').stat().st_mode


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'scores': np.zeros((3, 3))}, r'\(3, 3\).*\(3, 2\)'),
        ({'targets': [[0, 1], [1, 2], [0, 0]]}, 'other than 1'),
        ({'targets': [[0, 1], [1, 0.5], [0, 0]]}, 'other than 1'),
        ({'targets': [[0, 1], [1, np.nan], [0, 0]]}, 'other than 1'),
        ({'targets': [['0', '1'], ['1', '1'], ['0', '0']]}, 'other than 1'),
        ({'image_ids': ['1', '2']}, r'image_ids \(2,\)'),
        ({'image_paths': 'x'}, r'image_paths \(\)'),
        ({'classes': ['cat']}, '1 class names for 2'),
    ],
)
def test_refuses_parts_that_do_not_fit(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_refuses_bad_files(tmp_path: Path) -> None:
    good = make().save(tmp_path / 'good.npz').read_bytes()
    with pytest.raises(FileNotFoundError, match=r'none\.npz: write it anew'):
        ScoreDump.load(tmp_path / 'none.npz')
    with pytest.raises(ValueError, match=r'name the file scores\.npz'):
        make().save(tmp_path / 'scores.pkl')
    contents = {
        'cut': good[: len(good) // 2],
        'damaged': good[:200] + bytes(40) + good[240:],
        'empty': b'',
        'text': b'not an archive',
        'pickle': pickle.dumps({'scores': 1}),
    }
    for name, content in contents.items():
        (tmp_path / f'{name}.npz').write_bytes(content)
        with pytest.raises(ValueError, match=f'{name}.npz is no score file'):
            ScoreDump.load(tmp_path / f'{name}.npz')
    np.savez(tmp_path / 'part.npz', scores=np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r'part.npz .*lacks targets, image_ids'):
        ScoreDump.load(tmp_path / 'part.npz')
    np.save(tmp_path / 'array.npy', np.zeros(3))
    with pytest.raises(ValueError, match='single array'):
        ScoreDump.load(tmp_path / 'array.npy')


def test_never_executes_what_a_file_carries(tmp_path: Path) -> None:
    victim = tmp_path / 'written'
    evil = np.array([Writes(victim)], dtype=object)
    arrays = {name: getattr(make(), name) for name in ('scores', 'targets', 'image_ids', 'image_paths')}
    np.savez(tmp_path / 'evil.npz', **arrays, classes=evil)
    np.save(tmp_path / 'evil.npy', evil)
    (tmp_path / 'raw.npz').write_bytes(pickle.dumps(Writes(victim)))
    for name in ('evil.npz', 'evil.npy', 'raw.npz'):
        with pytest.raises(ValueError, match=f'{name} is no score file'):
            ScoreDump.load(tmp_path / name)
    assert not victim.exists()
    pickle.loads(pickle.dumps(Writes(victim)))  # it would have
    assert victim.exists()


def test_metric_writes_names_and_keeps_files(tmp_path: Path) -> None:
    path = tmp_path / 'scores.npz'
    config = {'type': 'mlic_mm.DumpScores', 'out_file': str(path)}
    metric = METRICS.build(config)
    metric.dataset_meta = {'classes': ('cat', 'dog')}
    names = [{'sample_idx': 4, 'img_id': '0007', 'img_path': 'a.jpg'}, {'img_path': 'b.jpg'}, {'sample_idx': 9}, {}]
    for row, name in enumerate(names):
        metric.process(None, [{'pred_score': torch.full((2,), row / 4), 'gt_score': torch.tensor([1, -1]), **name}])
    assert metric.evaluate(4) == {}
    found = ScoreDump.load(path)
    assert found.image_ids.tolist() == ['0007', 'b.jpg', '9', '3']
    assert found.image_paths.tolist() == ['a.jpg', 'b.jpg', '', '']
    assert found.classes == ('cat', 'dog')
    np.testing.assert_array_equal(found.scores[:, 0], [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(found.targets, [[1, -1]] * 4)
    with pytest.raises(FileExistsError, match='overwrite=True'):
        METRICS.build(config)
    METRICS.build({**config, 'overwrite': True})
    with pytest.raises(ValueError, match=r'\.npz'):
        DumpScores(tmp_path / 'scores.pkl')
