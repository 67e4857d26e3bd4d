"""Classifiers, teachers and ensembles."""

from .attention_consistency_classifier import AttentionConsistencyClassifier
from .detector_teacher import DetectorTeacher
from .distill_classifier import DistillClassifier
from .ensemble_classifier import EnsembleClassifier
from .spatial_context_classifier import SpatialContextClassifier
from .teacher import Teacher
from .teaching import Teaching

__all__ = [
    'AttentionConsistencyClassifier',
    'DetectorTeacher',
    'DistillClassifier',
    'EnsembleClassifier',
    'SpatialContextClassifier',
    'Teacher',
    'Teaching',
]
