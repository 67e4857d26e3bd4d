"""Classifiers, heads, losses, layers and what stands between them."""

from . import patch_generators
from .batch_augments import MixupOR
from .classifiers import EnsembleClassifier, MultiLabelClassifier
from .data_preprocessors import MultiLabelDataPreprocessor
from .detectors import labelled_detector
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
from .necks import TokensToMap, VGGNeck
from .objectives import AttentionConsistency, Distillation, Objective, RegionProposals
from .teachers import DetectorTeacher, Teacher, Teaching
from .view_transforms import ComposeView, FlipView, Rotate90View, ScaleView, TranslateView, ViewTransform

__all__ = [
    'AttentionConsistency',
    'AttentionConsistencyLoss',
    'AttentionTransferLoss',
    'ClassAwareDistillLoss',
    'ComposeView',
    'DeepLIFTHead',
    'DeepLIFTMaps',
    'DetectorTeacher',
    'DistillLoss',
    'DistillOutputs',
    'Distillation',
    'EnsembleClassifier',
    'FeatureDistillLoss',
    'FitNetsLoss',
    'FlipView',
    'HintonDistillLoss',
    'LabelGraph',
    'MixupOR',
    'MultiLabelBCELoss',
    'MultiLabelClassifier',
    'MultiLabelDataPreprocessor',
    'Objective',
    'RegionProposals',
    'RoIFeatureDistillLoss',
    'Rotate90View',
    'ScaleView',
    'SpatialContextHead',
    'Teacher',
    'Teaching',
    'TokensToMap',
    'TranslateView',
    'VGGNeck',
    'ViewTransform',
    'WSDDNHead',
    'WeightedBCELoss',
    'constant_labels',
    'labelled_detector',
    'multi_label_bce',
    'patch_generators',
]
