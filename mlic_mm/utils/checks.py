"""Checks that several parts share, so that a mismatch reads the same wherever it is met."""

from collections import Counter
from collections.abc import Sequence

from torch import nn


def check_same_classes(expected: Sequence[str], found: Sequence[str], expected_from: str, found_from: str) -> None:
    """Refuse label names that differ in number, spelling or order.

    Args:
        expected (Sequence[str]): Label names in the order that the caller works with.
        found (Sequence[str]): Label names that came with a matrix, file or checkpoint.
        expected_from (str): Where ``expected`` comes from, for the message: ``'data set COCOMultiLabel'``.
        found_from (str): Where ``found`` comes from: ``'label graph data/label_graphs/coco2014.npz'``.

    Raises:
        ValueError: Names the differing count, or index and both names of the first difference.
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
    """Refuse label names that differ in number or spelling; their order is free. Arguments as above.

    Raises:
        ValueError: Names the first label that only one of the two holds, or that one holds twice.
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
    """Refuse label names that are more or fewer than a head scores.

    Args:
        head (nn.Module | None): Of a classifier.
        classes (Sequence[str]): Label names.
        source (str): Where they come from, for the message.

    Returns:
        bool: Whether the head tells how many labels it scores.

    Raises:
        ValueError: Another number.
    """
    number, where = getattr(head, 'num_classes', None), 'num_classes'
    if number is None:
        # Heads of other packages keep no number. One that scores labels by a layer has a layer of that many outputs.
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
