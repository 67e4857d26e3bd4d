"""Proposal generators. Those that need OpenCV's contrib build or mmdet tell so when they are built."""

from .edge_boxes_generator import EdgeBoxesGenerator
from .patch_generator import PatchGenerator
from .recall import proposal_recall
from .rpn_generator import RPNGenerator
from .selective_search_generator import SelectiveSearchGenerator

__all__ = [
    'EdgeBoxesGenerator',
    'PatchGenerator',
    'RPNGenerator',
    'SelectiveSearchGenerator',
    'proposal_recall',
]
