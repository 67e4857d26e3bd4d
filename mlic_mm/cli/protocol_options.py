"""The evaluation protocol as options of a command line."""

import argparse
import ast

from mlic_mm.evaluation.functional import PRESETS, Protocol, get_protocol


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


def chosen_protocol(args: argparse.Namespace) -> Protocol:
    """Return the protocol that the options of :func:`add_protocol_options` ask for.

    Raises:
        ValueError: Unknown preset, option or value.
    """
    changes = {}
    for word in args.protocol:
        name, equals, text = word.partition('=')
        if not equals:
            raise ValueError(f'--protocol {word}: write OPTION=VALUE, such as threshold=0.3')
        try:
            changes[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            changes[name] = text
    try:
        return get_protocol(args.preset, **changes)
    except TypeError as error:
        raise ValueError(f'--protocol {" ".join(args.protocol)}: {error}') from error
