"""ScoreDump files and the metric that writes them."""

import contextlib
import pickle
import tracemalloc
import zipfile
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
    with pytest.raises(FileNotFoundError, match=r'none\.npz: write it again'):
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


def npy(header: str, data: bytes = b'') -> bytes:
    text = header.encode() + b'\n'
    return np.lib.format.MAGIC_PREFIX + b'\x01\x00' + len(text).to_bytes(2, 'little') + text + data


def rewrite(source: Path, target: Path, name: str, content: bytes, **changes: int) -> Path:
    """Copy a dump with another content, or another attribute of the zip entry, of one array."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w') as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename == name else old.read(info), zipfile.ZIP_DEFLATED)
    if changes:
        data = bytearray(target.read_bytes())
        for mark, place in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):  # of the first entry, in both of its headers
            start = data.index(mark) + place + (2 if 'method' in changes else 0)
            data[start : start + 2] = next(iter(changes.values())).to_bytes(2, 'little')
        target.write_bytes(data)
    return target


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2), }"


@pytest.mark.parametrize(
    ('name', 'content', 'changes', 'message'),
    [
        ('scores', npy(HUGE, bytes(24)), {}, r'scores says that it has the shape \(1000000000000, 2\) of float32, and'),
        ('scores', npy(HUGE.replace('1000000000000', '-3'), bytes(24)), {}, 'is negative'),
        ('scores', npy(HUGE.replace('<f4', '|O'), bytes(24)), {}, 'neither numbers nor text'),
        ('scores', npy('[' * 5000, bytes(24)), {}, 'bad.npz is no score file'),
        ('scores', npy('x' * 5000, bytes(24)), {}, r'bad\.npz is no score file .*the header .{,250}$'),
        ('classes', npy("{'descr': '<U1', 'fortran_order': False, 'shape': (2,)}", b'\0\0\x11\0a\0\0\0'), {},
         r'bad\.npz .*classes holds text with the character number 1114112'),
        ('image_ids', npy(HUGE.replace('<f4', '<U0')), {}, 'image_ids says'),
        ('classes', bytes(2**21), {}, r'it asks for 2,\d+,\d+ bytes of memory, far more than'),
        ('scores', None, {'flags': 1}, 'scores is encrypted'),
        ('scores', None, {'method': 14}, r'compressed in a way that is not read here \(number 14\)'),
        ('scores', None, {'method': 77}, r'compressed in a way that is not read here \(number 77\)'),
    ],
)  # fmt: skip
def test_files_that_lie_are_refused_in_little_memory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | None,
    changes: dict[str, int],
    message: str,
) -> None:
    monkeypatch.setattr('mlic_mm.evaluation.scores.npz_reader.ALWAYS_FREE', 2**20)
    good = make().save(tmp_path / 'good.npz')
    entry = f'{name}.npy'
    with zipfile.ZipFile(good) as archive:
        given = archive.read(entry) if content is None else content
    bad = rewrite(good, tmp_path / 'bad.npz', entry, given, **changes)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            ScoreDump.load(bad)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_any_changed_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    whole, path = make().save(tmp_path / 'good.npz').read_bytes(), tmp_path / 'bad.npz'
    rng = np.random.default_rng(0)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :])
        with contextlib.suppress(ValueError):
            np.testing.assert_array_equal(ScoreDump.load(path).scores, make().scores)


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
