"""Data sets for multi-label image classification and their transforms."""

from .coco import COCOMultiLabel
from .csv_multi_label import CSVMultiLabel
from .digit_scenes import DigitScenes
from .multi_label_base import MultiLabelBase
from .nus_wide import NUSWIDE
from .pa100k import PA100K
from .proposals import ProposalFile
from .teacher_cache import TeacherCache, teacher_fingerprint
from .transforms import CropBox, LoadImage, LoadProposals, LoadTeacher, PackProposals
from .voc import VOCMultiLabel
from .wider_attribute import WIDERAttribute

__all__ = [
    'NUSWIDE',
    'PA100K',
    'COCOMultiLabel',
    'CSVMultiLabel',
    'CropBox',
    'DigitScenes',
    'LoadImage',
    'LoadProposals',
    'LoadTeacher',
    'MultiLabelBase',
    'PackProposals',
    'ProposalFile',
    'TeacherCache',
    'VOCMultiLabel',
    'WIDERAttribute',
    'teacher_fingerprint',
]
