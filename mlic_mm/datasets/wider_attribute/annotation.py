"""Read the annotation of WIDER Attribute."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.logging import print_log

from mlic_mm.safe_load.pickle_bounds import show
from mlic_mm.utils.json_file import MOST_PIXELS, read_json

ATTRIBUTES = (
    'Male',
    'longHair',
    'sunglass',
    'Hat',
    'Tshirt',
    'longSleeve',
    'formal',
    'shorts',
    'jeans',
    'longPants',
    'skirt',
    'faceMask',
    'logo',
    'stripe',
)
"""In the published order, that of Fig. 4 in the attention consistency paper."""


class Person(NamedTuple):
    """A person in an image.

    Attributes:
        box: [x1, y1, x2, y2] in pixels, with the right and lower edges outside.
        values: The 14 attributes as published: 1 present, −1 absent, 0 unspecified.
    """

    box: list[float]
    values: list[int]


def read_persons(path: str, folders: Sequence[str]) -> dict[str, list[Person]]:
    """Return the persons of every image by its ``file_name``. Images without persons are included.

    Args:
        path: ``wider_attribute_trainval.json`` or ``wider_attribute_test.json``.
        folders: The first folders that a ``file_name`` in this file may have: ``train``, ``val``, ``test``.

    Raises:
        ValueError: The file is incomplete or of another kind, or an entry is invalid. The message names file, image,
            value and cure.
    """
    content = read_json(path)
    entries = content.get('images') if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path}: no list 'images': not an annotation of WIDER Attribute; use its JSON")
    _check_names(content.get('attribute_id_map'), path)
    first: dict[str, int] = {}
    persons = {}
    for position, entry in enumerate(entries):
        where = f'{path}: images[{position}]'
        if not isinstance(entry, dict) or not isinstance(entry.get('targets'), list) or 'file_name' not in entry:
            raise ValueError(f"{where} = {show(entry)} lacks 'file_name' or a list 'targets'; add them")
        name = str(entry['file_name'])
        if not name.startswith(tuple(f'{folder}/' for folder in folders)):
            raise ValueError(
                f'{where}: {name!r} is not in {"/ or ".join(folders)}/; use the published file of the split'
            )
        if name in first:
            raise ValueError(f'{where}: {name!r} is already images[{first[name]}]; merge their targets')
        first[name] = position
        persons[name] = [_person(target, f'{path}: {name}#{k}') for k, target in enumerate(entry['targets'])]
    return persons


def _person(target: Any, where: str) -> Person:
    values, bbox = (target.get(key) for key in ('attribute', 'bbox')) if isinstance(target, dict) else (None, None)
    if not isinstance(values, list) or len(values) != len(ATTRIBUTES):
        raise ValueError(f'{where} has attribute {show(values)}, expected {len(ATTRIBUTES)} values; correct it')
    for name, value in zip(ATTRIBUTES, values, strict=True):
        if value not in (1, -1, 0):
            raise ValueError(
                f'{where} has {name} = {show(value)}, expected 1 (present), -1 (absent) or 0 (unspecified); correct it'
            )
    try:
        x, y, width, height = (float(value) for value in bbox or ())
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'{where} has bbox {show(bbox)}, expected [x, y, width, height]; correct it') from None
    box = [x, y, x + width, y + height]
    # The size of the photograph is not in the file: CropBox checks the other two edges.
    if not all(abs(edge) <= MOST_PIXELS for edge in box) or min(width, height, *box[2:]) <= 0:
        raise ValueError(
            f'{where} has bbox {show(bbox)}, which has no area inside the photograph; correct it or remove the person'
        )
    return Person(box, values)


def _check_names(names: Any, path: str) -> None:
    """Check the file's own list of attributes, if it has one. Another order is an error, other words are logged."""
    if names is None:
        return
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(ATTRIBUTES))}:
        raise ValueError(f'{path}: attribute_id_map = {show(names)} must name attributes "0" to "13"; correct it')
    for index, expected in enumerate(ATTRIBUTES):
        name = str(names[str(index)])
        plain = _plain(name)
        # 'Long Sleeves' and 'longSleeve' are the same: one begins with the other.
        found = next((a for a in ATTRIBUTES if plain.startswith(_plain(a)) or _plain(a).startswith(plain)), None)
        if found is None:
            print_log(f'{path}: attribute {index}, {name!r}, is taken for {expected!r}', 'current', level=30)
        elif found != expected:
            raise ValueError(
                f'{path}: attribute {index} is {name!r} where WIDER Attribute has {expected!r}; put them in the '
                "published order and choose yours by metainfo['classes']"
            )


def _plain(name: str) -> str:
    """Return a name in lower case without spaces and hyphens."""
    return ''.join(c for c in name.lower() if c.isalnum())
