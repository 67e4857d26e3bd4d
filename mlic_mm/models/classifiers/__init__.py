from .ensemble_classifier import EnsembleClassifier

__all__ = ['EnsembleClassifier']
