"""Train, test and report on the embedded data set: the part of ``make demo`` after the installation.

Writes to ``work_dirs/demo``; an earlier demo there is set aside by tools/train.py, never overwritten.
"""

import sys
from collections.abc import Sequence

import _clone  # noqa: F401

from mlic_mm.apis.demo import run_demo
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser


@command(interrupted='interrupted: the same command starts the training anew')
def main(argv: Sequence[str] | None = None) -> int:
    CommandParser(description=__doc__).parse_args(argv)
    return run_demo()


if __name__ == '__main__':
    sys.exit(main())
