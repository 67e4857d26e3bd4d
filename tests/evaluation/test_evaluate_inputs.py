"""What evaluate_scores takes, and what it refuses."""

import numpy as np
import pytest
import torch

from mlic_mm.evaluation import PRESETS, ScoreDump, evaluate_scores, fuse_scores, paired_bootstrap

# Four images, four classes. Class 2 has no positives, class 3 is never above 0.5.
SCORES = np.array(
    [[0.9, 0.6, 0.7, 0.1], [0.8, 0.2, 0.3, 0.4], [0.3, 0.9, 0.1, 0.2], [0.6, 0.4, 0.2, 0.45]],
    np.float32,
)
TARGETS = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1]], np.float32)


@pytest.mark.parametrize('dtype', [torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64, torch.float32])
def test_tensors_of_any_type(dtype: torch.dtype) -> None:
    scores = torch.from_numpy(SCORES).to(dtype).requires_grad_()
    expected = evaluate_scores(scores.detach().float().numpy(), TARGETS)
    assert evaluate_scores(scores, torch.from_numpy(TARGETS).bool()) == expected
    assert evaluate_scores(scores, torch.from_numpy(TARGETS).to(torch.uint8)) == expected
    assert evaluate_scores(list(scores), TARGETS) == expected
    if dtype == torch.bfloat16:
        array = scores.detach().float().numpy().astype(pytest.importorskip('ml_dtypes').bfloat16)
        assert evaluate_scores(array, TARGETS) == expected
    np.testing.assert_array_equal(fuse_scores([scores, scores]), scores.detach().float().numpy())
    compared = paired_bootstrap([scores], [scores], torch.from_numpy(TARGETS), ['mAP'], num_resamples=100)
    assert compared['mAP'].a == pytest.approx(expected['mAP'])
    dump = ScoreDump(scores, TARGETS, [''] * len(SCORES), [''] * len(SCORES), 'abcd')
    np.testing.assert_array_equal(dump.scores, scores.detach().float().numpy())


@pytest.mark.parametrize(
    ('scores', 'targets', 'message'),
    [
        (SCORES[0], TARGETS[0], r'scores must have shape \(N, C\).*\(4,\)'),
        (SCORES, TARGETS[:, 0], r'targets must have shape \(N, C\)'),
        (SCORES, TARGETS[:3], r'\(4, 4\).*\(3, 4\)'),
        (SCORES[:0], TARGETS[:0], 'N = 0'),
        (SCORES[:, :0], TARGETS[:, :0], 'C = 0'),
        (np.where(np.float32(0.45) == TARGETS * SCORES, np.nan, SCORES), TARGETS, r'scores\[3, 3\] is nan'),
        (SCORES, TARGETS * 2, r'targets\[0, 0\] is 2'),
        (SCORES, TARGETS * 0.5, r'targets\[0, 0\] is 0.5'),
        (SCORES, (TARGETS * 255).astype(np.uint8), r'targets\[0, 0\] is 255'),
        (SCORES, TARGETS - 2, r'targets\[0, 2\] is -2'),
        (SCORES, np.where(TARGETS == 1, np.nan, TARGETS), r'targets\[0, 0\] is nan'),
    ],
)
def test_refuses_bad_matrices(scores: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_scores(scores, targets)
    with pytest.raises(ValueError, match=message):
        evaluate_scores(torch.from_numpy(scores), torch.from_numpy(targets))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'preset': 'mlgnc'}, "did you mean 'mlgcn'"),
        ({'preset': 'nothing like it'}, 'must be one of mlgcn, csra, srn'),
        ({'treshold': 0.5}, "did you mean 'threshold'"),
        ({'ap': 'envelop'}, "did you mean 'envelope'"),
        ({'threshold': 'best'}, "'tuned'"),
        ({'threshold': float('nan')}, 'must be finite'),
        ({'threshold': [0.1, 0.2]}, '2 values for 4 classes'),
        ({'topk': 0}, 'at least 1'),
        ({'threshold': None}, 'must have a threshold'),
        ({'threshold': None, 'topk': None}, 'must not be set beside topk=None'),
        ({'classes': ['a']}, '1 class names for 4'),
    ],
)
def test_refuses_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_scores(SCORES, TARGETS, **options)


@pytest.mark.parametrize(
    'options',
    [{'preset': 3}, *({'threshold': value} for value in (True, {}, [], [[1], [2, 3]])), {'topk': 2.5}, {'topk': True}],
)
def test_refuses_wrong_types(options: dict) -> None:
    with pytest.raises(TypeError):
        evaluate_scores(SCORES, TARGETS, **options)


def test_refuses_what_is_no_number() -> None:
    with pytest.raises(TypeError, match='scores must be numbers'):
        evaluate_scores([['a']], [[1]])


def test_infinite_scores_are_scores() -> None:
    scores, targets = np.array([[np.inf, -np.inf], [-np.inf, 0.5], [0.7, np.inf]]), np.array([[1, 0], [0, 1], [1, 1]])
    for preset in PRESETS:
        found = evaluate_scores(scores, targets, preset)
        assert (found['mAP'], found['AUROC'], found['AUROC_micro']) == (100, 100, 100)
    assert evaluate_scores(scores, targets, 'liu')['OF1'] == 100
    lowest = evaluate_scores(np.full((2, 1), -np.inf), np.array([[1], [0]]), 'liu')
    assert np.isfinite(lowest['threshold_tuned_here'])


@pytest.mark.parametrize('given', [torch.ones(2, 2) * 1j, np.ones((2, 2)) * 1j])
def test_refuses_complex_numbers(given: object) -> None:
    with pytest.raises(TypeError, match='scores must be numbers'):
        evaluate_scores(given, np.ones((2, 2)))
