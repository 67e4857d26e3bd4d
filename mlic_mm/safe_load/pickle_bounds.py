"""Refuse pickles that need time or memory out of proportion to their size, before anything is built.

A pickle is a program for a stack machine. It may use a part again: sixty doublings of a tuple take 120 bytes, and 2⁶⁰
steps to hash, compare or print. This module runs the program with a short description in place of each value.
"""

import pickle
import reprlib
from collections.abc import Iterable
from typing import Any

MOST_NESTED = 100
MOST_IN_KEY, MOST_LONG_KEYS = 100, 10_000
"""The most parts of one key of a dictionary or of a called name, and the most parts of all keys that have parts.

Keys and names are hashed and printed. Python compares a key with all keys of the same hash. The hash of a text is
secret. For floats, large numbers and tuples a file can choose many values with one hash; 10,000 of them take a second.
"""
_SMALL = 2**24
"""Smaller whole numbers have different hashes, so many of them do no harm."""
MOST_BITS = 8192
"""The most bits of a whole number."""
_PER_BYTE, _FREE = 64, 10_000
"""Parts of all values, counted at each use: so many per byte of the file, and so many more."""
_COPIES = 8
"""Bytes that functions get, and may copy, per byte of the file."""
_TOO_DEEP = f'its values are nested more than {MOST_NESTED} deep'
_shown = reprlib.Repr()
_shown.maxstring, _shown.maxlevel, _shown.maxtuple, _shown.maxlist, _shown.maxdict, _shown.maxother = 80, 2, 4, 4, 4, 60


class PickleBombError(pickle.UnpicklingError):
    """The pickle would need time or memory out of proportion to its size."""


def show(value: Any) -> str:
    """Return the beginning of ``repr(value)``. Large and shared parts are cut."""
    try:
        return _shown.repr(value)[:200]
    except ValueError:  # a number of thousands of digits
        return f'a large {type(value).__name__}'


class _Value:
    """Description of a value: its parts, their number and their bytes, counted at each use."""

    __slots__ = ('bytes', 'count', 'depth', 'parts')

    def __init__(self, parts: list['_Value'], num_bytes: int = 0) -> None:
        self.parts = parts
        self.count: int = 1 + sum(part.count for part in parts)
        self.bytes: int = num_bytes + sum(part.bytes for part in parts)
        self.depth: int = 1 + max((part.depth for part in parts), default=0)
        if self.depth > MOST_NESTED:
            raise PickleBombError(_TOO_DEEP)

    def add(self, parts: list['_Value']) -> None:
        # Containers that hold this value keep their old count: they cannot be keys, and the end counts again.
        if self in _SHARED:
            return  # a number; the reader will refuse to add to it
        self.parts += parts
        self.count += sum(part.count for part in parts)
        self.bytes += sum(part.bytes for part in parts)


_LEAF, _NUMBER, _LARGE, _LATIN1, _MARK = (_Value([]) for _ in range(5))  # large numbers and floats
# Functions that torch allows, and that do much work for a small argument or hash its parts.
_ENCODE, _RESERVE, _SET, _DICT = (_Value([]) for _ in range(4))
_SHARED = {_LEAF, _NUMBER, _LARGE, _LATIN1, _MARK, _ENCODE, _RESERVE, _SET, _DICT}
_TEXTS = {'latin1': _LATIN1, 'latin-1': _LATIN1}
_TEXTS |= {'set': _SET, 'frozenset': _SET, 'Counter': _SET, 'dict': _DICT, 'OrderedDict': _DICT}
_FUNCTIONS = {
    '_codecs encode': _ENCODE,
    'builtins bytearray': _RESERVE,
    '__builtin__ bytearray': _RESERVE,
    'numpy ndarray': _RESERVE,
}


def check_bounds(operations: Iterable[tuple[Any, Any, int | None]]) -> int:
    """Check one pickle.

    Args:
        operations: From ``pickletools.genops``.

    Returns:
        Bytes of the pickle, from its first operation to STOP.

    Raises:
        PickleBombError: It would need too much time or memory.
        ValueError, IndexError, KeyError: It is damaged.
    """
    root, size = _run(operations)
    most = _FREE + _PER_BYTE * size
    done: dict[int, tuple[int, int]] = {}  # count and depth by id
    active: set[int] = set()
    stack = [root]
    while stack:
        value = stack[-1]
        if id(value) in done:
            stack.pop()
            continue
        if id(value) not in active:
            active.add(id(value))
            stack += [part for part in value.parts if id(part) not in done and id(part) not in active]
            continue
        stack.pop()
        inner = [done.get(id(part), (0, 0)) for part in value.parts]  # (0, 0) of one that holds itself
        count, depth = 1 + sum(c for c, _ in inner), 1 + max((d for _, d in inner), default=0)
        if depth > MOST_NESTED:
            raise PickleBombError(_TOO_DEEP)
        if count > most:
            raise PickleBombError(f'it uses its parts again and again, more than {most} times in {size} bytes')
        done[id(value)] = count, depth
    return size


