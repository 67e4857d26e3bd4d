"""Rooms of the package import only what ``docs/architecture.md`` allows, and rooms and modules have no circle."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / 'mlic_mm'


def find_modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob('*.py'):
        parts = path.relative_to(REPO).with_suffix('').parts
        if '.mim' not in parts:
            found['.'.join(parts).removesuffix('.__init__')] = path
    return found


MODULES = find_modules()


def imported(name: str) -> Iterator[tuple[str, str]]:
    """Yield a module of the package and a name in it, for each import anywhere in the code of a module."""
    path = MODULES[name]
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, '') for alias in node.names if alias.name.split('.')[0] == 'mlic_mm')
        elif isinstance(node, ast.ImportFrom):
            parts = package.split('.')
            start = '.'.join(parts[: len(parts) - node.level + 1]) if node.level else ''
            base = '.'.join(filter(None, (start, node.module)))
            if base.split('.')[0] == 'mlic_mm':
                yield from ((base, alias.name) for alias in node.names)


def defined_in(base: str, name: str) -> str:
    """Follow a name through the files ``__init__.py`` that pass it on."""
    if f'{base}.{name}' in MODULES:
        return f'{base}.{name}'
    if MODULES[base].name == '__init__.py':
        for origin, passed_on in imported(base):
            if passed_on == name:
                return defined_in(origin, name)
    return base


def imports(name: str) -> set[str]:
    """Return the modules that a module needs."""
    return {defined_in(base, wanted) for base, wanted in imported(name)}


def read_table() -> dict[str, set[str]]:
    """Read the rooms of the page, from the bottom up: room to the rooms that it may import."""
    rows = re.findall(r'^\| `([\w/.]+)` \|[^|]*\|([^|]*)\|$', (REPO / 'docs/architecture.md').read_text(), re.M)
    return {room: set(re.findall(r'`([\w/.]+)`', allowed)) for room, allowed in rows}


ROOMS = read_table()


def room_of(module: str) -> str:
    """The longest room of the table that a module lies in."""
    path = '/'.join(module.split('.')[1:])
    fits = [room for room in ROOMS if path == room.removesuffix('.py') or path.startswith(f'{room}/')]
    return max(fits, key=len, default=path)


def test_the_table_goes_upwards() -> None:
    above: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= above, f'{room} may import {allowed - above}, which stand below it'
        above.add(room)
    assert len(ROOMS) > 20


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_what_its_row_allows(room: str) -> None:
    files = [name for name, path in MODULES.items() if room_of(name) == room and path.name != '__init__.py']
    assert files, f'{room} has no file'
    found = {room_of(target): f'{name} imports {target}' for name in files for target in imports(name)}
    wrong = {other: example for other, example in found.items() if other not in ROOMS[room] | {room, ''}}
    assert not wrong
    assert ROOMS[room] <= set(found), f'{room} imports nothing of {ROOMS[room] - set(found)}'


def test_every_module_lies_in_a_room() -> None:
    assert [name for name in MODULES if room_of(name) not in ROOMS and MODULES[name].name != '__init__.py'] == []


def test_modules_have_no_circle() -> None:
    graph = {name: {target for target in imports(name) if target != name} for name in MODULES}
    # A package's own file passes names on and is read before or after them.
    graph = {name: targets for name, targets in graph.items() if MODULES[name].name != '__init__.py'}
    TopologicalSorter({name: targets & graph.keys() for name, targets in graph.items()}).prepare()


def test_nothing_imports_the_tools() -> None:
    text = [path.read_text(encoding='utf-8') for path in MODULES.values()]
    assert not [lines for lines in text if re.search(r'^\s*(from|import) tools\b', lines, re.M)]
