from .batch_augments import MixupOR
from .data_preprocessors import MultiLabelDataPreprocessor
from .heads import DeepLIFTHead, DeepLIFTMaps
from .label_graphs import LabelGraph
from .losses import MultiLabelBCELoss, multi_label_bce

__all__ = [
    'DeepLIFTHead',
    'DeepLIFTMaps',
    'LabelGraph',
    'MixupOR',
    'MultiLabelBCELoss',
    'MultiLabelDataPreprocessor',
    'multi_label_bce',
]