def _run(operations: Iterable[tuple[Any, Any, int | None]]) -> tuple[_Value, int]:
    """Return the value of a pickle, and its bytes."""
    stack: list[_Value] = []
    memo: dict[int, _Value] = {}
    work = copied = long_names = in_keys = 0
    start: int | None = None

    def since_mark() -> list[_Value]:
        at = len(stack) - 1
        while stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError('a mark is missing')
        parts = stack[at + 1 :]
        del stack[at:]
        return parts

    def name_of(value: _Value) -> None:
        nonlocal long_names
        long_names += bool(value.parts)
        if value.count > MOST_IN_KEY or long_names > MOST_LONG_KEYS:
            raise PickleBombError(f'a key or a name has more than {MOST_IN_KEY} parts, or too many have parts')

    def key(value: _Value) -> None:
        nonlocal in_keys
        name_of(value)
        in_keys += value.count if value.parts or value is _LARGE else 0
        if in_keys > MOST_LONG_KEYS:
            raise PickleBombError('too many keys are tuples, floats or large numbers')

    for opcode, argument, at in operations:
        name = opcode.name
        start = at if start is None else start
        position = (at or 0) + 1 - (start or 0)
        if name in ('PROTO', 'FRAME', 'NEXT_BUFFER', 'READONLY_BUFFER'):
            pass
        elif name == 'STOP':
            return stack.pop(), position
        elif name == 'MARK':
            stack.append(_MARK)
        elif name in ('POP', 'POP_MARK'):
            if name == 'POP':
                stack.pop()
            else:
                since_mark()
        elif name == 'DUP':
            stack.append(stack[-1])
        elif name in ('MEMOIZE', 'PUT', 'BINPUT', 'LONG_BINPUT'):
            memo[len(memo) if name == 'MEMOIZE' else argument] = stack[-1]
        elif name in ('GET', 'BINGET', 'LONG_BINGET'):
            stack.append(memo[argument])
        elif name in ('EMPTY_LIST', 'EMPTY_DICT', 'EMPTY_TUPLE', 'EMPTY_SET'):
            stack.append(_Value([]))
        elif name in ('TUPLE1', 'TUPLE2', 'TUPLE3'):
            parts = stack[-int(name[-1]) :]
            del stack[-int(name[-1]) :]
            stack.append(_Value(parts))
        elif name in ('TUPLE', 'LIST', 'DICT', 'FROZENSET'):
            parts = since_mark()
            for part in parts if name == 'FROZENSET' else parts[::2] if name == 'DICT' else ():
                key(part)
            stack.append(_Value(parts))
        elif name in ('APPEND', 'APPENDS', 'ADDITEMS', 'SETITEM', 'SETITEMS'):
            parts = since_mark() if name[-1] == 'S' else [stack.pop() for _ in range(1 + (name == 'SETITEM'))][::-1]
            for part in parts if name == 'ADDITEMS' else parts[::2] if name[0] == 'S' else ():
                key(part)
            stack[-1].add(parts)
        elif name in ('REDUCE', 'NEWOBJ', 'NEWOBJ_EX', 'BUILD'):
            parts = [stack.pop() for _ in range(2 if name == 'NEWOBJ_EX' else 1)]
            work += sum(part.count for part in parts)
            copied += sum(part.bytes for part in parts)
            if work > _FREE + _PER_BYTE * position:
                raise PickleBombError('its calls have more arguments than the file has room for')
            if copied > _FREE + _COPIES * position:
                raise PickleBombError('its arrays take more memory than the file has bytes')
            if name == 'BUILD':
                stack[-1].add(parts)
            else:
                function, given = stack.pop(), parts[-1].parts
                name_of(function)
                for item in (item for part in given for item in part.parts) if function in (_SET, _DICT) else ():
                    for part in [item] if function is _SET else item.parts[:1]:  # of pairs of key and value
                        key(part)
                if function is _ENCODE and given[1:] != [_LATIN1]:
                    raise PickleBombError('bytes are written in an unknown way')
                if function is _RESERVE and (_NUMBER in given or _LARGE in given):
                    raise PickleBombError('it creates an array in an unknown way')
                stack.append(_Value(parts))
        elif name in ('STACK_GLOBAL', 'BINPERSID'):
            found = [stack.pop() for _ in range(2 if name == 'STACK_GLOBAL' else 1)]
            for part in found:
                name_of(part)
            stack.append(found[0] if found[0] in (_SET, _DICT) else _LEAF)
        else:  # numbers, text, names
            size = len(argument) if isinstance(argument, (str, bytes, bytearray)) else 0
            if isinstance(argument, int) and argument.bit_length() > MOST_BITS:
                raise PickleBombError(f'a number has more than {MOST_BITS} bits')
            leaf = _LEAF
            if type(argument) in (int, float):
                leaf = _NUMBER if type(argument) is int and abs(argument) < _SMALL else _LARGE
            elif name == 'GLOBAL':
                leaf = _FUNCTIONS.get(argument) or _TEXTS.get(argument.rpartition(' ')[2], _LEAF)
            elif isinstance(argument, str):
                leaf = _TEXTS.get(argument, _LEAF)
            stack.append(_Value([], size) if size > 64 else leaf)
    raise ValueError('it has no end')
