"""A user's own labels from a CSV file."""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import did_you_mean
from mlic_mm.utils.label_names import clean_name, select_classes, unique_classes

from ..multi_label_base import MultiLabelBase
from .cells import (
    BLANK,
    FLAG_HELP,
    are_flags,
    are_nearly_flags,
    are_rows_of_flags,
    find_delimiter,
    read_flag,
    read_labels,
)
from .table import (
    Row,
    find_columns,
    is_bookkeeping,
    is_header,
    is_image_name,
    is_list_name,
    plain_name,
    read_rows,
)


@DATASETS.register_module()
class CSVMultiLabel(MultiLabelBase):
    """Image paths and labels from a CSV file in one of two layouts.

    * ``path,label;label``: a column of lists, which may also be written ``['cat', 'dog']``. Blank, ``nan`` and ``None``
      mean an image without labels.
    * ``path`` and a column of flags per label: 1 or true (present), 0, false or blank (absent), −1 (ignored).

    The first line is a header where a column has a usual name: ``path``, ``image``, ``image_name``, ``Image Index``,
    ``file``, ``filename``, ``id`` … or, for lists, ``labels``, ``tags``, ``classes``, ``Finding Labels`` … Else it is
    an image, and its file must be there. Under a header a column of flags is a label, also where it is the only one.
    Where a column has other cells, the one with a usual name holds lists, and the others are left out. The index that
    pandas writes is passed over, and so are columns such as ``split`` and ``is_train``, unless the classes name them. A
    path may lack its ending (``id,labels``) where such an image is there.

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
        label_delimiter (str, optional): Between labels in the first layout. Defaults to None: recognised, ``;``,
            ``|``, a comma or a blank.
        path_column (str, optional): Name of the column of the paths. Defaults to None: recognised.
        label_column (str, optional): Name of the column of lists. Defaults to None: recognised.
        minus_one (str, optional): What −1 means: ``'ignored'``, or ``'absent'`` as in the files of CelebA and VOC,
            where 0 is ignored. Defaults to None: ignored, but a file where that is hardly meant is refused.
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
        label_delimiter: str | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        minus_one: str | None = None,
        **kwargs: Any,
    ) -> None:
        if len(delimiter) != 1 or label_delimiter == '' or delimiter == label_delimiter:
            raise ValueError(
                f'CSVMultiLabel: delimiter={delimiter!r} must be one character and differ from '
                f'label_delimiter={label_delimiter!r}'
            )
        if minus_one not in (None, 'ignored', 'absent'):
            raise ValueError(f"CSVMultiLabel: minus_one={minus_one!r} must be 'ignored' or 'absent'")
        self.header = header if path_column is None and label_column is None else True
        self.delimiter = delimiter
        self.label_delimiter = label_delimiter
        self.path_column = None if path_column is None else clean_name(path_column)
        self.label_column = None if label_column is None else clean_name(label_column)
        self.minus_one = minus_one
        self._folders: dict[str, dict[str, list[str]]] = {}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check every line."""
        self.require(self.ann_file)
        if self.img_prefix:
            self.require(self.img_prefix)
        rows = read_rows(self.ann_file, self.delimiter)
        first = rows[0][1]
        if len(first) < 2:
            other = next((mark for mark in ';\t| ' if mark in first[0]), None)
            cure = f'set delimiter={other!r}, which it has' if other else 'set delimiter if the file uses another'
            if first[0].isdecimal():  # CelebA
                cure = 'remove the number of images, and write "path" before the names of the labels'
            raise ValueError(
                f'{self.ann_file}:1: one column, expected a path and labels separated by {self.delimiter!r}; {cure}'
            )
        has_header = self.header if self.header is not None else is_header(first)
        names = [clean_name(name) for name in first] if has_header else None
        if self.header is None and not (has_header or self._may_be_image(first[0])):
            raise ValueError(
                f'{self.ann_file}:1: {first[0]!r} is no image in {self.img_prefix or "."} and no usual name of a '
                'column; set header=True if the line is a header, else correct data_root and data_prefix '
                '(header=False reads labels without images)'
            )
        rows = rows[1:] if has_header else rows
        if not rows:
            raise ValueError(f'{self.ann_file}: has a header and no image; add a line per image')
        for line, cells in rows:
            if len(cells) != len(first):
                raise ValueError(
                    f'{self.ann_file}:{line}: {len(cells)} columns where the first line has {len(first)}; add what is '
                    f'missing, and put quotes around a cell that contains {self.delimiter!r}'
                )
        if names is None:
            path, labels = 0, list(range(1, len(first)))
        else:
            path, labels = find_columns(self.ann_file, names, rows, self.path_column, self.label_column)
        self._check_paths(rows, path)
        if has_header and self._find_path(rows[0][1][path]) is None:
            where = f'{rows[0][1][path]!r} is not in {self.img_prefix or "."}'
            message = f'{self.ann_file}:{rows[0][0]}: {where}; to load images, correct data_root and data_prefix'
            print_log(message, 'current', level=30)
        asked = self._metainfo.get('classes')
        asked = None if asked is None else tuple(map(clean_name, unique_classes(asked, 'metainfo')))
        for _, cells in rows:
            if not ''.join(cells).isascii():
                cells[:] = [cell if i == path else clean_name(cell) for i, cell in enumerate(cells)]  # files keep names
        if names is not None and self.label_column is None:
            labels = self._without_bookkeeping(names, labels, asked)
        column = self._list_column(rows, names, labels, asked)
        if column is None:
            data_list = self._from_columns(rows, names, path, labels, asked)
        else:
            data_list = self._from_lists(rows, names, path, column, asked)
        self._folders = {}
        return data_list

    def _check_paths(self, rows: list[Row], column: int) -> None:
        seen: dict[str, int] = {}
        for line, cells in rows:
            if not cells[column]:
                raise ValueError(f'{self.ann_file}:{line}: the path is blank; fill it in or remove the line')
            if cells[column] in seen:
                raise ValueError(
                    f'{self.ann_file}:{line}: path {cells[column]!r} is already on line {seen[cells[column]]}; merge '
                    'the two'
                )
            seen[cells[column]] = line

    def _without_bookkeeping(self, names: list[str], labels: list[int], asked: Sequence[str] | None) -> list[int]:
        left_out = [i for i in labels if is_bookkeeping(names[i]) and names[i] not in (asked or ())]
        shown = ', '.join(repr(names[i]) for i in left_out)
        if left_out == labels:
            if asked is None:
                raise ValueError(
                    f'{self.ann_file}: there is no column of labels, only {shown}; add one, or set label_column or '
                    "metainfo['classes'] if this is one"
                )
            return labels
        if left_out:
            message = f"{self.ann_file}: not read as labels: {shown}; if they are, name them in metainfo['classes']"
            print_log(message, 'current')
        return [i for i in labels if i not in left_out]

    def _list_column(
        self, rows: list[Row], names: list[str] | None, labels: list[int], asked: Sequence[str] | None
    ) -> int | None:
        """Return the column that holds lists of labels, None where the columns are flags."""
        if self.label_column is not None:
            assert names is not None
            return names.index(self.label_column)
        if len(labels) == 1:
            cells = [row[labels[0]] for _, row in rows]
            found = {cell for cell in cells if cell.lower() not in BLANK}
            if asked is not None and found <= set(asked):
                return labels[0]
            if not are_flags(cells):
                said = (names is not None and is_list_name(names[labels[0]])) or found & set(asked or ())
                if not said and are_nearly_flags(cells):
                    raise self._nearly_flags(rows, names, labels[0])
                return labels[0]
            if names is None and (asked is None or len(asked) != 1):
                raise ValueError(
                    f'{self.ann_file}: the second column has only flags ({cells[0]!r} on line {rows[0][0]}), and no '
                    "name; add a header such as path,cat (for labels that are called '0' and '1', set "
                    "metainfo['classes'])"
                )
            return None
        if names is None:
            return None
        if asked is not None and {*asked} <= {names[i] for i in labels}:
            return None
        lists = [i for i in labels if is_list_name(names[i]) and None in {read_flag(row[i]) for _, row in rows}]
        if len(lists) != 1:
            return None
        rest = ', '.join(repr(names[i]) for i in labels if i != lists[0])
        print_log(f'{self.ann_file}: the labels are in column {names[lists[0]]!r}; not read: {rest}', 'current')
        return lists[0]

    def _nearly_flags(self, rows: list[Row], names: list[str] | None, column: int) -> ValueError:
        strange = [(line, row[column]) for line, row in rows if read_flag(row[column]) is None]
        where, flags = 'the second column', f'write {FLAG_HELP} below a header such as path,cat'
        lists = 'give the file the header path,labels'
        if names is not None:
            where, flags = f'column {names[column]!r}', f'write {FLAG_HELP}'
            lists = f'set label_column={names[column]!r}'
        return ValueError(
            f'{self.ann_file}:{strange[0][0]}: {strange[0][1]!r} in {where}, which has only numbers and words such as '
            f'yes and no; {flags}. If these are names of labels, {lists}'
        )

    def _from_lists(
        self, rows: list[Row], names: list[str] | None, path: int, column: int, asked: tuple[str, ...] | None
    ) -> list[dict]:
        line, cell = next(((n, row[column]) for n, row in rows if row[column].lower() not in BLANK), (0, ''))
        if are_rows_of_flags([cells[column] for _, cells in rows]) and not {'0', '1'} <= {*(asked or ())}:
            raise ValueError(
                f'{self.ann_file}:{line}: {cell[:80]!r} is a row of flags in one cell; write one column a label, with '
                'its name in the header: path,cat,dog'
            )
        delimiter = self.label_delimiter
        if delimiter is None:
            name = plain_name(names[column]) if names else ''
            delimiter = find_delimiter([cells[column] for _, cells in rows], name, asked, self.ann_file)
        parsed = []
        for line, cells in rows:
            try:
                parsed.append((line, cells[path], read_labels(cells[column], delimiter, asked or ())))
            except ValueError as error:
                raise ValueError(f'{self.ann_file}:{line}: {error}') from None
        found = sorted({label for _, _, labels in parsed for label in labels})
        if asked is None and not found:
            raise ValueError(f"{self.ann_file}: no image has a label; set metainfo['classes'] if that is meant")
        classes = tuple(found) if asked is None else asked
        self._metainfo['classes'] = classes
        index = {name: i for i, name in enumerate(classes)}
        data_list = []
        for line, img_id, labels in parsed:
            for label in labels:
                if label not in index:
                    raise ValueError(
                        f"{self.ann_file}:{line}: label {label!r} is not in metainfo['classes']"
                        f'{did_you_mean(label, classes)}'
                    )
            data_list.append(self._info(img_id, [index[label] for label in labels], []))
        return data_list

    def _from_columns(
        self, rows: list[Row], names: list[str] | None, path: int, labels: list[int], asked: tuple[str, ...] | None
    ) -> list[dict]:
        if names is None:
            if asked is None or len(asked) != len(labels):
                given = 'none' if asked is None else len(asked)
                raise ValueError(
                    f"{self.ann_file}: {len(labels)} label columns without a header, and metainfo['classes'] names "
                    f'{given}; add a header (first cell "path") or name every column in order'
                )
            names = ['', *asked]
        classes = select_classes(asked, [names[i] for i in labels], self.ann_file)
        self._metainfo['classes'] = classes
        columns = {names[i]: i for i in labels}
        table = []
        for line, cells in rows:
            flags = [read_flag(cells[columns[name]]) for name in classes]
            if None in flags:
                name = classes[flags.index(None)]
                raise ValueError(
                    f'{self.ann_file}:{line}: {cells[columns[name]]!r} in column {name!r}; write {FLAG_HELP}. If this '
                    'line is a header, set header=True or begin it with "path"; if the column is no label, name the '
                    "labels by metainfo['classes'], or the column of lists by label_column"
                )
            table.append([flag for flag in flags if flag is not None])
        if self.minus_one is None:
            self._check_minus_one(table, classes)
        ignored = 0 if self.minus_one == 'absent' else -1
        return [
            self._info(
                cells[path],
                [i for i, flag in enumerate(flags) if flag == 1],
                [i for i, flag in enumerate(flags) if flag == ignored],
            )
            for (_, cells), flags in zip(rows, table, strict=True)
        ]

    def _check_minus_one(self, table: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
        """Refuse files where −1 can hardly mean ignored."""
        cure = (
            "set minus_one='absent' if -1 means absent, as in the files of CelebA and VOC, or minus_one='ignored' if "
            'it does mean ignored'
        )
        total = {0: 0, -1: 0, 1: 0}
        for name, column in zip(classes, zip(*table, strict=True), strict=True):
            counts = {flag: column.count(flag) for flag in total}
            if counts[-1] and not counts[0]:
                raise ValueError(
                    f'{self.ann_file}: column {name!r} has {counts[-1]} times -1 (ignored) and never 0 (absent); {cure}'
                )
            total = {flag: total[flag] + counts[flag] for flag in total}
        if total[-1] > 10 * total[0]:
            raise ValueError(
                f'{self.ann_file}: {total[-1]} flags are -1 (ignored) and only {total[0]} are 0 (absent); {cure}'
            )

    def _may_be_image(self, path: str) -> bool:
        """Whether the first cell of a file without a known header is an image."""
        skips = any(getattr(step, 'on_error', '') == 'skip' for step in self.pipeline.transforms)
        return self._find_path(path) is not None or (skips and is_image_name(path))

    def _find_path(self, path: str) -> str | None:
        """Return the file of an image, whose ending may be missing, None where there is none."""
        file = os.path.join(self.img_prefix, path)
        if is_image_name(path):
            return file if os.path.exists(file) else None
        # The names of a folder are read once: asking for each ending of each image takes long on a network's disk.
        folder, stem = os.path.split(file)
        if folder not in self._folders:
            known = self._folders[folder] = {}
            for name in os.listdir(folder or '.') if os.path.isdir(folder or '.') else ():
                known.setdefault(os.path.splitext(name)[0], []).append(name)
        if os.path.isfile(file):
            return file
        names = sorted(name for name in self._folders[folder].get(stem, ()) if is_image_name(name))
        if len(names) > 1:
            raise ValueError(
                f'{self.ann_file}: {path!r} is {" or ".join(names)} in {folder or "."}; write the ending in the file'
            )
        return os.path.join(folder, names[0]) if names else None

    def _info(self, path: str, labels: list[int], ignored: list[int]) -> dict:
        file = os.path.join(self.img_prefix, path)
        if not is_image_name(path):
            file = self._find_path(path) or file
        return self.make_info(file, path, labels, ignored)
