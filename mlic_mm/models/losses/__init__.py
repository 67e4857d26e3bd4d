"""Losses for labels, attention and distillation."""

from .attention_consistency_loss import AttentionConsistencyLoss, attention_distance
from .attention_transfer_loss import AttentionTransferLoss
from .class_aware_distill_loss import ClassAwareDistillLoss
from .distill_loss import DistillLoss, FeatureDistillLoss
from .distill_outputs import DistillOutputs
from .fitnets_loss import FitNetsLoss
from .hinton_distill_loss import HintonDistillLoss
from .known_labels import leave_out_unknown
from .multi_label_bce_loss import MultiLabelBCELoss, multi_label_bce
from .roi_feature_distill_loss import RoIFeatureDistillLoss, roi_feature_distance
from .weighted_bce_loss import WeightedBCELoss

__all__ = [
    'AttentionConsistencyLoss',
    'AttentionTransferLoss',
    'ClassAwareDistillLoss',
    'DistillLoss',
    'DistillOutputs',
    'FeatureDistillLoss',
    'FitNetsLoss',
    'HintonDistillLoss',
    'MultiLabelBCELoss',
    'RoIFeatureDistillLoss',
    'WeightedBCELoss',
    'attention_distance',
    'leave_out_unknown',
    'multi_label_bce',
    'roi_feature_distance',
]
