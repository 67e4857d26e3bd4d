"""Metrics for mmengine's evaluators."""

from .attention_inconsistency import AttentionInconsistency
from .dump_scores import DumpScores
from .mlic_metric import MLICMetric

__all__ = ['AttentionInconsistency', 'DumpScores', 'MLICMetric']
