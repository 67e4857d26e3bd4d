from .attention_consistency_loss import AttentionConsistencyLoss, attention_distance
from .multi_label_bce_loss import MultiLabelBCELoss, multi_label_bce
from .weighted_bce_loss import WeightedBCELoss

__all__ = [
    'AttentionConsistencyLoss',
    'MultiLabelBCELoss',
    'WeightedBCELoss',
    'attention_distance',
    'multi_label_bce',
]
