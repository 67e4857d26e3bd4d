from .batch_augments import MixupOR
from .classifiers import AttentionConsistencyClassifier, EnsembleClassifier
from .data_preprocessors import MultiLabelDataPreprocessor
from .heads import DeepLIFTHead, DeepLIFTMaps, WSDDNHead
from .label_graphs import LabelGraph
from .losses import AttentionConsistencyLoss, MultiLabelBCELoss, WeightedBCELoss, multi_label_bce
from .necks import VGGNeck
from .view_transforms import ComposeView, FlipView, Rotate90View, ScaleView, TranslateView, ViewTransform

__all__ = [
    'AttentionConsistencyClassifier',
    'AttentionConsistencyLoss',
    'ComposeView',
    'DeepLIFTHead',
    'DeepLIFTMaps',
    'EnsembleClassifier',
    'FlipView',
    'LabelGraph',
    'MixupOR',
    'MultiLabelBCELoss',
    'MultiLabelDataPreprocessor',
    'Rotate90View',
    'ScaleView',
    'TranslateView',
    'VGGNeck',
    'ViewTransform',
    'WSDDNHead',
    'WeightedBCELoss',
    'multi_label_bce',
]
