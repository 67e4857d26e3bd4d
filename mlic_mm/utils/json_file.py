"""Read annotations in JSON, and what they have in common."""

import json
from typing import Any

MOST_PIXELS = 1_000_000
"""Of a side of a photograph; what is larger is a mistake, and overflows where it is rounded."""


def read_json(path: str) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: Not UTF-8, or cut short or otherwise no JSON, or nested too deep to be an annotation; the message
            names file, place and cure.
    """
    with open(path, 'rb') as file:
        raw = file.read()
    try:
        return json.loads(raw)
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 at byte {error.start}; save the JSON as UTF-8') from None
    except json.JSONDecodeError as error:
        where = f'line {error.lineno}, column {error.colno}'
        raise ValueError(f'{path}: not valid JSON ({error.msg} at {where}); download or write it again') from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in brackets
        reason = 'nested too deep' if isinstance(error, RecursionError) else str(error)
        raise ValueError(f'{path}: no annotation in JSON ({reason}); download or write it again') from None
