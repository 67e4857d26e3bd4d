"""Write the weights of a trained model alone: those of a distilled student, without what only its training needed.

    python tools/export_student.py work_dirs/kd_wsd_coco/epoch_130.pth --out student.pth
    python tools/test.py PLAIN_CONFIG student.pth

The file has the keys and the size of a plain ImageClassifier's weights and the names of the labels: no losses of the
distillation, no state of optimiser, schedule or hooks. A checkpoint of any other model keeps all its weights. Where an
average of weights was trained (EMAHook), they are the average.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import torch

from mlic_mm.cli.command import CommandParser, command
from mlic_mm.safe_load.checkpoint import load_checkpoint
from mlic_mm.utils.atomic_write import atomic_write, check_can_write

TRAINING = 'distill.'
"""Names of what DistillClassifier has beside a plain classifier."""
META = ('dataset_meta', 'epoch', 'iter', 'mmengine_version')
"""Not the config, which is that of the training and names files of this machine."""


def export(checkpoint: Path, out: Path) -> int:
    """Write the weights of ``checkpoint`` to ``out``, whole or not at all; returns the number of tensors.

    Raises:
        FileNotFoundError, CheckpointError: See :func:`load_checkpoint`.
        ValueError: The file holds no weights.
    """
    loaded = load_checkpoint(checkpoint)
    weights, meta = loaded.get('state_dict', loaded), loaded.get('meta') or {}
    # Cloned, since a view would bring all of the storage that it looks at.
    kept = {
        name: tensor.clone()
        for name, tensor in weights.items()
        if isinstance(tensor, torch.Tensor) and not name.startswith(TRAINING)
    }
    if not kept:
        raise ValueError(f'{checkpoint} holds no weights; name a checkpoint of tools/train.py')
    with atomic_write(out) as part:
        torch.save({'meta': {key: meta[key] for key in META if key in meta}, 'state_dict': kept}, part)
    return len(kept)


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a training')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the file to write')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    check_can_write(args.out, args.force)
    count = export(args.checkpoint, args.out)
    before, after = (file.stat().st_size / 2**20 for file in (args.checkpoint, args.out))
    print(f'{args.out}: {count} tensors, {after:.1f} MiB (of {before:.1f} MiB)')


if __name__ == '__main__':
    main()
