"""Read a user's table of images and tell its columns by their names."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from mlic_mm.utils.choices import did_you_mean
from mlic_mm.utils.utf8 import decode_utf8

from ..transforms.image_io import ENDINGS
from .cells import read_flag

Row = tuple[int, list[str]]
"""Line number in the file and stripped cells."""


@dataclass(frozen=True)
class Table:
    """A user's table.

    Attributes:
        source: The file, for messages.
        names: The header, None if there is none.
        rows: The other lines, all of one length.
        path: The column of the paths.
        labels: The columns that may hold labels.
    """

    source: str
    names: list[str] | None
    rows: list[Row]
    path: int
    labels: list[int]

    def column(self, index: int) -> list[str]:
        """Return the cells of a column."""
        return [cells[index] for _, cells in self.rows]


# Names as in `plain_name`. A column of the first kind holds the paths, or else one of the second kind.
# fmt: off
_PATHS = frozenset({
    'path', 'paths', 'imgpath', 'imagepath', 'filepath', 'image', 'images', 'img', 'filename', 'filenames', 'fname',
    'file', 'imagename', 'imgname', 'imagefile', 'imgfile', 'imageindex', 'imagefilename', 'imgfilename', 'photo',
    'picture', 'name',
})
_IDS = frozenset({'id', 'imageid', 'imgid', 'fileid', 'photoid', 'uid', 'key', 'index'})
_LISTS = frozenset({
    'label', 'labels', 'labelname', 'labelnames', 'tag', 'tags', 'class', 'classes', 'classname', 'classnames',
    'category', 'categories', 'finding', 'findings', 'findinglabels', 'attribute', 'attributes', 'attributeids',
    'target', 'targets', 'annotation', 'annotations', 'concepts', 'keywords', 'genre', 'genres',
})
_BOOKKEEPING = frozenset({
    'split', 'subset', 'partition', 'fold', 'kfold', 'group', 'istrain', 'istraining', 'isval', 'isvalid',
    'isvalidation', 'istest',
})
# fmt: on
_INDEX = ('', 'unnamed0', 'unnamed01', 'index', 'level0')


def plain_name(name: str) -> str:
    """Return the letters and digits of the name of a column in lower case.

    Example:
        >>> plain_name('Image Index')
        'imageindex'
    """
    return ''.join(char for char in name.lower() if char.isalnum())


def is_list_name(name: str) -> bool:
    """Return whether a column of this name usually holds lists of labels."""
    return plain_name(name) in _LISTS


def is_bookkeeping(name: str) -> bool:
    """Return whether a column of this name usually says which images are for training and which for testing."""
    return plain_name(name) in _BOOKKEEPING


def is_image_name(cell: str) -> bool:
    """Return whether a cell ends like the name of an image."""
    return cell.lower().endswith(ENDINGS)


def is_header(cells: Sequence[str]) -> bool:
    """Return whether a first row has a known name of a column: of paths, or of lists of labels."""
    names = [plain_name(cell) for cell in cells]
    if any(map(is_image_name, cells)):
        return False
    known = names[0] in _IDS or names[0] in _INDEX or any(name in _PATHS for name in names)
    return known or any(name in _LISTS for name in names[1:])


def read_rows(path: str, delimiter: str) -> list[Row]:
    """Return the rows that are not blank.

    Raises:
        ValueError: The file is empty or not UTF-8, or a quotation does not end. The message names file, line and cure.
    """
    with open(path, 'rb') as file:
        text = decode_utf8(file.read(), path)
    # Columns that are lined up by several blanks have one delimiter between them.
    reader = csv.reader(
        io.StringIO(text, newline=''), delimiter=delimiter, strict=True, skipinitialspace=delimiter == ' '
    )
    rows = []
    start = 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            while delimiter == ' ' and cells and not cells[-1]:
                cells.pop()  # blanks at the end of a line
            if any(cells):
                rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f'{path}:{start}: {error}; check the quotes from this line on') from None
    if not rows:
        raise ValueError(f'{path}: the file is empty; expected a line per image')
    return rows


def check_width(source: str, rows: Sequence[Row], width: int, delimiter: str) -> None:
    """Refuse a line with another number of columns than the first.

    Raises:
        ValueError: Names the line.
    """
    for line, cells in rows:
        if len(cells) != width:
            raise ValueError(
                f'{source}:{line}: {len(cells)} columns where the first line has {width}; add what is missing, and put '
                f'quotes around a cell that contains {delimiter!r}'
            )


def check_paths(table: Table) -> None:
    """Refuse a blank path, and one that occurs twice.

    Raises:
        ValueError: Names the line.
    """
    seen: dict[str, int] = {}
    for line, cells in table.rows:
        path = cells[table.path]
        if not path:
            raise ValueError(f'{table.source}:{line}: the path is blank; fill it in or remove the line')
        if path in seen:
            raise ValueError(f'{table.source}:{line}: path {path!r} is already on line {seen[path]}; merge the two')
        seen[path] = line


def find_columns(
    path: str, names: Sequence[str], rows: Sequence[Row], path_column: str | None, label_column: str | None
) -> tuple[int, list[int]]:
    """Return the column of the paths and the columns of the labels. The index of a pandas frame is neither.

    Args:
        path: The file, for messages.
        names: The header.
        rows: The other rows, all as long as the header.
        path_column: Name of the column of the paths.
        label_column: Name of the only column of labels, which is not that of the paths.

    Raises:
        ValueError: There is no column of that name, or several columns may be meant.
    """
    for asked in (path_column, label_column):
        if asked is not None and asked not in names:
            raise ValueError(f'{path}: no column {asked!r}{did_you_mean(asked, names)}')
    if path_column is not None:
        column = list(names).index(path_column)
        return column, [i for i in range(len(names)) if i != column]
    columns = [i for i, name in enumerate(names) if name != label_column]
    while len(columns) > 2 and plain_name(names[columns[0]]) in _INDEX:
        if not all(cells[columns[0]].isdecimal() for _, cells in rows):
            break
        columns = columns[1:]
    if not columns:
        raise ValueError(f'{path}: every column is called {label_column!r}; name the columns of paths and labels')
    column = columns[0]
    if plain_name(names[column]) not in _PATHS:
        # A label may be called "image": flags are no paths.
        others = [
            i
            for i in columns
            if plain_name(names[i]) in _PATHS and not all(read_flag(cells[i]) is not None for _, cells in rows)
        ]
        if len(others) > 1:
            raise ValueError(
                f'{path}: {" and ".join(repr(names[i]) for i in others)} may be the paths; set path_column to one'
            )
        if others:
            columns = columns[plain_name(names[column]) in _IDS :]  # a number beside the path is no label
            column = others[0]
    return column, [i for i in columns if i != column]
