"""A user's own labels from a CSV file."""

from typing import Any, Literal

from mmengine.logging import print_log

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.label_names import clean_name, unique_classes

from ..multi_label_base import MultiLabelBase
from .image_files import ImageFiles
from .labels import labels_from_flags, labels_from_lists
from .layouts import find_list_column, without_bookkeeping
from .table import Table, check_paths, check_width, find_columns, is_header, is_image_name, read_rows


@DATASETS.register_module()
class CSVMultiLabel(MultiLabelBase):
    r"""Image paths and labels from a CSV file in one of two layouts.

    * ``path,label;label``: a column of lists, which may also be written ``['cat', 'dog']``. A blank cell, ``nan`` and
      ``None`` mean an image without labels.
    * ``path`` and a column of flags for each label: 1 or true (present), 0, false or blank (absent), −1 (ignored).

    **Header.** The first line is a header if a column has a usual name: ``path``, ``image``, ``image_name``,
    ``Image Index``, ``file``, ``filename``, ``id`` … or, for lists, ``labels``, ``tags``, ``classes``,
    ``Finding Labels`` … Otherwise the line is an image, and its file must exist.

    **Columns.** Under a header, a column of flags is a label, even if it is the only one. If a column has other cells,
    the column with a usual name holds lists, and the others are not read. The index that pandas writes is not read.
    Columns such as ``split`` and ``is_train`` are not read either, unless the classes name them. A path may lack its
    file extension (``id,labels``) if there is an image with this name.

    **Classes.** They are ``metainfo=dict(classes=…)``, or else the columns of the header in their order, or else the
    labels found, in alphabetical order. Training and test files should share one explicit list. In the second layout
    the list may name some of the columns; without a header it must name all of them. In the first layout a label
    outside the list is an error.

    ``img_id`` is the path as written in the file. The file must be UTF-8, with or without a byte order mark.

    Args:
        ann_file: The CSV file, relative to ``data_root``.
        data_root: Root folder.
        data_prefix: Folder that the paths are relative to, itself relative to ``data_root``.
        header: Whether the first line is a header. Defaults to None: recognised as described above.
        delimiter: Character between columns.
        label_delimiter: Text between labels in the first layout. Defaults to None: recognised as ``;``, ``|``, a comma
            or a blank.
        path_column: Name of the column of the paths. Defaults to None: recognised.
        label_column: Name of the column of lists. Defaults to None: recognised.
        minus_one: What −1 means: ``'ignored'``, or ``'absent'`` as in the files of CelebA and VOC, where 0 means
            ignored. Defaults to None: −1 means ignored, and a file in which this is unlikely is an error.
        **kwargs: Options of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The file or the image folder is missing.
        ValueError: An option or a line of the file is invalid. The message names file, line, value and cure.

    Examples:
        >>> import pathlib, tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pathlib.Path(folder, '1.jpg').touch()
        ...     _ = pathlib.Path(folder, 'labels.csv').write_text('path,cat,dog\n1.jpg,1,0\n2.jpg,-1,1\n')
        ...     data = DATASETS.build(
        ...         dict(type='mlic_mm.CSVMultiLabel', ann_file='labels.csv', data_root=folder, minus_one='ignored')
        ...     )
        >>> data.metainfo['classes']
        ('cat', 'dog')
        >>> data.get_data_info(1)['gt_score']
        array([-1.,  1.], dtype=float32)
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
        minus_one: Literal['ignored', 'absent'] | None = None,
        **kwargs: Any,
    ) -> None:
        if len(delimiter) != 1 or label_delimiter == '' or delimiter == label_delimiter:
            raise ValueError(
                f'delimiter={delimiter!r} must be one character and differ from label_delimiter={label_delimiter!r}'
            )
        if minus_one is not None:
            check_choice('minus_one', minus_one, ('ignored', 'absent'))
        self.header = header if path_column is None and label_column is None else True
        self.delimiter = delimiter
        self.label_delimiter = label_delimiter
        self.path_column = None if path_column is None else clean_name(path_column)
        self.label_column = None if label_column is None else clean_name(label_column)
        self.minus_one = minus_one
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check every line."""
        self.require(self.ann_file)
        if self.img_prefix:
            self.require(self.img_prefix)
        images = ImageFiles(self.img_prefix, self.ann_file)
        table = self._read_table(images)
        asked = self._metainfo.get('classes')
        asked = None if asked is None else tuple(map(clean_name, unique_classes(asked, 'metainfo')))
        for _, cells in table.rows:
            if not ''.join(cells).isascii():  # paths stay, since files keep their names
                cells[:] = [cell if i == table.path else clean_name(cell) for i, cell in enumerate(cells)]
        if self.label_column is not None:
            assert table.names is not None
            column: int | None = table.names.index(self.label_column)
        else:
            if table.names is not None:
                table = without_bookkeeping(table, asked or ())
            column = find_list_column(table, asked or ())
        if column is None:
            labels = labels_from_flags(table, self.minus_one, asked)
        else:
            labels = labels_from_lists(table, column, self.label_delimiter, asked)
        self._metainfo['classes'] = labels.classes
        return [self.make_info(images.path(path), path, present, ignored) for path, present, ignored in labels.images]

    def _read_table(self, images: ImageFiles) -> Table:
        source, where = self.ann_file, self.img_prefix or '.'
        rows = read_rows(source, self.delimiter)
        first = rows[0][1]
        if len(first) < 2:
            other = next((mark for mark in ';\t| ' if mark in first[0]), None)
            cure = f'set delimiter={other!r}, which it has' if other else 'set delimiter if the file uses another'
            if first[0].isdecimal():  # CelebA
                cure = 'remove the number of images, and write "path" before the names of the labels'
            raise ValueError(
                f'{source}:1: one column, expected a path and labels separated by {self.delimiter!r}; {cure}'
            )
        has_header = self.header if self.header is not None else is_header(first)
        if self.header is None and not (has_header or self._may_be_image(first[0], images)):
            raise ValueError(
                f'{source}:1: {first[0]!r} is no image in {where} and no usual name of a column; set header=True if '
                'the line is a header, else correct data_root and data_prefix (header=False reads labels without '
                'images)'
            )
        names = [clean_name(name) for name in first] if has_header else None
        rows = rows[1:] if has_header else rows
        if not rows:
            raise ValueError(f'{source}: has a header and no image; add a line per image')
        check_width(source, rows, len(first), self.delimiter)
        if names is None:
            path, labels = 0, list(range(1, len(first)))
        else:
            path, labels = find_columns(source, names, rows, self.path_column, self.label_column)
        table = Table(source, names, rows, path, labels)
        check_paths(table)
        line, cells = rows[0]
        if has_header and images.find(cells[path]) is None:
            message = f'{cells[path]!r} is not in {where}; to load images, correct data_root and data_prefix'
            print_log(f'{source}:{line}: {message}', 'current', level=30)
        return table

    def _may_be_image(self, path: str, images: ImageFiles) -> bool:
        """Whether the first cell of a file without a known header is an image."""
        skips = any(getattr(step, 'on_error', '') == 'skip' for step in self.pipeline.transforms)
        return images.find(path) is not None or (skips and is_image_name(path))
