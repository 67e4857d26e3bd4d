"""From loaded images to the input of a model."""

from .denormalize import denormalize
from .multi_label_data_preprocessor import MultiLabelDataPreprocessor

__all__ = ['MultiLabelDataPreprocessor', 'denormalize']
