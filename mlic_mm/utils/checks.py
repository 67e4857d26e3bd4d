"""Checks that several parts share, so that a mismatch gives the same message everywhere."""

from collections import Counter
from collections.abc import Sequence

from torch import nn


def check_same_classes(expected: Sequence[str], found: Sequence[str], expected_from: str, found_from: str) -> None:
    """Refuse label names that differ in number, spelling or order.

    Args:
        expected: Label names in the order of the caller.
        found: Label names that came with a matrix, file or checkpoint.
        expected_from: Where ``expected`` comes from, for messages: ``'data set COCOMultiLabel'``.
        found_from: Where ``found`` comes from: ``'label graph data/label_graphs/coco2014.npz'``.

    Raises:
        ValueError: The names differ. The message says how many there are, or index and names of the first difference.

    Example:
        >>> check_same_classes(['cat', 'dog'], ['dog', 'cat'], 'the data', 'the model')
        Traceback (most recent call last):
        ValueError: labels differ at index 0: the model has 'dog' where the data has 'cat' (both hold the same names in
        another order: rebuild or reorder one of them)
    """
    expected, found = tuple(expected), tuple(found)
    if expected == found:
        return
    first = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
    if len(expected) != len(found):
        what = f'{len(found)} labels in {found_from}, but {len(expected)} in {expected_from}'
        if first is not None:
            what += f'; the first that differs is index {first}: {found[first]!r} instead of {expected[first]!r}'
        else:
            short, rest = (found_from, expected) if len(found) < len(expected) else (expected_from, found)
            what += f'; {short} ends before {rest[min(len(expected), len(found))]!r}'
        cure = 'use files made for the same label list'
    else:
        assert first is not None
        what = (
            f'labels differ at index {first}: {found_from} has {found[first]!r} '
            f'where {expected_from} has {expected[first]!r}'
        )
        if sorted(expected) == sorted(found):
            cure = 'both hold the same names in another order: rebuild or reorder one of them'
        else:
            cure = 'use files made for the same label list'
    raise ValueError(f'{what} ({cure})')


def check_same_names(expected: Sequence[str], found: Sequence[str], expected_from: str, found_from: str) -> None:
    """Refuse label names that differ in number or spelling. Their order may differ. The arguments are those above.

    Raises:
        ValueError: The names differ. The message names the first label that only one of the two has, or has twice.
    """
    for names, others, source, other in (
        (expected, found, expected_from, found_from),
        (found, expected, found_from, expected_from),
    ):
        lacking = next(iter((Counter(names) - Counter(others)).keys()), None)
        if lacking is not None:
            where = 'more often in' if lacking in others else 'only in'
            raise ValueError(
                f'label {lacking!r} is {where} {source}, {other} holds other names; use the same label list'
            )


def check_head_labels(head: nn.Module | None, classes: Sequence[str], source: str) -> bool:
    """Refuse label names if their number differs from the number of labels that a head scores.

    Args:
        head: The head of a classifier.
        classes: Label names.
        source: Where the names come from, for messages.

    Returns:
        Whether the head says how many labels it scores.

    Raises:
        ValueError: The numbers differ.
    """
    number, where = getattr(head, 'num_classes', None), 'num_classes'
    if number is None:
        # Heads of other packages store no number. If a layer scores the labels, it has that many outputs.
        outputs = {
            name: getattr(layer, 'out_features', None) or getattr(layer, 'out_channels', None)
            for name, layer in (head.named_modules() if head is not None else ())
            if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)
        }
        if not outputs or len(classes) in outputs.values():
            return bool(outputs)
        where, number = list(outputs.items())[-1]
    if number != len(classes):
        names = f', {classes[0]!r} … {classes[-1]!r}' if classes else ''
        raise ValueError(
            f'model.head ({type(head).__name__}) is made for {number} labels ({where}), but {source} has '
            f'{len(classes)}{names}: set model.head.num_classes={len(classes)}, or use the data and names that this '
            'head is for'
        )
    return True
