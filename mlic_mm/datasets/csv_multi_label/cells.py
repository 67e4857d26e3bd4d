"""The meaning of the cells of a user's table: flags, and lists of labels in the usual notations."""

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence

from mmengine.logging import print_log

from mlic_mm.utils.label_names import clean_name, has_control

BLANK = frozenset({'', 'nan', 'none', 'null', 'na', 'n/a', '<na>'})
"""Blank cells as pandas, Python, databases and R write them, in lower case."""
_FLAGS = dict.fromkeys(('1', '1.0', '+1', 'true'), 1) | dict.fromkeys(('0', '0.0', 'false', *BLANK), 0)
_FLAGS |= dict.fromkeys(('-1', '-1.0'), -1)
FLAG_HELP = '1 (present), 0 or blank (absent) or -1 (ignored)'
# fmt: off
_NEARLY_FLAGS = frozenset({
    'true', 'false', 't', 'f', 'yes', 'no', 'y', 'n', 'on', 'off', 'x', '+', '-', '?', '✓', '✔', '✗', '✘',
    'positive', 'negative', 'pos', 'neg', 'present', 'absent', 'unknown', 'uncertain', 'unsure', 'maybe', 'ignored',
})
# fmt: on
# An item of a list that Python or NumPy printed: ['cat', "dog's bed"] or ['cat' 'dog'].
_QUOTED = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?:,|(?=['"]|$))""", re.DOTALL)


def read_flag(cell: str) -> int | None:
    """Return 1, 0 or −1, or None if the cell is no flag.

    Example:
        >>> read_flag('True'), read_flag('nan'), read_flag('cat')
        (1, 0, None)
    """
    flag = _FLAGS.get(cell)
    return _FLAGS.get(cell.lower()) if flag is None else flag


def are_flags(cells: Sequence[str]) -> bool:
    """Return whether all cells are flags, and at least one is not blank."""
    return all(read_flag(cell) is not None for cell in cells) and any(cell.lower() not in BLANK for cell in cells)


def are_nearly_flags(cells: Sequence[str]) -> bool:
    """Return whether all cells that are not blank are numbers, or words such as yes and no. There must be one."""
    found = {cell for cell in map(str.lower, cells) if cell not in BLANK}
    return bool(found) and all(cell in _NEARLY_FLAGS or _is_number(cell) for cell in found)


def are_rows_of_flags(cells: Sequence[str]) -> bool:
    """Return whether all cells that are not blank hold equally many flags, two or more, as in ``[1. 0.]`` of NumPy."""
    rows = [re.findall(r"""[^\s,;|()\[\]{}'"]+""", cell) for cell in cells if cell.lower() not in BLANK]
    return (
        len({len(row) for row in rows}) == 1
        and len(rows[0]) > 1
        and all(read_flag(item.removesuffix('.')) is not None for row in rows for item in row)
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell.removesuffix('%'))
    except ValueError:
        return False
    return True


def read_labels(cell: str, delimiter: str | None, classes: Sequence[str] = ()) -> list[str]:
    """Return the labels in a cell.

    Args:
        cell: ``cat;dog``, ``['cat', 'dog']``, ``["cat", "dog"]``, ``nan`` …
        delimiter: Text between labels. A space stands for any white space. None means that the cell is one label.
        classes: Names that are labels even if they look like a blank cell, such as ``None``.

    Raises:
        ValueError: A label is blank, occurs twice or has control characters, or a list does not end. The message names
            the cell and the cure.

    Example:
        >>> read_labels("['cat', 'wild dog']", None)
        ['cat', 'wild dog']
    """
    if cell in classes:
        return [cell]
    if cell.lower() in BLANK:
        return []
    if is_list(cell):
        labels = _read_list(cell, classes)
    elif delimiter == ' ':
        labels = cell.split()
    else:
        labels = [label.strip() for label in (cell.split(delimiter) if delimiter else [cell])]
    labels = [clean_name(label) for label in labels]
    for position, label in enumerate(labels):
        if not label:
            raise ValueError(f'a blank label in {cell[:80]!r}; remove the extra {delimiter or ","!r}')
        if has_control(label):
            raise ValueError(f'label {label[:80]!r} has a control character; remove it')
        if label in labels[:position]:
            raise ValueError(f'label {label!r} twice in {cell[:80]!r}; keep one')
    return labels


def is_list(cell: str) -> bool:
    """Return whether a cell is a list, tuple or set as Python, NumPy or JSON print it."""
    return cell.startswith(('[', "('", '("', "{'", '{"'))


def _read_list(cell: str, classes: Sequence[str]) -> list[str]:
    try:
        items = json.loads(cell)
        if isinstance(items, list) and all(isinstance(item, (str, int)) for item in items):
            return [str(item).strip() for item in items]
    except (ValueError, RecursionError):
        pass
    inner = cell[1:-1].strip()
    if cell[-1] != {'[': ']', '(': ')', '{': '}'}[cell[0]]:
        raise ValueError(f'the list {cell[:80]!r} does not end; put quotes around the whole cell')
    if not inner.startswith(('"', "'")):  # [cat, wild dog] or NumPy's [0 3]
        items = [item.strip() for item in (inner.split(',') if ',' in inner else inner.split())]
        if any(item[:1] in ('"', "'") for item in items):  # [nan, 'cat']
            raise ValueError(f'{cell[:80]!r}: some labels have quotes and some have none; write cat;dog')
        return [item for item in items if not item or item in classes or item.lower() not in BLANK]
    items, at = [], 0
    while at < len(inner):
        match = _QUOTED.match(inner, at)
        if match is None:
            raise ValueError(f"{cell[:80]!r} is no list of labels; write ['cat', 'dog'] or cat;dog")
        try:
            items.append(str(ast.literal_eval(match[1])).strip())
        except (ValueError, SyntaxError):
            items.append(match[1][1:-1].strip())
        at = match.end()
    return items


def find_delimiter(cells: Sequence[str], name: str, asked: Sequence[str] | None, source: str) -> str | None:
    """Return what separates the labels in a column of lists, or None if each cell is one label.

    The function tries in this order: a delimiter with which all labels are classes of the user; ``;`` or ``|``; a
    comma; and a blank, if the name of the column is tags or targets, or if a word occurs beside different words. It
    logs its choice if another choice is plausible.

    Args:
        cells: The column.
        name: Plain name of the column, '' without a header.
        asked: ``metainfo['classes']``.
        source: The file, for messages.

    Raises:
        ValueError: It is unclear what separates the labels.
    """
    plain = sorted({cell for cell in cells if cell.lower() not in BLANK and not is_list(cell)})
    if asked is not None:
        if all(cell in asked for cell in plain):
            return None
        for mark in (';', '|', ',', ' '):
            tokens = (token.strip() for cell in plain for token in (cell.split() if mark == ' ' else cell.split(mark)))
            if all(token in asked for token in tokens):
                return mark
    marks = [mark for mark in (';', '|') if any(mark in cell for cell in plain)]
    marks = marks or [mark for mark in (',',) if any(mark in cell for cell in plain)]
    cure = "set label_delimiter (label_delimiter=';' where spaces are part of a label)"
    if len(marks) > 1:
        raise ValueError(f"{source}: labels are separated by both ';' and '|'; {cure}")
    if marks:
        found = {label.strip() for cell in plain for label in cell.split(marks[0])}
        mixed = [label for label in sorted(found) if ',' in label and marks[0] != ',']
        if any(part.strip() in found for label in mixed for part in label.split(',')):
            raise ValueError(f"{source}: labels are separated by both {marks[0]!r} and ',' ({mixed[0][:80]!r}); {cure}")
        if mixed:
            print_log(f'{source}: labels are separated by {marks[0]!r}: {mixed[0][:80]!r} is one', 'current', level=30)
        return marks[0]
    spaced = [cell for cell in plain if ' ' in cell]
    if not spaced:
        return None
    company = Counter(word for cell in plain for word in set(cell.split()))
    if name not in ('tags', 'tag', 'target', 'targets') and not any(
        company[word] > 1 for cell in spaced for word in cell.split()
    ):
        raise ValueError(f'{source}: {spaced[0][:80]!r} may be one label or several; {cure}')
    print_log(
        f'{source}: labels are separated by spaces: {spaced[0][:80]!r} is {len(spaced[0].split())} labels. If it is '
        "one, set label_delimiter=';'",
        'current',
        level=30,
    )
    return ' '
