"""A user's own labels from a CSV file."""

import csv
import io
import os
from typing import Any

from mlic_mm.registry import DATASETS

from .labels import hint, select_classes, unique_classes
from .multi_label_base import MultiLabelBase

_PATH_NAMES = {'path', 'img_path', 'image_path', 'image', 'img', 'filename', 'file_name', 'file', 'name'}
_CELLS = {'1': 1, '1.0': 1, '0': 0, '0.0': 0, '': 0, '-1': -1, '-1.0': -1}
_CELL_HELP = '1 (present), 0 or blank (absent) or -1 (ignored)'

Row = tuple[int, list[str]]
"""Line number in the file and stripped cells."""


@DATASETS.register_module()
class CSVMultiLabel(MultiLabelBase):
    """Image paths and labels from a CSV file in one of two layouts.

    * ``path,label;label``: two columns. Nothing after the comma means an image without labels.
    * ``path`` and one column per label with 1 (present), 0 or blank (absent) or −1 (ignored).

    More than two columns are the second layout, two are the first. The first line is a header where its first cell is
    one of path, image, img, filename, file, name (also img_path, image_path, file_name; any case).

    Classes: ``metainfo=dict(classes=…)``, else the header's columns in their order, else the labels found in
    alphabetical order. Training and test files should share one explicit list. In the second layout the list may name a
    subset of the columns; without a header it must name all of them. In the first, labels outside the list are errors.

    ``img_id`` is the path as written in the file, which must be UTF-8 (with or without a byte order mark).

    Args:
        ann_file (str): The CSV, relative to ``data_root``.
        data_root (str): Root folder.
        data_prefix (str | dict): Folder that the paths are relative to, itself relative to ``data_root``.
        header (bool, optional): Whether the first line is a header. Defaults to None: recognised as said above.
        delimiter (str): Between columns.
        label_delimiter (str): Between labels in the first layout.
        **kwargs: Of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The file or the image folder is missing.
        ValueError: Anything in the file that does not fit; the message names file, line, value and cure.
    """

    LAYOUT = (
        'Expected a UTF-8 text file, one image a line, either\n'
        '  path,labels                      path,cat,dog\n'
        '  images/1.jpg,cat;dog      or     images/1.jpg,1,1\n'
        '  images/2.jpg,                    images/2.jpg,0,-1\n'
        'with paths relative to data_root + data_prefix ({root}). It is your own file: nothing to download.'
    )

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: str | dict = '',
        header: bool | None = None,
        delimiter: str = ',',
        label_delimiter: str = ';',
        **kwargs: Any,
    ) -> None:
        if len(delimiter) != 1 or not label_delimiter or delimiter == label_delimiter:
            raise ValueError(
                f'CSVMultiLabel: delimiter={delimiter!r} must be one character and differ from '
                f'label_delimiter={label_delimiter!r}'
            )
        self.header = header
        self.delimiter = delimiter
        self.label_delimiter = label_delimiter
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check every line."""
        self.require(self.ann_file)
        if self.img_prefix:
            self.require(self.img_prefix)
        rows = self._rows()
        first = rows[0][1]
        has_header = self.header if self.header is not None else first[0].lower() in _PATH_NAMES
        names = first[1:] if has_header else None
        rows = rows[1:] if has_header else rows
        if not rows:
            raise ValueError(f'{self.ann_file}: has a header and no image; add a line per image')
        self._check_rows(rows, len(first))
        if len(first) == 2:
            return self._from_lists(rows)
        return self._from_columns(rows, names)

    def _rows(self) -> list[Row]:
        with open(self.ann_file, 'rb') as file:
            raw = file.read()
        try:
            text = raw.decode('utf-8-sig')
        except UnicodeDecodeError as error:
            line = raw.count(b'\n', 0, error.start) + 1
            raise ValueError(
                f'{self.ann_file}:{line}: byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8, for '
                f'example with `iconv -f WINDOWS-1252 -t UTF-8`'
            ) from None
        reader = csv.reader(io.StringIO(text, newline=''), delimiter=self.delimiter, strict=True)
        rows = []
        start = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    rows.append((start, [cell.strip() for cell in cells]))
                start = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f'{self.ann_file}:{start}: {error}; check the quotes from this line on') from None
        if not rows:
            raise ValueError(f'{self.ann_file}: the file is empty; expected a line per image')
        return rows

    def _check_rows(self, rows: list[Row], columns: int) -> None:
        if columns < 2:
            raise ValueError(
                f'{self.ann_file}:1: one column, expected a path and labels separated by {self.delimiter!r}; set '
                'delimiter if the file uses another'
            )
        seen: dict[str, int] = {}
        for line, cells in rows:
            if len(cells) != columns:
                raise ValueError(
                    f'{self.ann_file}:{line}: {len(cells)} columns where the first line has {columns}; add what is '
                    f'missing, and put quotes around a cell that contains {self.delimiter!r}'
                )
            if not cells[0]:
                raise ValueError(f'{self.ann_file}:{line}: the path is blank; fill it in or remove the line')
            if cells[0] in seen:
                raise ValueError(
                    f'{self.ann_file}:{line}: path {cells[0]!r} is already on line {seen[cells[0]]}; merge the two'
                )
            seen[cells[0]] = line

    def _from_lists(self, rows: list[Row]) -> list[dict]:
        asked = self._metainfo.get('classes')
        parsed = [(line, path, self._split(line, cell)) for line, (path, cell) in rows]
        found = sorted({label for _, _, labels in parsed for label in labels})
        if asked is None and not found:
            raise ValueError(f"{self.ann_file}: no image has a label; set metainfo['classes'] if that is meant")
        classes = tuple(found) if asked is None else unique_classes(asked, 'metainfo')
        self._metainfo['classes'] = classes
        index = {name: i for i, name in enumerate(classes)}
        data_list = []
        for line, path, labels in parsed:
            for label in labels:
                if label not in index:
                    raise ValueError(
                        f"{self.ann_file}:{line}: label {label!r} is not in metainfo['classes']{hint(label, classes)}"
                    )
            data_list.append(self._info(path, [index[label] for label in labels], []))
        return data_list

    def _split(self, line: int, cell: str) -> list[str]:
        if not cell:
            return []
        labels = [label.strip() for label in cell.split(self.label_delimiter)]
        for position, label in enumerate(labels):
            if not label:
                raise ValueError(
                    f'{self.ann_file}:{line}: a blank label in {cell!r}; remove the extra {self.label_delimiter!r}'
                )
            if label in labels[:position]:
                raise ValueError(f'{self.ann_file}:{line}: label {label!r} twice in {cell!r}; keep one')
        return labels

    def _from_columns(self, rows: list[Row], names: list[str] | None) -> list[dict]:
        asked = self._metainfo.get('classes')
        if names is None:
            columns = len(rows[0][1]) - 1
            if asked is None or isinstance(asked, str) or len(asked) != columns:
                given = 'none' if asked is None else len(asked)
                raise ValueError(
                    f"{self.ann_file}: {columns} label columns without a header, and metainfo['classes'] names "
                    f'{given}; add a header (first cell "path") or name every column in order'
                )
            names = list(asked)
        classes = select_classes(asked, names, self.ann_file)
        self._metainfo['classes'] = classes
        column = [names.index(name) + 1 for name in classes]
        data_list = []
        for line, cells in rows:
            values = []
            for name, at in zip(classes, column, strict=True):
                if cells[at] not in _CELLS:
                    raise ValueError(
                        f'{self.ann_file}:{line}: {cells[at]!r} in column {name!r}; write {_CELL_HELP}. If this line '
                        'is a header, set header=True or begin it with "path"'
                    )
                values.append(_CELLS[cells[at]])
            labels = [i for i, value in enumerate(values) if value == 1]
            data_list.append(self._info(cells[0], labels, [i for i, value in enumerate(values) if value == -1]))
        return data_list

    def _info(self, path: str, labels: list[int], ignored: list[int]) -> dict:
        return self.make_info(os.path.join(self.img_prefix, path), path, labels, ignored)
