"""Score files brought into the order of the first, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from mlic_mm.evaluation import ScoreDump, ScoreFiles

IDS = np.array([f'{i:03}' for i in range(12)])
CLASSES = ('cat', 'dog', 'traffic light')
TARGETS = np.random.default_rng(0).integers(-1, 2, (12, 3)).astype(np.int8)


def write(path: Path, member: int, rows: object = slice(None), columns: object = slice(None), **changes: object) -> str:
    """A dump whose score tells member, image and class, with rows and columns in some order."""
    scores = member + np.arange(36).reshape(12, 3) / 100
    parts = {
        'scores': scores[rows][:, columns],
        'targets': TARGETS[rows][:, columns],
        'image_ids': IDS[rows],
        'image_paths': IDS[rows],
        'classes': np.array(CLASSES)[columns],
    }
    return str(ScoreDump(**{**parts, **changes}).save(path))


def test_other_orders_of_images_and_classes_are_undone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    paths = [write(tmp_path / '0.npz', 0, rng.permutation(12), [2, 0, 1])]
    paths += [write(tmp_path / f'{i}.npz', i, rng.permutation(12), rng.permutation(3)) for i in range(1, 7)]
    files = ScoreFiles(paths)
    first = files.reference
    assert first.classes == ('traffic light', 'cat', 'dog')
    for _ in range(2):  # it can be read again
        found = list(files.read(lambda scores, path: (scores, path)))
        assert [path for _, path in found] == paths
        for member, (scores, _) in enumerate(found):
            np.testing.assert_allclose(scores, first.scores + member, rtol=1e-6)
    (only,) = files.read(lambda scores, path: scores[0, 0], paths[3:4])
    assert only == pytest.approx(3 + first.scores[0, 0])


def test_at_most_three_files_are_held(tmp_path: Path) -> None:
    paths = [write(tmp_path / f'{i}.npz', i) for i in range(9)]
    started: list[str] = []
    stream = ScoreFiles(paths).read(lambda scores, path: started.append(path))
    for taken, _ in enumerate(stream, 1):
        assert len(started) <= taken + 2


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(rows=slice(11)), r'b\.npz holds different images than .*a\.npz: it lacks 1 image \(011\); test'),
        (dict(image_ids=np.array([*IDS[:-1], 'x'])), r'lacks 1 image \(011\) and has besides 1 image \(x\)'),
        (dict(rows=slice(9)), r'lacks 3 images \(009, …\)'),
        (dict(image_ids=np.array([*IDS[:-1], '000'])), r"b\.npz holds image '000' twice"),
        (dict(classes=('cat', 'dog', 'lamp')), r"label 'traffic light' is only in .*a\.npz, .*b\.npz holds other"),
        (dict(classes=('cat', 'dog', 'dog')), r"b\.npz holds class 'dog' twice"),
        (dict(columns=slice(2)), r"label 'traffic light' is only in .*a\.npz"),
        (dict(targets=-TARGETS), r"b\.npz and .*a\.npz disagree .* image \d+ has '.*' = -?1 in the former and -?1 in"),
    ],
)  # fmt: skip
def test_mismatches_are_named(tmp_path: Path, change: dict, message: str) -> None:
    paths = [write(tmp_path / 'a.npz', 0), write(tmp_path / 'b.npz', 1, **change)]
    with pytest.raises(ValueError, match=message):
        list(ScoreFiles(paths).read(lambda scores, path: 0))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    good = write(tmp_path / 'a.npz', 0)
    with pytest.raises(ValueError, match='no score files'):
        ScoreFiles([])
    with pytest.raises(FileNotFoundError, match=r'no score file at .*b\.npz: write it with'):
        ScoreFiles([good, tmp_path / 'b.npz'])
    (tmp_path / 'link.npz').symlink_to(good)
    with pytest.raises(ValueError, match=r'link\.npz and .*a\.npz are one file: .*weights'):
        ScoreFiles([good, tmp_path / 'link.npz'])
    with pytest.raises(ValueError, match='are one file'):
        ScoreFiles([good, good])
    twice = write(tmp_path / 'twice.npz', 0, image_ids=np.array([*IDS[:-1], '000']))
    with pytest.raises(ValueError, match=r"twice\.npz holds image '000' twice, and .*a\.npz does not; test both"):
        list(ScoreFiles([good, twice]).read(lambda scores, path: 0))
    empty = write(tmp_path / 'empty.npz', 0, rows=slice(0))
    with pytest.raises(ValueError, match=r'empty\.npz holds no scores: its matrix is \(0, 3\)'):
        ScoreFiles([empty, good])
    whole = Path(good).read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[:-30])
    (tmp_path / 'flipped.npz').write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])  # within the scores
    for name in ('cut.npz', 'flipped.npz'):
        with pytest.raises(ValueError, match=f'{name} is no score file'):
            list(ScoreFiles([good, tmp_path / name]).read(lambda scores, path: 0))
