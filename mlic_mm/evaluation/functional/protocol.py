"""Evaluation protocols: every choice on which published evaluators differ, and the named sets of choices."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

import numpy as np

from mlic_mm.utils.choices import check_choice, check_range, did_you_mean

_CHOICES = {
    'ap': ('all-points', 'envelope', '11-point'),
    'ties': ('group', 'worst', 'best'),
    'topk_mode': ('pure', 'and-threshold'),
    'class_f1': ('harmonic', 'mean'),
    'no_predictions': ('zero', 'counted', 'one', 'skip'),
    'no_positives': ('skip', 'zero'),
    'empty_rate': ('as-recall', 'zero'),
    'ignored': ('ignore', 'negative'),
    'unlabelled': ('keep', 'drop'),
    'tune_for': ('OF1', 'CF1'),
}


@dataclass(frozen=True)
class Protocol:
    """One published way of turning scores into figures.

    Args:
        ap (str): ``'all-points'``: mean of the precisions at the positives. ``'envelope'``: the same after every
            precision is raised to the best one at an equal or higher recall (VOC from 2010 on). ``'11-point'``: mean of
            that envelope at recall 0, 0.1 … 1 (VOC 2007).
        ties (str): Equal scores within a class. ``'group'``: they enter together, so that the precision at each of
            their positives is that at the end of the group, which is not the mean over their orders; ``'worst'`` /
            ``'best'``: negatives / positives first. None depends on the order of the samples.
        threshold (float | Sequence[float] | str | None): A label is predicted where its score is greater (strictly).
            One number, one per class, ``'tuned'``: the one number that is best on the scores evaluated, or None:
            the figures without suffix are those of the top-k.
        topk (int | None): Number of labels of the top-k figures (suffix ``_top{k}``); None leaves them out.
        topk_mode (str): ``'pure'``: the k best labels of every image; ``'and-threshold'``: those of them above the
            threshold.
        class_f1 (str): CF1 is ``'harmonic'``: 2·CP·CR/(CP+CR), or ``'mean'``: the mean of the classes' F1.
        no_predictions (str): A class never predicted: its precision is ``'zero'`` or ``'one'``, or ``'skip'``: it is
            left out of CP and of the mean of F1 (its recall of 0 stays in CR). ``'counted'``: its precision is 0, and
            OP counts one wrong prediction for it, as codebases do that set an empty denominator to 1.
        no_positives (str): A class without positives: ``'skip'``: left out of every mean over classes; ``'zero'``: its
            AP, recall and F1 are 0.
        empty_rate (str): In mA, the true positive rate of a class without positives and the true negative rate of one
            without negatives: ``'as-recall'``: as ``no_positives`` says; ``'zero'``: 0.
        ignored (str): Targets −1 in everything but AP and AUROC, which always leave them out: ``'ignore'`` or
            ``'negative'``.
        unlabelled (str): Images without any positive label: ``'keep'`` or ``'drop'`` before anything is counted.
        tune_for (str): What ``threshold='tuned'`` maximises: ``'OF1'`` or ``'CF1'``.
        preset (str): Name of the preset that it was made from, for :attr:`title`. Two protocols of the same choices
            are equal whatever they were made from.

    Raises:
        ValueError: An option has none of its values; the message lists them.
        TypeError: A threshold or ``topk`` of another type.
    """

    ap: str = 'all-points'
    ties: str = 'group'
    threshold: float | Sequence[float] | str | None = 0.5
    topk: int | None = 3
    topk_mode: str = 'pure'
    class_f1: str = 'mean'
    no_predictions: str = 'zero'
    no_positives: str = 'skip'
    empty_rate: str = 'as-recall'
    ignored: str = 'ignore'
    unlabelled: str = 'keep'
    tune_for: str = 'OF1'
    preset: str = field(default='', compare=False)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.topk is not None:  # None: no top-k figures
            check_range('topk', self.topk, at_least=1, whole=True)
        self._check_threshold()
        if self.threshold is None and self.topk is None:
            raise ValueError(
                'threshold=None takes the figures from the top-k, which topk=None leaves out: set one of them'
            )
        if self.threshold is None and self.topk_mode == 'and-threshold':
            raise ValueError("topk_mode='and-threshold' needs a threshold: set one, or topk_mode='pure'")

    def _check_threshold(self) -> None:
        value = self.threshold
        if isinstance(value, str):
            if value != 'tuned':
                raise ValueError(f"threshold={value!r} is neither a number, one number per class, 'tuned' nor None")
        elif value is not None:
            try:
                numbers = np.atleast_1d(np.asarray(value)) if not isinstance(value, bool) else np.array(None)
            except (TypeError, ValueError):  # rows of different lengths, tensors of types that NumPy lacks
                numbers = np.array(None)
            if numbers.dtype.kind not in 'fiu' or numbers.ndim != 1 or not numbers.size:
                raise TypeError(f"threshold={value!r} is neither a number, one number per class, 'tuned' nor None")
            if not np.isfinite(numbers).all():
                raise ValueError(f'threshold={value!r} is not finite')
            if not isinstance(value, Real):  # so that protocols can be compared
                object.__setattr__(self, 'threshold', tuple(numbers.tolist()) if np.ndim(value) else numbers.item())

    @property
    def single_threshold(self) -> float | None:
        """The fixed threshold where it is one number, else None."""
        return float(self.threshold) if isinstance(self.threshold, Real) else None

    @property
    def title(self) -> str:
        """The preset and what differs from it: ``asl, threshold=0.3, topk=1``; ``custom`` where it has none."""
        preset = PRESETS.get(self.preset)
        if preset is None:
            return 'custom'
        names = [f.name for f in fields(self) if f.compare and getattr(self, f.name) != getattr(preset, f.name)]
        changes = [
            f'{name}={"one per class" if isinstance(value := getattr(self, name), tuple) else value}' for name in names
        ]
        return ', '.join([self.preset, *changes])


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
"""Published evaluators by name; ``docs/evaluation.md`` says whose each is."""


def get_protocol(preset: str | Protocol = 'mlgcn', **overrides: Any) -> Protocol:
    """Return a preset with some of its options changed.

    Args:
        preset (str | Protocol): A key of :data:`PRESETS`, or a protocol to start from.
        **overrides: Fields of :class:`Protocol`.

    Raises:
        ValueError: Unknown preset, option or value; the message names the nearest known one.
        TypeError: ``preset`` is neither a name nor a protocol, or an option has the wrong type.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise ValueError(f'unknown preset {preset!r}{did_you_mean(preset, PRESETS, 1)}')
        preset = PRESETS[preset]
    elif not isinstance(preset, Protocol):
        raise TypeError(f'preset must be a name or a Protocol, got {type(preset).__name__}')
    known = [option.name for option in fields(Protocol) if option.compare]
    for name in overrides:
        if name not in known:
            raise ValueError(f'unknown option {name!r}{did_you_mean(name, known, 1)}')
    return replace(preset, **overrides)
