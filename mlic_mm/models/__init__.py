from .heads import DeepLIFTHead, DeepLIFTMaps
from .label_graphs import LabelGraph
from .losses import MultiLabelBCELoss, multi_label_bce

__all__ = ['DeepLIFTHead', 'DeepLIFTMaps', 'LabelGraph', 'MultiLabelBCELoss', 'multi_label_bce']
