"""Training objectives, which are parts of ``MultiLabelClassifier``."""

from .attention_consistency import AttentionConsistency
from .distillation import Distillation
from .objective import Objective, Step, ViewOutputs
from .region_proposals import RegionProposals

__all__ = ['AttentionConsistency', 'Distillation', 'Objective', 'RegionProposals', 'Step', 'ViewOutputs']
