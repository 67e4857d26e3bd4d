"""Result pickles of mmengine's DumpResults."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import DumpResults

from mlic_mm.evaluation import DumpScores, ScoreDump, ScoreFiles, read_result_pickle

CLASSES = ('cat', 'dog', 'bird')


def samples(**changes: object) -> list[dict]:
    """Three samples as a test gives them: rows of one batch."""
    scores, gt_score = torch.rand(3, 3), torch.tensor([[1.0, 0, 0], [0, 1, -1], [0, 0, 0]])
    names = [{'img_id': 7, 'img_path': 'a.jpg'}, {'img_path': 'ünd b.jpg'}, {'sample_idx': 9}]
    return [
        {'pred_score': s, 'gt_score': t, 'ori_shape': (5, 6), 'pred_label': torch.tensor([0]), **name, **changes}
        for s, t, name in zip(scores, gt_score, names, strict=True)
    ]


def dump(folder: Path, batch: list[dict]) -> Path:
    metric = DumpResults(str(folder / 'res.pkl'))
    metric.process(None, batch)
    metric.evaluate(len(batch))
    return folder / 'res.pkl'


def test_holds_what_our_own_dump_holds(tmp_path: Path) -> None:
    batch = samples()
    ours = DumpScores(tmp_path / 'ours.npz')
    ours.dataset_meta = {'classes': CLASSES}
    ours.process(None, batch)
    ours.evaluate(3)
    expected, found = ScoreDump.load(tmp_path / 'ours.npz'), read_result_pickle(dump(tmp_path, batch), CLASSES)
    assert found.classes == CLASSES
    for name in ('scores', 'targets', 'image_ids', 'image_paths'):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16, torch.float64])
def test_indices_of_labels_and_other_precisions(tmp_path: Path, kind: torch.dtype) -> None:
    batch = [
        {'pred_score': torch.tensor([0.25, 0.5, 1], dtype=kind), 'gt_label': torch.tensor(labels), 'sample_idx': i}
        for i, labels in enumerate([[0, 2], [], [1]])
    ]
    found = read_result_pickle(dump(tmp_path, batch), CLASSES)
    assert found.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert found.scores.tolist() == [[0.25, 0.5, 1]] * 3
    assert found.image_ids.tolist() == ['0', '1', '2']


def test_class_names_come_from_a_partner_or_the_caller(tmp_path: Path) -> None:
    path = dump(tmp_path, samples())
    with pytest.raises(ValueError, match=r'res\.pkl holds no class names: give them by --classes, or an \.npz'):
        ScoreFiles([path])
    whole = read_result_pickle(path, CLASSES)
    partner = whole.save(tmp_path / 'a.npz')
    for files in (ScoreFiles([path, partner]), ScoreFiles([path], CLASSES)):
        assert files.reference.classes == CLASSES
        for scores in files.read(lambda scores, path: scores):
            np.testing.assert_array_equal(scores, whole.scores)


@pytest.mark.parametrize(
    ('contents', 'message'),
    [
        ({'mAP': 1.0}, 'no list of samples'),
        ([], 'no list of samples'),
        ([1, 2], 'no list of samples'),
        ([{'img_path': 'a.jpg', 'gt_label': torch.tensor([1])}], 'image a.jpg of .*bad.pkl has no pred_score'),
        ([{'img_id': 3, 'pred_score': torch.rand(3)}], 'image 3 of .*bad.pkl has no gt_label'),
        (samples(pred_score=torch.rand(4)), 'pred_score of image 7 .* has 4 numbers, and there are 3 class names'),
        (samples(gt_score=torch.tensor([0.5, 0, 1])), r'gt_score of image 7 .* must be 1, 0 or -1, got \[0.5'),
        (samples(pred_score='high'), 'no row of numbers'),
        ([{'pred_score': torch.rand(3), 'gt_label': torch.tensor([3])}], r'gt_label \[3\] of image 0 .* outside 0 … 2'),
        ([{'pred_score': [0.5] * 3, 'gt_label': [float('inf')]}], r'gt_label \[inf\] of image 0 .* outside 0 … 2'),
        ([{'pred_score': [[[0.5]]], 'gt_label': [1]}], 'pred_score of image 0 .* is no row of numbers'),
        ([{'pred_score': [10**400] * 3, 'gt_label': [1]}], 'pred_score of image 0 .* is no row of numbers'),
        ([{'img_id': ['x'], 'pred_score': [0.5] * 3}], r'img_id of image 0 of .* is a list, not a name'),
        ([{'pred_score': torch.rand(3), 'gt_label': Path('x')}], 'was refused.*nothing in it was executed'),
    ],
)
def test_refuses(tmp_path: Path, contents: object, message: str) -> None:
    path = tmp_path / 'bad.pkl'
    path.write_bytes(pickle.dumps(contents, protocol=2))
    with pytest.raises(ValueError, match=message):
        read_result_pickle(path, CLASSES)


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle may name one row, or one long path, thousands of times."""
    monkeypatch.setattr('mlic_mm.evaluation.scores.npz_reader.ALWAYS_FREE', 2**20)
    row, path = [0.5] * 3, tmp_path / 'bad.pkl'
    for sample, classes in (
        ({'pred_score': row, 'gt_label': [0]}, ('cat', 'dog', 'bird') * 300),
        ({'pred_score': row, 'gt_label': [0], 'img_path': 'x' * 5000}, CLASSES),
    ):
        path.write_bytes(pickle.dumps([sample] * 2000, protocol=2))
        with pytest.raises(ValueError, match=r'bad\.pkl: it asks for .* bytes of memory'):
            read_result_pickle(path, classes)


def test_ids_that_repeat_give_way_to_paths(tmp_path: Path) -> None:
    batch = [
        {'img_id': 1, 'img_path': path, 'pred_score': torch.rand(3), 'gt_label': torch.tensor([0])}
        for path in ('a/1.jpg', 'b/1.jpg')
    ]
    assert read_result_pickle(dump(tmp_path, batch), CLASSES).image_ids.tolist() == ['a/1.jpg', 'b/1.jpg']
