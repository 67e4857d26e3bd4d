"""Metrics for mmengine's evaluators."""

from .dump_scores import DumpScores
from .mlic_metric import MLICMetric

__all__ = ['DumpScores', 'MLICMetric']
