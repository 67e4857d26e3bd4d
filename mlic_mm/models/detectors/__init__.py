"""Detectors of mmdet that learn more than boxes."""

from .labelled_detector import labelled_detector

__all__ = ['labelled_detector']
