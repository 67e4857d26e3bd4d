"""Evaluation protocols: the choices in which published evaluators differ, and named sets of choices."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from mlic_mm.utils.choices import check_choice, check_range, did_you_mean


@dataclass(frozen=True)
class Protocol:
    """One published way to compute metrics from scores.

    Args:
        ap: Average precision. ``'all-points'``: the mean of the precisions at the positives. ``'envelope'``: the same,
            after every precision was raised to the best one at an equal or higher recall (VOC from 2010 on).
            ``'11-point'``: the mean of that envelope at recall 0, 0.1 … 1 (VOC 2007).
        ties: Equal scores in a class. ``'group'``: they enter together. Each of their positives has the precision at
            the end of the group, which is not the mean over their orders. ``'worst'`` and ``'best'``: negatives or
            positives come first. No choice depends on the order of the samples.
        threshold: A label is predicted if its score is strictly greater. One number, one for each class, ``'tuned'``
            (the one number that is best on the evaluated scores), or None (the metrics without suffix are those of the
            top-k).
        topk: Number of labels of the top-k metrics (suffix ``_top{k}``). With None there are none.
        topk_mode: ``'pure'``: the k best labels of every image. ``'and-threshold'``: those of them that are above the
            threshold.
        class_f1: CF1 is ``'harmonic'``, 2·CP·CR/(CP+CR), or ``'mean'``, the mean of the F1 of the classes.
        no_predictions: A class that is never predicted. Its precision is ``'zero'`` or ``'one'``. ``'skip'``: it is
            left out of CP and of the mean of F1, while its recall of 0 stays in CR. ``'counted'``: its precision is 0,
            and OP counts one wrong prediction for it, as in codebases that set an empty denominator to 1.
        no_positives: A class without positives. ``'skip'``: it is left out of every mean over classes. ``'zero'``: its
            AP, recall and F1 are 0.
        empty_rate: In mA, the true positive rate of a class without positives, and the true negative rate of a class
            without negatives. ``'as-recall'``: ``no_positives`` applies. ``'zero'``: it is 0.
        ignored: What targets −1 are: left out (``'ignore'``) or ``'negative'``. AP and AUROC always leave them out.
        unlabelled: Images without any positive label: ``'keep'`` them, or ``'drop'`` them before anything is counted.
        tune_for: What ``threshold='tuned'`` maximises.
        preset: Name of the preset that the protocol was made from, for :attr:`title`. It does not matter for equality.

    Raises:
        ValueError: The value of an option is invalid. The message lists the choices.
        TypeError: A threshold or ``topk`` has another type.

    Examples:
        >>> get_protocol('asl', threshold=0.75).title
        'asl, threshold=0.75'
        >>> Protocol(ties='none')
        Traceback (most recent call last):
        ValueError: ties='none' must be one of group, worst, best
    """

    ap: Literal['all-points', 'envelope', '11-point'] = 'all-points'
    ties: Literal['group', 'worst', 'best'] = 'group'
    threshold: float | Sequence[float] | str | None = 0.5
    topk: int | None = 3
    topk_mode: Literal['pure', 'and-threshold'] = 'pure'
    class_f1: Literal['harmonic', 'mean'] = 'mean'
    no_predictions: Literal['zero', 'counted', 'one', 'skip'] = 'zero'
    no_positives: Literal['skip', 'zero'] = 'skip'
    empty_rate: Literal['as-recall', 'zero'] = 'as-recall'
    ignored: Literal['ignore', 'negative'] = 'ignore'
    unlabelled: Literal['keep', 'drop'] = 'keep'
    tune_for: Literal['OF1', 'CF1'] = 'OF1'
    preset: str = field(default='', compare=False)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.topk is not None:
            check_range('topk', self.topk, at_least=1, whole=True)
        self._check_threshold()
        if self.threshold is None and self.topk is None:
            raise ValueError('threshold=None must not be set beside topk=None: nothing would be predicted; set one')
        if self.threshold is None and self.topk_mode == 'and-threshold':
            raise ValueError("topk_mode='and-threshold' must have a threshold: set one, or topk_mode='pure'")

    def _check_threshold(self) -> None:
        value = self.threshold
        if isinstance(value, str):
            if value != 'tuned':
                raise ValueError(f"threshold={value!r} must be a number, a number for each class, 'tuned' or None")
        elif value is not None:
            try:
                numbers = np.atleast_1d(np.asarray(value)) if not isinstance(value, bool) else np.array(None)
            except (TypeError, ValueError):  # rows of different lengths, tensors of types that NumPy lacks
                numbers = np.array(None)
            if numbers.dtype.kind not in 'fiu' or numbers.ndim != 1 or not numbers.size:
                raise TypeError(f"threshold={value!r} must be a number, a number for each class, 'tuned' or None")
            if not np.isfinite(numbers).all():
                raise ValueError(f'threshold={value!r} must be finite')
            if not isinstance(value, Real):  # so that protocols can be compared
                object.__setattr__(self, 'threshold', tuple(numbers.tolist()) if np.ndim(value) else numbers.item())

    @property
    def single_threshold(self) -> float | None:
        """The fixed threshold if it is one number, else None."""
        return float(self.threshold) if isinstance(self.threshold, Real) else None

    @property
    def title(self) -> str:
        """The preset and what differs from it, ``asl, threshold=0.3, topk=1``, or ``custom`` without a preset."""
        preset = PRESETS.get(self.preset)
        if preset is None:
            return 'custom'
        names = [f.name for f in fields(self) if f.compare and getattr(self, f.name) != getattr(preset, f.name)]
        changes = [
            f'{name}={"one per class" if isinstance(value := getattr(self, name), tuple) else value}' for name in names
        ]
        return ', '.join([self.preset, *changes])


_CHOICES = {name: get_args(kind) for name, kind in get_type_hints(Protocol).items() if get_origin(kind) is Literal}
_MLGCN = Protocol(topk_mode='and-threshold', class_f1='harmonic', no_predictions='counted', ignored='negative')
PRESETS: dict[str, Protocol] = {
    name: replace(protocol, preset=name)
    for name, protocol in {
        'mlgcn': _MLGCN,
        'csra': replace(_MLGCN, ignored='ignore'),
        'srn': Protocol(ap='envelope', no_predictions='one', ignored='negative'),
        'asl': Protocol(threshold=0.8, no_positives='zero'),
        'q2l': Protocol(ap='envelope', topk_mode='and-threshold', class_f1='harmonic'),
        'wang': Protocol(threshold=None, no_predictions='skip', ignored='negative'),
        'liu': Protocol(threshold='tuned'),
        'guo': Protocol(ignored='negative'),
        'pedestrian': Protocol(topk=None, empty_rate='zero'),
        'voc07': Protocol(ap='11-point', topk_mode='and-threshold', class_f1='harmonic'),
    }.items()
}
"""Published evaluators by name. ``docs/evaluation.md`` says where each is used."""


def get_protocol(preset: str | Protocol = 'mlgcn', **overrides: Any) -> Protocol:
    """Return a preset with some of its options changed.

    Args:
        preset: A key of :data:`PRESETS`, or a protocol to start from.
        **overrides: Fields of :class:`Protocol`.

    Raises:
        ValueError: A preset, an option or a value is unknown. The message names the nearest known one.
        TypeError: ``preset`` is neither a name nor a protocol, or an option has the wrong type.
    """
    if isinstance(preset, str):
        check_choice('preset', preset, PRESETS)
        preset = PRESETS[preset]
    elif not isinstance(preset, Protocol):
        raise TypeError(f'preset={preset!r} must be a name or a Protocol')
    known = [option.name for option in fields(Protocol) if option.compare]
    for name in overrides:
        if name not in known:
            raise ValueError(f'unknown option {name!r}{did_you_mean(name, known, 1)}')
    return replace(preset, **overrides)
