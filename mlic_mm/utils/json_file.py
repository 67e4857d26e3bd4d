"""Read annotations in JSON."""

import json
from typing import Any

MOST_PIXELS = 1_000_000
"""The longest side of a photograph. A larger number is a mistake, and would overflow when it is rounded."""


def read_json(path: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: The file is no UTF-8 or no JSON, is cut short, or is nested too deep. The message names the file,
            the place and the cure.
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
