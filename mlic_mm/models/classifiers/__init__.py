from .attention_consistency_classifier import AttentionConsistencyClassifier
from .distill_classifier import DistillClassifier
from .ensemble_classifier import EnsembleClassifier
from .teacher import Teacher

__all__ = ['AttentionConsistencyClassifier', 'DistillClassifier', 'EnsembleClassifier', 'Teacher']
