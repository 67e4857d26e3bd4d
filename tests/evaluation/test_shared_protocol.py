"""The protocol that log, figures and report share, from metrics that are built."""

import argparse
import logging

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from mlic_mm.cli.protocol_options import add_protocol_options, chosen_protocol
from mlic_mm.evaluation import CorLoc, MLICMetric, get_protocol, shared_protocol


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged meanwhile."""
    lines: list[str] = []
    listener = logging.Handler()
    monkeypatch.setattr(listener, 'emit', lambda record: lines.append(record.getMessage()))
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handlers', [listener])
    return lines


@pytest.mark.parametrize('kind', ['mlic_mm.MLICMetric', MLICMetric])
def test_a_preset_takes_the_place_of_the_options(kind: object, said: list[str]) -> None:
    evaluator = Evaluator([dict(type='mlic_mm.CorLoc'), dict(type=kind, preset='asl', threshold=0.3, topk=1)])
    said.clear()
    assert shared_protocol(evaluator) == get_protocol('asl', threshold=0.3, topk=1)
    assert not said
    assert shared_protocol(evaluator, 'wang') == get_protocol('wang')
    assert evaluator.metrics[1].protocol == get_protocol('wang')
    assert said == ['Protocol wang replaces "asl, threshold=0.3, topk=1" of the config and all its options']
    with pytest.raises(ValueError, match="did you mean 'wang'"):
        shared_protocol(evaluator, 'wnag')


def test_without_a_metric_one_is_added_and_measures() -> None:
    evaluator = Evaluator([CorLoc(prefix='boxes')])
    evaluator.dataset_meta = {'classes': ('a', 'b')}
    assert shared_protocol(evaluator) == get_protocol('mlgcn')
    assert len(evaluator.metrics) == 1
    assert shared_protocol(evaluator, get_protocol('guo', topk=1)).title == 'guo, topk=1'
    (metric,) = evaluator.metrics[1:]
    metric.process(None, [{'pred_score': torch.tensor([0.9, 0.1]), 'gt_score': torch.tensor([1, 0])}])
    assert metric.evaluate(1)['OF1_top1'] == 100
    metric.process(None, [{'pred_score': torch.tensor([0.9]), 'gt_score': torch.tensor([1])}])
    with pytest.raises(ValueError, match='scores 1 classes, the data set has 2'):
        metric.evaluate(1)


def test_of_several_metrics_the_one_without_a_prefix_decides(said: list[str]) -> None:
    metrics = [MLICMetric('guo', prefix='all'), MLICMetric('asl', threshold=0.75), MLICMetric('q2l', prefix='q')]
    assert shared_protocol(Evaluator(metrics)).title == 'asl, threshold=0.75'
    assert said == ['The report follows the protocol "asl, threshold=0.75"; also measured: all: guo; q: q2l']
    assert shared_protocol(Evaluator(metrics[::2])).title == 'guo'
    shared_protocol(Evaluator(metrics), 'wang')
    assert {metric.protocol.title for metric in metrics} == {'wang'}


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ([], get_protocol('mlgcn')),
        (
            ['--preset', 'asl', '--protocol', 'threshold=0.3', 'topk=None'],
            get_protocol('asl', threshold=0.3, topk=None),
        ),
        (['--protocol', 'threshold=[.1,.2]', 'class_f1=mean'], get_protocol(threshold=[0.1, 0.2], class_f1='mean')),
        (['--protocol', 'threshold=tuned'], get_protocol(threshold='tuned')),
    ],
)
def test_protocol_of_a_command_line(words: list[str], expected: object) -> None:
    parser = argparse.ArgumentParser()
    add_protocol_options(parser)
    args = parser.parse_args(words)
    assert chosen_protocol(args.preset, args.protocol) == expected
