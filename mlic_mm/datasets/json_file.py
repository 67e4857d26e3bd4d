"""Read annotations in JSON."""

import json
from typing import Any


def read_json(path: str) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: Not UTF-8, or cut short or otherwise no JSON; the message names file, place and cure.
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
