"""Read the labels of all images of a table, in either of its layouts."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mlic_mm.utils.choices import did_you_mean
from mlic_mm.utils.label_names import select_classes

from .cells import BLANK, FLAG_HELP, are_rows_of_flags, find_delimiter, read_flag, read_labels
from .table import Table, plain_name


class Labels(NamedTuple):
    """The classes, and for each image the indices of those that are present and of those that are ignored."""

    classes: tuple[str, ...]
    images: list[tuple[str, list[int], list[int]]]


def labels_from_lists(table: Table, column: int, delimiter: str | None, asked: tuple[str, ...] | None) -> Labels:
    """Read a column of lists.

    Args:
        table: The table.
        column: The column of the lists.
        delimiter: What separates labels. With None it is recognised.
        asked: The classes that the user names.

    Raises:
        ValueError: A cell cannot be read, or a label is none of the classes; names the line.
    """
    rows, cells = table.rows, table.column(column)
    if are_rows_of_flags(cells) and not {'0', '1'} <= {*(asked or ())}:
        line, cell = next((line, row[column]) for line, row in rows if row[column].lower() not in BLANK)
        raise ValueError(
            f'{table.source}:{line}: {cell[:80]!r} is a row of flags in one cell; write one column a label, with its '
            'name in the header: path,cat,dog'
        )
    if delimiter is None:
        name = plain_name(table.names[column]) if table.names else ''
        delimiter = find_delimiter(cells, name, asked, table.source)
    parsed = []
    for line, row in rows:
        try:
            parsed.append((line, row[table.path], read_labels(row[column], delimiter, asked or ())))
        except ValueError as error:
            raise ValueError(f'{table.source}:{line}: {error}') from None
    found = sorted({label for _, _, labels in parsed for label in labels})
    if asked is None and not found:
        raise ValueError(f"{table.source}: no image has a label; set metainfo['classes'] if that is meant")
    classes = tuple(found) if asked is None else asked
    index = {name: i for i, name in enumerate(classes)}
    for line, _, labels in parsed:
        if lacking := [label for label in labels if label not in index]:
            meant = did_you_mean(lacking[0], classes)
            raise ValueError(f"{table.source}:{line}: label {lacking[0]!r} is not in metainfo['classes']{meant}")
    return Labels(classes, [(path, [index[label] for label in labels], []) for _, path, labels in parsed])


def labels_from_flags(
    table: Table, minus_one: Literal['ignored', 'absent'] | None, asked: tuple[str, ...] | None
) -> Labels:
    """Read a column of flags for each label.

    Args:
        table: The table.
        minus_one: What −1 means.
        asked: The classes that the user names.

    Raises:
        ValueError: A cell is no flag, or −1 is unlikely to mean ignored. The message names the line or the column.
    """
    names = table.names
    if names is None:
        if asked is None or len(asked) != len(table.labels):
            given = 'none' if asked is None else len(asked)
            raise ValueError(
                f"{table.source}: {len(table.labels)} label columns without a header, and metainfo['classes'] names "
                f'{given}; add a header (first cell "path") or name every column in order'
            )
        names = ['', *asked]
    classes = select_classes(asked, [names[i] for i in table.labels], table.source)
    columns = {names[i]: i for i in table.labels}
    flags: list[list[int]] = []
    for line, row in table.rows:
        read = [read_flag(row[columns[name]]) for name in classes]
        if None in read:
            name = classes[read.index(None)]
            raise ValueError(
                f'{table.source}:{line}: {row[columns[name]]!r} in column {name!r}; write {FLAG_HELP}. If this line is '
                'a header, set header=True or begin it with "path"; if the column is no label, name the labels by '
                "metainfo['classes'], or the column of lists by label_column"
            )
        flags.append([flag for flag in read if flag is not None])
    if minus_one is None:
        _check_minus_one(table.source, flags, classes)
    ignored = 0 if minus_one == 'absent' else -1
    paths = table.column(table.path)
    return Labels(
        classes, [(path, _places(row, 1), _places(row, ignored)) for path, row in zip(paths, flags, strict=True)]
    )


def _places(flags: Sequence[int], value: int) -> list[int]:
    return [i for i, flag in enumerate(flags) if flag == value]


def _check_minus_one(source: str, flags: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Raise an error if −1 is unlikely to mean ignored."""
    cure = (
        "set minus_one='absent' if -1 means absent, as in the files of CelebA and VOC, or minus_one='ignored' if it "
        'does mean ignored'
    )
    total = {0: 0, -1: 0, 1: 0}
    for name, column in zip(classes, zip(*flags, strict=True), strict=True):
        counts = {flag: column.count(flag) for flag in total}
        if counts[-1] and not counts[0]:
            raise ValueError(
                f'{source}: column {name!r} has {counts[-1]} times -1 (ignored) and never 0 (absent); {cure}'
            )
        total = {flag: total[flag] + counts[flag] for flag in total}
    if total[-1] > 10 * total[0]:
        raise ValueError(f'{source}: {total[-1]} flags are -1 (ignored) and only {total[0]} are 0 (absent); {cure}')
