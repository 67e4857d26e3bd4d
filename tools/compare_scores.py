"""Compare two models from the scores that ``tools/test.py --out`` wrote, with a paired bootstrap interval.

    python tools/compare_scores.py --a plain_seed0.npz plain_seed1.npz --b lift_seed0.npz lift_seed1.npz
    python tools/compare_scores.py --a plain.npz --b distilled.npz --plot gains.svg

Several files of one model are its runs with different seeds. Images are matched by their ids, classes by their names.
``--plot`` draws what b gains over a for each label, in points of AP with the interval over images, the label that most
images have on the left.
"""

from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.compare_scores import compare_scores
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.cli.protocol_options import add_protocol_options, chosen_protocol


@command
def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('--a', nargs='+', required=True, metavar='NPZ', help='runs of the first model')
    parser.add_argument('--b', nargs='+', required=True, metavar='NPZ', help='runs of the second model')
    add_protocol_options(parser)
    parser.add_argument('--figures', nargs='+', default=['mAP', 'CF1', 'OF1'])
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument('--plot', type=Path, metavar='FILE', help='plot the gain of each label (.svg, .png or .pdf)')
    parser.add_argument('--force', action='store_true', help='replace an existing plot')
    words = parser.parse_keywords(argv)
    protocol = chosen_protocol(words.pop('preset'), words.pop('protocol'))
    print(compare_scores(**words, protocol=protocol))


if __name__ == '__main__':
    main()
