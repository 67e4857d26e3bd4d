"""Transforms that move an image and its map alike."""

from .compose_view import ComposeView, build_views
from .flip_view import FlipView
from .inconsistency import inconsistency
from .rotate90_view import Rotate90View
from .scale_view import ScaleView
from .translate_view import TranslateView
from .view_transform import MapPair, ViewTransform

__all__ = [
    'ComposeView',
    'FlipView',
    'MapPair',
    'Rotate90View',
    'ScaleView',
    'TranslateView',
    'ViewTransform',
    'build_views',
    'inconsistency',
]
