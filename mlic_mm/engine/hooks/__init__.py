"""Hooks for training and testing."""

from .alternate_batch_augment_hook import AlternateBatchAugmentHook
from .channels_last_hook import ChannelsLastHook
from .corrupt_image_hook import CorruptImageHook
from .distill_stage_hook import DistillStageHook
from .early_stopping_hook import EarlyStoppingHook
from .exact_resume_hook import ExactResumeHook
from .known_labels_hook import KnownLabelsHook
from .label_check_hook import LabelCheckHook
from .loss_warmup_hook import LossWarmupHook
from .non_finite_loss_hook import NonFiniteLossHook
from .positive_ratio_hook import PositiveRatioHook
from .sync_buffers_hook import SyncBuffersHook
from .unfreeze_hook import UnfreezeHook

__all__ = [
    'AlternateBatchAugmentHook',
    'ChannelsLastHook',
    'CorruptImageHook',
    'DistillStageHook',
    'EarlyStoppingHook',
    'ExactResumeHook',
    'KnownLabelsHook',
    'LabelCheckHook',
    'LossWarmupHook',
    'NonFiniteLossHook',
    'PositiveRatioHook',
    'SyncBuffersHook',
    'UnfreezeHook',
]
