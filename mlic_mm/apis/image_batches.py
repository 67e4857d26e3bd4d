"""Batches of packed images."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from mmengine.dataset import default_collate

__all__ = ['in_batches', 'stack_images']

T = TypeVar('T')


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of one size. The last list may be shorter.

    Example:
        >>> list(in_batches('abcde', 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def stack_images(batch: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return a batch of packed images, which come with their names for messages.

    Raises:
        ValueError: They differ in size.
    """
    first, *others = [(name, tuple(packed['inputs'].shape)) for name, packed in batch]
    for name, shape in others:
        if shape != first[1]:
            raise ValueError(
                f'{first[0]} and {name} cannot be in one batch, after the pipeline they are {first[1]} and {shape}: '
                'take batch_size=1, or put a Resize to one size into the test pipeline'
            )
    return default_collate([packed for _, packed in batch])
