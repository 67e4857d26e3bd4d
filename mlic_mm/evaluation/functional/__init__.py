"""Evaluation of score matrices without any framework: checks, layout and metrics."""

from .auroc import auroc
from .average_precision import average_precision
from .bootstrap import Comparison, bootstrap_interval, paired_bootstrap
from .evaluate import evaluate_scores
from .matrices import as_matrices
from .predictions import above_threshold, top_k
from .protocol import PRESETS, Protocol, get_protocol
from .threshold import tune_threshold

__all__ = [
    'PRESETS',
    'Comparison',
    'Protocol',
    'above_threshold',
    'as_matrices',
    'auroc',
    'average_precision',
    'bootstrap_interval',
    'evaluate_scores',
    'get_protocol',
    'paired_bootstrap',
    'top_k',
    'tune_threshold',
]
