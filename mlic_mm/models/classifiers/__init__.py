from .attention_consistency_classifier import AttentionConsistencyClassifier
from .ensemble_classifier import EnsembleClassifier

__all__ = ['AttentionConsistencyClassifier', 'EnsembleClassifier']
