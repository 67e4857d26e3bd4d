import math
from typing import Any

import pytest
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmpretrain.structures import DataSample

from mlic_mm.evaluation import AttentionInconsistency


def samples(*measured: dict[str, list[float]]) -> list[DataSample]:
    found = []
    for fields in measured:
        sample = DataSample()
        sample.set_field(fields, 'attention_inconsistency')
        found.append(sample)
    return found


def evaluate(*batches: list[DataSample], **options: Any) -> dict[str, float]:
    evaluator = Evaluator(dict(type='mlic_mm.AttentionInconsistency', **options))
    for batch in batches:
        evaluator.process(data_samples=batch, data_batch=None)
    return evaluator.evaluate(sum(map(len, batches)))


def test_by_hand() -> None:
    """Distances 1, 3, 8 over three images have the mean 4; 1, 2, 3 of centred maps are half their variances."""
    first = samples(
        {'flip': [1.0, 1.0, 2.0], 'flip+scale_96': [0.5, 0.5, 1.0]},
        {'flip': [3.0, 2.0, 4.0], 'flip+scale_96': [0.0, 0.0, 2.0]},
    )
    second = samples({'flip': [8.0, 3.0, 6.0], 'flip+scale_96': [1.0, 1.0, 3.0]})
    assert evaluate(first, second) == {
        'inconsistency_flip': 4,
        'relative_inconsistency_flip': 0.5,  # of the means, so that an image without contrast does not weigh in alone
        'inconsistency_flip+scale_96': 0.5,
        'relative_inconsistency_flip+scale_96': 0.25,
    }


def test_names() -> None:
    assert evaluate(samples({'flip': [0.0, 0.0, 1.0]})) == {'inconsistency_flip': 0, 'relative_inconsistency_flip': 0}
    prefixed = evaluate(samples({'flip': [0.0, 0.0, 1.0]}), prefix='cam')
    assert list(prefixed) == ['cam/inconsistency_flip', 'cam/relative_inconsistency_flip']
    assert isinstance(METRICS.build(dict(type='mlic_mm.AttentionInconsistency')), AttentionInconsistency)


def test_maps_without_contrast_have_no_relative_figure() -> None:
    figures = evaluate(samples({'flip': [0.5, 0.5, 0.0]}))
    assert figures['inconsistency_flip'] == 0.5
    assert math.isnan(figures['relative_inconsistency_flip'])


def test_a_second_test_starts_anew() -> None:
    evaluator = Evaluator(dict(type='mlic_mm.AttentionInconsistency'))
    for value in (4.0, 2.0):
        evaluator.process(data_samples=samples({'flip': [value, value, 1.0]}), data_batch=None)
        assert evaluator.evaluate(1)['inconsistency_flip'] == value


def test_padding_of_the_last_batch_is_left_out() -> None:
    """Processes fill their last batch up; the evaluator is told how many images there are."""
    evaluator = Evaluator(dict(type='mlic_mm.AttentionInconsistency'))
    measured = [{'flip': [value, value, 1.0]} for value in (1.0, 3.0, 99.0)]
    evaluator.process(data_samples=samples(*measured), data_batch=None)
    assert evaluator.evaluate(2)['inconsistency_flip'] == 2


def test_a_model_that_measures_nothing() -> None:
    with pytest.raises(ValueError, match=r"set model\.type='mlic_mm\.MultiLabelClassifier' and .*measure=True"):
        evaluate([DataSample()])
