"""Metrics for mmengine's evaluators."""

from .attention_inconsistency import AttentionInconsistency
from .cor_loc import CorLoc
from .dump_scores import DumpScores
from .mlic_metric import MLICMetric
from .shared_protocol import shared_protocol

__all__ = ['AttentionInconsistency', 'CorLoc', 'DumpScores', 'MLICMetric', 'shared_protocol']
