"""Read the label matrices of other codebases from pickles, without executing anything in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from mlic_mm.safe_load.safe_pickle import load_pickle

from .data import LabelGraphData


def graph_from_pickle(path: str | Path, classes: Sequence[str], threshold: float = 0.5) -> LabelGraphData:
    """Read ML-GCN's ``dict(adj, nums)``: co-occurrence ``(C, C)`` and images per label ``(C,)``.

    Args:
        path: The pickle.
        classes: Label names in the order of the pickle, which stores none.
        threshold: Default threshold of the graph.

    Returns:
        The graph, with ``num_images=0``: the pickle does not store the number of images.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file carries code, is damaged, or holds no such dict.
    """
    content = load_pickle(path)
    if not isinstance(content, dict) or not {'adj', 'nums'} <= content.keys():
        found = f'dict with {sorted(map(str, content))}' if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} must hold a dict with 'adj' and 'nums', found {found}")
    counts, matrix = np.asarray(content['nums']), np.asarray(content['adj'])
    if counts.shape != (len(classes),) or matrix.shape != (len(classes),) * 2:
        raise ValueError(
            f'{path} holds adj {matrix.shape} and nums {counts.shape}, but {len(classes)} class names were given'
        )
    if np.array_equal(matrix.diagonal(), counts):  # some codebases count a label with itself
        matrix = matrix - np.diag(counts)
    try:
        return LabelGraphData(tuple(classes), counts, sp.csr_array(matrix), num_images=0, threshold=threshold)
    except ValueError as error:
        raise ValueError(f'{path} is no co-occurrence matrix with its counts: {error}') from error


def embeddings_from_pickle(path: str | Path, num_classes: int) -> np.ndarray:
    """Read label vectors as in ML-GCN's ``coco_glove_word2vec.pkl``: one array ``(C, d)`` in the order of its classes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file carries code, is damaged, or holds no array of ``num_classes`` rows.
    """
    content = load_pickle(path)
    if not isinstance(content, np.ndarray) or content.ndim != 2 or len(content) != num_classes:
        found = content.shape if isinstance(content, np.ndarray) else type(content).__name__
        raise ValueError(f'{path} must hold an array of {num_classes} label vectors, found {found}')
    if content.dtype.kind != 'f':
        raise ValueError(f'{path} must hold floating-point label vectors, found {content.dtype}')
    return content.astype(np.float32)
