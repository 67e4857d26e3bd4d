"""Write the weights of a trained model alone."""

import re
from pathlib import Path

import torch

from mlic_mm.safe_load.checkpoint import load_checkpoint
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.utils.atomic_write import atomic_write, check_can_write

__all__ = ['export_student']

TRAINING = re.compile(r'objectives\.[^.]+\.(?!rpn_head\.)')
"""Begin of the names of what objectives learn. A region proposal network is kept, because tests may need it."""
META = ('dataset_meta', 'epoch', 'iter', 'mmengine_version')
"""Not the config, which is that of the training and names files of this machine."""


def export_student(checkpoint: str | Path, out: str | Path, *, force: bool = False) -> int:
    """Write the weights of a trained model alone, without what only its training needed.

    The file has the names of the labels, and no losses of a distillation and no state of optimiser, schedules or hooks.
    A region proposal network is kept, because tests may need it.

    Args:
        checkpoint: Of a training.
        out: The file to write, whole or not at all.
        force: Replace an existing file.

    Returns:
        The number of tensors.

    Raises:
        FileNotFoundError, CheckpointError: See :func:`load_checkpoint`. The checkpoint holds no weights.
        FileExistsError: ``out`` exists, and ``force`` is false.

    Example:
        >>> export_student('work_dirs/kd_wsd_coco/epoch_130.pth', 'student.pth')  # doctest: +SKIP
        122
    """
    check_can_write(out, force)
    loaded = load_checkpoint(checkpoint)
    weights, meta = StoredWeights.of(loaded, f'checkpoint {checkpoint}').weights, loaded.get('meta') or {}
    # Cloned, because saving a view would save all of its storage.
    kept = {name: tensor.clone() for name, tensor in weights.items() if not TRAINING.match(name)}
    with atomic_write(out) as part:
        torch.save({'meta': {key: meta[key] for key in META if key in meta}, 'state_dict': kept}, part)
    return len(kept)
