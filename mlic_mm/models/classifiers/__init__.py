"""Classifiers and ensembles."""

from .ensemble_classifier import EnsembleClassifier
from .multi_label_classifier import MultiLabelClassifier

__all__ = ['EnsembleClassifier', 'MultiLabelClassifier']
