"""Evaluation as the published evaluators do it: pure functions, metrics for mmengine, scores on disk."""

from .functional import (
    PRESETS,
    Protocol,
    average_precision,
    evaluate_scores,
    get_protocol,
    paired_bootstrap,
    tune_threshold,
)
from .metrics import DumpScores, MLICMetric
from .score_dump import ScoreDump

__all__ = [
    'PRESETS',
    'DumpScores',
    'MLICMetric',
    'Protocol',
    'ScoreDump',
    'average_precision',
    'evaluate_scores',
    'get_protocol',
    'paired_bootstrap',
    'tune_threshold',
]
