"""Classifiers, heads, losses, layers and what stands between them."""

from . import patch_generators
from .batch_augments import MixupOR
from .classifiers import (
    AttentionConsistencyClassifier,
    DetectorTeacher,
    DistillClassifier,
    EnsembleClassifier,
    SpatialContextClassifier,
    Teacher,
    Teaching,
)
from .data_preprocessors import MultiLabelDataPreprocessor
from .heads import DeepLIFTHead, DeepLIFTMaps, SpatialContextHead, WSDDNHead, constant_labels
from .label_graphs import LabelGraph
from .losses import (
    AttentionConsistencyLoss,
    AttentionTransferLoss,
    ClassAwareDistillLoss,
    DistillLoss,
    DistillOutputs,
    FeatureDistillLoss,
    FitNetsLoss,
    HintonDistillLoss,
    MultiLabelBCELoss,
    RoIFeatureDistillLoss,
    WeightedBCELoss,
    multi_label_bce,
)
from .necks import VGGNeck
from .view_transforms import ComposeView, FlipView, Rotate90View, ScaleView, TranslateView, ViewTransform

__all__ = [
    'AttentionConsistencyClassifier',
    'AttentionConsistencyLoss',
    'AttentionTransferLoss',
    'ClassAwareDistillLoss',
    'ComposeView',
    'DeepLIFTHead',
    'DeepLIFTMaps',
    'DetectorTeacher',
    'DistillClassifier',
    'DistillLoss',
    'DistillOutputs',
    'EnsembleClassifier',
    'FeatureDistillLoss',
    'FitNetsLoss',
    'FlipView',
    'HintonDistillLoss',
    'LabelGraph',
    'MixupOR',
    'MultiLabelBCELoss',
    'MultiLabelDataPreprocessor',
    'RoIFeatureDistillLoss',
    'Rotate90View',
    'ScaleView',
    'SpatialContextClassifier',
    'SpatialContextHead',
    'Teacher',
    'Teaching',
    'TranslateView',
    'VGGNeck',
    'ViewTransform',
    'WSDDNHead',
    'WeightedBCELoss',
    'constant_labels',
    'multi_label_bce',
    'patch_generators',
]
