from .multi_label_bce_loss import MultiLabelBCELoss, multi_label_bce

__all__ = ['MultiLabelBCELoss', 'multi_label_bce']
