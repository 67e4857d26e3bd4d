"""All metrics of one protocol from scores and targets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .auroc import PooledAuroc, class_auroc
from .average_precision import class_ap
from .figures import class_figures, example_figures, label_figures, mean_accuracy, mean_of_known
from .matrices import ClassMajor, as_matrices
from .predictions import above_threshold, top_k
from .protocol import Protocol, get_protocol
from .threshold import best_threshold


def evaluate_scores(
    scores: Any,
    targets: Any,
    preset: str | Protocol = 'mlgcn',
    *,
    per_class: bool = False,
    classes: Sequence[str] | None = None,
    auroc: bool = True,
    **overrides: Any,
) -> dict[str, Any]:
    """Evaluate a matrix of scores as a published evaluator does.

    Args:
        scores: Tensor or array ``(N, C)`` without NaN.
        targets: Tensor or array ``(N, C)``: 1 present, 0 absent, −1 ignored. It is not changed.
        preset: A key of :data:`PRESETS`, or a protocol.
        per_class: Whether to add the entry ``'per_class'``.
        classes: Class names for that entry. Defaults to their indices.
        auroc: Whether to include the areas under ROC curves. They take a third of the time, and half of it if there are
            few data.
        **overrides: Options of :class:`Protocol` that differ from the preset.

    Returns:
        Percentages:

        * ``mAP, CP, CR, CF1, OP, OR, OF1``, and the last six with the suffix ``_top3``; ``mA``; and the example-based
          ``Acc, Prec, Rec, F1``. A metric is NaN if the protocol leaves every class out.
        * ``AUROC``, the mean of the areas under the ROC curves of the classes, and ``AUROC_micro``, the area of all
          decisions together. In every protocol −1 is left out and equal scores count half. A class without positives or
          without negatives has no area. If there is such a class, ``AUROC_classes`` says how many classes have an area.
          If no class has one, there is no ``AUROC``.

        The threshold, as it was given, is ``threshold``. If it was tuned on the same scores that it evaluates, it is
        ``threshold_tuned_here``.

        ``per_class`` is a dictionary of lists: ``names``; ``AP, P, R, F1`` in percent, NaN for a class that is left
        out; ``AUROC``, None if there is none, and ``no_AUROC``, which says why; ``support``, the number of positives;
        and ``negatives``, the number of known negatives.

    Raises:
        ValueError: :func:`as_matrices` or :func:`get_protocol` refuses an input, or the number of names is not C.
        TypeError: An input holds no numbers.

    Example:
        >>> scores, targets = np.array([[0.9, 0.1], [0.7, 0.6]]), np.array([[1, 0], [0, 1]])
        >>> found = evaluate_scores(scores, targets, 'mlgcn')
        >>> found['mAP'], found['CP'], found['CR']
        (100.0, 75.0, 100.0)
    """
    protocol = get_protocol(preset, **overrides)
    scores, targets = as_matrices(scores, targets)
    num_classes = scores.shape[1]
    if classes is not None and len(classes) != num_classes:
        raise ValueError(f'{len(classes)} class names for {num_classes} columns of scores')
    if protocol.unlabelled == 'drop':
        labelled = (targets == 1).any(axis=1)
        if not labelled.any():
            raise ValueError("unlabelled='drop' leaves no image to evaluate: none has a positive label")
        scores, targets = scores[labelled], targets[labelled]
    data = ClassMajor.from_matrices(scores, targets)

    threshold = best_threshold(data, protocol) if isinstance(protocol.threshold, str) else protocol.threshold
    above = None if threshold is None else above_threshold(data.scores, threshold)
    best = None if protocol.topk is None else top_k(data.scores, protocol.topk)
    if best is not None and protocol.topk_mode == 'and-threshold':
        best &= above
    predicted = best if above is None else above
    assert predicted is not None  # Protocol refuses to have neither
    valid = np.full(num_classes, len(scores))
    if data.ignored is not None and protocol.ignored == 'ignore':
        valid = (~data.ignored).sum(1)
        for prediction in (above, best):
            if prediction is not None:
                prediction &= ~data.ignored

    hit = predicted & data.positive
    counts = hit.sum(1), predicted.sum(1), data.positive.sum(1)
    aps, areas, pooled = _ranked(data, protocol, auroc)
    if protocol.no_positives == 'zero':
        aps = np.nan_to_num(aps, nan=0.0)
    figures: dict[str, Any] = {'mAP': mean_of_known(aps)}
    figures |= {name: area for name, area in (('AUROC', mean_of_known(areas)), ('AUROC_micro', pooled)) if area >= 0}
    figures |= label_figures(*counts, protocol)
    if best is not None:
        of_best = label_figures((best & data.positive).sum(1), best.sum(1), counts[2], protocol)
        figures |= {f'{name}_top{protocol.topk}': value for name, value in of_best.items()}
    figures['mA'] = mean_accuracy(*counts, valid, protocol)
    figures |= example_figures(_per_image(hit), _per_image(predicted), _per_image(data.positive))
    result: dict[str, Any] = {name: 100 * float(value) for name, value in figures.items()}
    if auroc and np.isnan(areas).any():
        result['AUROC_classes'] = int(np.isfinite(areas).sum())
    if protocol.threshold == 'tuned':
        result['threshold_tuned_here'] = threshold
    elif protocol.single_threshold is not None:
        result['threshold'] = protocol.single_threshold
    if per_class:
        columns = dict(zip(('P', 'R', 'F1'), class_figures(*counts, protocol), strict=True))
        result['per_class'] = {
            'names': [str(i) for i in range(num_classes)] if classes is None else list(classes),
            **{name: (100 * values).tolist() for name, values in {'AP': aps, **columns}.items()},
            'support': counts[2].tolist(),
            'negatives': (len(scores) - counts[2] - (0 if data.ignored is None else data.ignored.sum(1))).tolist(),
        }
        if auroc:
            both = zip(result['per_class']['support'], result['per_class']['negatives'], strict=True)
            result['per_class']['AUROC'] = [None if np.isnan(area) else 100 * float(area) for area in areas]
            result['per_class']['no_AUROC'] = [_lacking(*counted) for counted in both]
    return result


def _ranked(data: ClassMajor, protocol: Protocol, auroc: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Return AP and AUROC of every class ``(C,)``, NaN if undefined, and the AUROC of all decisions together."""
    aps, areas = np.full((2, len(data.scores)), np.nan)
    pooled = PooledAuroc(data) if auroc else None
    for index in range(len(aps)):
        every, positives = data.sorted_class(index)
        if len(positives):
            aps[index] = class_ap(every, positives, protocol)
        if pooled is not None:
            areas[index] = class_auroc(every, positives)
            pooled.add(every)
    return aps, areas, np.nan if pooled is None else pooled.area()


def _lacking(positives: int, negatives: int) -> str:
    found = [name for name, count in (('positives', positives), ('negatives', negatives)) if not count]
    return f'no {" and no ".join(found)}' if found else ''


def _per_image(mask: np.ndarray) -> np.ndarray:
    return np.add.reduce(mask, axis=0, dtype=np.int32)
