"""Write the weights of a trained model alone: those of a distilled student, without what only its training needed.

    python tools/export_student.py work_dirs/kd_wsd_coco/epoch_130.pth --out student.pth
    python tools/test.py PLAIN_CONFIG student.pth

The file has the keys and the size of a plain ImageClassifier's weights and the names of the labels: no losses of the
distillation, no state of optimiser, schedule or hooks. A checkpoint of any other model keeps all its weights. Where an
average of weights was trained (EMAHook), they are the average.
"""

from collections.abc import Sequence
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.export_student import export_student
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a training')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the file to write')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    count = export_student(args.checkpoint, args.out, force=args.force)
    before, after = (file.stat().st_size / 2**20 for file in (args.checkpoint, args.out))
    print(f'{args.out}: {count} tensors, {after:.1f} MiB (of {before:.1f} MiB)')


if __name__ == '__main__':
    main()
