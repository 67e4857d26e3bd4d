from .batch_augments import MixupOR
from .classifiers import EnsembleClassifier
from .data_preprocessors import MultiLabelDataPreprocessor
from .heads import DeepLIFTHead, DeepLIFTMaps
from .label_graphs import LabelGraph
from .losses import MultiLabelBCELoss, multi_label_bce
from .necks import VGGNeck

__all__ = [
    'DeepLIFTHead',
    'DeepLIFTMaps',
    'EnsembleClassifier',
    'LabelGraph',
    'MixupOR',
    'MultiLabelBCELoss',
    'MultiLabelDataPreprocessor',
    'VGGNeck',
    'multi_label_bce',
]
