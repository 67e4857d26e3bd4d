from .denormalize import denormalize
from .multi_label_data_preprocessor import MultiLabelDataPreprocessor

__all__ = ['MultiLabelDataPreprocessor', 'denormalize']
