"""Which columns of a table hold the labels: one column of lists, or a column of flags for each label."""

from collections.abc import Collection
from dataclasses import replace

from mmengine.logging import print_log

from .cells import BLANK, FLAG_HELP, are_flags, are_nearly_flags, read_flag
from .table import Table, is_bookkeeping, is_list_name


def without_bookkeeping(table: Table, asked: Collection[str]) -> Table:
    """Return the table without columns such as ``split`` among its labels, unless the classes name them.

    Args:
        table: A table with a header.
        asked: The classes that the user names.

    Raises:
        ValueError: There is no other column.
    """
    assert table.names is not None
    left_out = [i for i in table.labels if is_bookkeeping(table.names[i]) and table.names[i] not in asked]
    shown = ', '.join(repr(table.names[i]) for i in left_out)
    if left_out == table.labels:
        if asked:
            return table
        raise ValueError(
            f'{table.source}: there is no column of labels, only {shown}; add one, or set label_column or '
            "metainfo['classes'] if this is one"
        )
    if left_out:
        message = f"{table.source}: not read as labels: {shown}; if they are, name them in metainfo['classes']"
        print_log(message, 'current')
    return replace(table, labels=[i for i in table.labels if i not in left_out])


def find_list_column(table: Table, asked: Collection[str]) -> int | None:
    """Return the column that holds lists of labels, None if the columns are flags.

    Args:
        table: The table.
        asked: The classes that the user names.

    Raises:
        ValueError: The layout is ambiguous, or the only column has neither flags nor labels.
    """
    names = table.names
    if len(table.labels) == 1:
        return _only_column(table, table.labels[0], asked)
    if names is None or (asked and {*asked} <= {names[i] for i in table.labels}):
        return None
    lists = [i for i in table.labels if is_list_name(names[i]) and None in map(read_flag, table.column(i))]
    if len(lists) != 1:
        return None
    rest = ', '.join(repr(names[i]) for i in table.labels if i != lists[0])
    print_log(f'{table.source}: the labels are in column {names[lists[0]]!r}; not read: {rest}', 'current')
    return lists[0]


def _only_column(table: Table, column: int, asked: Collection[str]) -> int | None:
    cells, names = table.column(column), table.names
    found = {cell for cell in cells if cell.lower() not in BLANK}
    if asked and found <= {*asked}:
        return column
    if not are_flags(cells):
        said = (names is not None and is_list_name(names[column])) or found & {*asked}
        if not said and are_nearly_flags(cells):
            raise _nearly_flags(table, column)
        return column
    if names is None and len(asked) != 1:
        raise ValueError(
            f'{table.source}: the second column has only flags ({cells[0]!r} on line {table.rows[0][0]}), and no name; '
            "add a header such as path,cat (for labels that are called '0' and '1', set metainfo['classes'])"
        )
    return None


def _nearly_flags(table: Table, column: int) -> ValueError:
    line, cell = next((line, row[column]) for line, row in table.rows if read_flag(row[column]) is None)
    where, flags = 'the second column', f'write {FLAG_HELP} below a header such as path,cat'
    lists = 'give the file the header path,labels'
    if table.names is not None:
        where, flags = f'column {table.names[column]!r}', f'write {FLAG_HELP}'
        lists = f'set label_column={table.names[column]!r}'
    return ValueError(
        f'{table.source}:{line}: {cell!r} in {where}, which has only numbers and words such as yes and no; {flags}. If '
        f'these are names of labels, {lists}'
    )
