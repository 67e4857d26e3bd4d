"""Rows of scores gathered from batches and processes, each sample of the data set once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

SampleKey = tuple[object, object, object]


@dataclass(frozen=True)
class CollectedScores:
    """Scores of some samples. This is no dictionary, so that mmengine does not walk through its lists.

    Attributes:
        scores: ``(n, C)`` on the CPU.
        targets: int8 ``(n, C)``.
        keys: ``sample_idx``, ``img_id`` and ``img_path`` of each sample, None if it has none.
    """

    scores: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    targets: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int8))
    keys: list[SampleKey] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)


def name_sample(key: SampleKey, position: int) -> str:
    """Return what messages call a sample: its path, or else its id, its index or its position."""
    index, image_id, path = key
    known = next(
        (
            f'{what} {value}'
            for what, value in (('image', path), ('image', image_id), ('sample', index))
            if value is not None
        ),
        None,
    )
    return known or f'sample number {position}'


def concatenate(parts: Sequence[CollectedScores]) -> CollectedScores:
    """Join parts, one after the other.

    Raises:
        ValueError: The parts have different numbers of classes.
    """
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else CollectedScores()
    widths = sorted({part.scores.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(f'scores of {widths[0]} and of {widths[-1]} classes in one evaluation: evaluate them apart')
    return CollectedScores(
        torch.cat([part.scores for part in parts]),
        torch.cat([part.targets for part in parts]),
        [key for part in parts for key in part.keys],
    )


def merge_processes(parts: Sequence[CollectedScores], size: int) -> CollectedScores:
    """Merge the samples of all processes, so that every sample of the data set is there once.

    Samplers give some samples out twice, so that all processes get equally many. mmengine cuts the surplus off the end
    of the interleaved list, which is right for its own sampler only. Here, index, id and path tell which samples are
    repeated, for any sampler. If they cannot tell, as with a data set that lists an image twice or gives no names, the
    position decides as in mmengine, provided that only repeated samples are dropped.

    Args:
        parts: One part for each process, in order of rank.
        size: Length of the data set.

    Raises:
        ValueError: There are more different samples than the data set has, or it is unclear which are repeated.
    """
    merged = concatenate(parts)
    if len(parts) > 1:
        # Rank r of W usually gets samples r, r + W, …: taking turns restores the order of the data set.
        lengths = [len(part) for part in parts]
        turn = np.concatenate([np.arange(length) for length in lengths])
        rank = np.repeat(np.arange(len(parts)), lengths)
        merged = _select(merged, np.lexsort((rank, turn)))
    if len(merged) <= size:
        return merged
    nameless = all(part is None for key in merged.keys for part in key)
    first: dict[SampleKey, int] = {}
    for position, key in enumerate(merged.keys):
        first.setdefault(key, position)
    if nameless or len(first) < size:
        kept = set(merged.keys[:size])
        lost = next((i for i in range(size, len(merged)) if merged.keys[i] not in kept), None)
        if lost is not None:
            raise ValueError(
                f'{len(merged)} results for a data set of {size}, and it is unclear which are repeated: '
                f'{name_sample(merged.keys[lost], lost)} would be lost. Give every sample its own img_id, '
                "or use mmengine's DefaultSampler"
            )
        return _select(merged, np.arange(size))
    if len(first) > size:
        raise ValueError(
            f'{len(first)} different samples were collected for a data set of {size}: '
            'pass evaluate() the length of the data set that was processed'
        )
    return _select(merged, np.fromiter(first.values(), dtype=np.int64, count=size))


def _select(data: CollectedScores, order: np.ndarray) -> CollectedScores:
    index = torch.from_numpy(order)
    return CollectedScores(data.scores[index], data.targets[index], [data.keys[i] for i in order])
