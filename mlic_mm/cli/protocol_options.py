"""The evaluation protocol as options of a command line."""

import argparse
import ast
from collections.abc import Sequence

from mlic_mm.evaluation.functional import PRESETS, Protocol, get_protocol

__all__ = ['add_protocol_options', 'chosen_protocol']


def add_protocol_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--preset NAME`` and ``--protocol OPTION=VALUE …``."""
    parser.add_argument(
        '--preset', default='mlgcn', metavar='NAME', help=f'evaluation protocol: {", ".join(PRESETS)} (default: mlgcn)'
    )
    parser.add_argument(
        '--protocol',
        nargs='+',
        default=[],
        metavar='OPTION=VALUE',
        help='options that differ from the preset, as in the metric of a config: threshold=0.3 topk=1 class_f1=mean',
    )


def chosen_protocol(preset: str, words: Sequence[str]) -> Protocol:
    """Return the protocol that the options of :func:`add_protocol_options` ask for.

    Args:
        preset: Name of a preset.
        words: ``OPTION=VALUE``, options that differ from the preset.

    Raises:
        ValueError: An unknown preset, option or value.

    Example:
        >>> chosen_protocol('asl', ['threshold=0.3']).title
        'asl, threshold=0.3'
    """
    changes = {}
    for word in words:
        name, equals, text = word.partition('=')
        if not equals:
            raise ValueError(f'--protocol {word}: write OPTION=VALUE, such as threshold=0.3')
        try:
            changes[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            changes[name] = text
    try:
        return get_protocol(preset, **changes)
    except TypeError as error:
        raise ValueError(f'--protocol {" ".join(words)}: {error}') from error
