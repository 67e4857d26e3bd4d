"""Jobs, one module each: train, test, predict, build, fuse and draw. Tools and users call them."""

from .multi_label_inferencer import MultiLabelInferencer
from .test_time_views import AverageViewsHook, view_pipeline

__all__ = ['AverageViewsHook', 'MultiLabelInferencer', 'view_pipeline']
