"""Evaluation of score matrices: checks, layout and figures, without any framework."""

from .average_precision import average_precision
from .evaluate import evaluate_scores
from .matrices import as_matrices
from .predictions import above_threshold, top_k
from .protocol import PRESETS, Protocol, get_protocol
from .threshold import tune_threshold

__all__ = [
    'PRESETS',
    'Protocol',
    'above_threshold',
    'as_matrices',
    'average_precision',
    'evaluate_scores',
    'get_protocol',
    'top_k',
    'tune_threshold',
]
