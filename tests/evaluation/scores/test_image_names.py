"""Ids that occur twice: in what the metric writes, in old files, and in fusing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mlic_mm.evaluation import DumpScores, ScoreDump, ScoreFiles
from mlic_mm.evaluation.scores.image_names import different_files, distinct_ids


@pytest.mark.parametrize(
    ('ids', 'paths', 'expected'),
    [
        (['1', '2'], ['a', 'a'], ['1', '2']),
        (['1', '2', '1'], ['a/1', 'a/2', 'b/1'], ['a/1', '2', 'b/1']),
        (['1', '1', '1'], ['a/1', '', ''], ['a/1', '1', '1 (2)']),
        (['a', 'a', 'a', 'a (2)'], ['a', 'a', 'a', 'b'], ['a', 'a (3)', 'a (4)', 'a (2)']),
        (['1', '1', 'x'], ['x', 'y', 'z'], ['x', 'y', 'x (2)']),  # a path that is another image's id
        ([], [], []),
    ],
)
def test_distinct_ids(ids: list[str], paths: list[str], expected: list[str]) -> None:
    assert distinct_ids(ids, paths) == expected
    assert len(set(expected)) == len(expected)


def test_different_files() -> None:
    assert different_files('/data/val/1.jpg', '/data/test/1.jpg')
    assert not different_files('/data/test/1.jpg', 'elsewhere/test/1.jpg')
    assert not different_files('', 'a/1.jpg')
    assert not different_files('1.jpg', 'a/1.jpg')
    assert not different_files('a/1.jpg', 'b/2.jpg')  # not of one name: the id decides


def test_the_metric_names_images_of_equal_ids_by_their_paths(tmp_path: Path) -> None:
    metric = DumpScores(tmp_path / 'scores.npz')
    for path in ('a/1.jpg', 'b/1.jpg', 'b/2.jpg', 'b/1.jpg'):
        sample = {'img_id': Path(path).stem, 'img_path': path, 'pred_score': torch.zeros(1), 'gt_score': torch.zeros(1)}
        metric.process(None, [sample])
    metric.evaluate(4)
    found = ScoreDump.load(tmp_path / 'scores.npz')
    assert found.image_ids.tolist() == ['a/1.jpg', 'b/1.jpg', '2', 'b/1.jpg (2)']
    assert found.with_distinct_ids() is found


def test_files_with_equal_ids_are_matched_by_path(tmp_path: Path) -> None:
    """Written by an earlier version or another program: the images are in another order, and two are called 1."""
    ids, paths = np.array(['1', '2', '1']), np.array(['a/1', 'a/2', 'b/1'])
    scores, targets, order = np.array([[0.1], [0.2], [0.3]]), np.array([[0], [0], [1]]), np.array([2, 0, 1])
    first = ScoreDump(scores, targets, ids, paths, ('cat',)).save(tmp_path / 'a.npz')
    second = ScoreDump(scores[order] + 0.5, targets[order], ids[order], paths[order], ('cat',)).save(tmp_path / 'b.npz')
    files = ScoreFiles([first, second])
    assert files.reference.image_ids.tolist() == ['a/1', '2', 'b/1']
    np.testing.assert_allclose(list(files.read(lambda scores, path: scores))[1], scores + 0.5, rtol=1e-6)
    moved = ScoreDump(scores, targets, ids, np.array(['a/1', 'a/2', 'c/1']), ('cat',)).save(tmp_path / 'c.npz')
    with pytest.raises(
        ValueError, match=r'c\.npz holds different .* lacks 1 image \(b/1\) and has besides 1 image \(c/1\)'
    ):
        list(ScoreFiles([first, moved]).read(lambda scores, path: scores))
