from .attention_consistency_classifier import AttentionConsistencyClassifier
from .detector_teacher import DetectorTeacher
from .distill_classifier import DistillClassifier
from .ensemble_classifier import EnsembleClassifier
from .spatial_context_classifier import SpatialContextClassifier
from .teacher import Teacher

__all__ = [
    'AttentionConsistencyClassifier',
    'DetectorTeacher',
    'DistillClassifier',
    'EnsembleClassifier',
    'SpatialContextClassifier',
    'Teacher',
]
