"""The section of the report with maps over an image and over its views."""

import math
from typing import Any, NamedTuple

import numpy as np
from mmpretrain.models import ImageClassifier

from mlic_mm.evaluation import ScoreDump

from ..class_maps import choose_images
from ..inputs import NoFeatureMapError
from ..view_maps import LabelRow, ViewCard, view_maps

_MOST = 6
"""The largest number of images. Each has some ten pictures."""


class _ViewRow(NamedTuple):
    label: str
    target: int
    row: LabelRow


class _ViewPanel(NamedTuple):
    image_id: str
    truth: list[str]
    card: ViewCard
    rows: list[_ViewRow]


def view_section(dump: ScoreDump, model: ImageClassifier | None, dataset: Any, limit: int) -> dict[str, Any]:
    """Return the maps of views of at most six images, or what is missing to draw them."""
    context: dict[str, Any] = {'view_panels': [], 'views_problem': '', 'two_digits': _two_digits}
    if model is None or dataset is None:
        return context  # the class maps say so
    rows = choose_images(dump.targets, min(limit, _MOST))
    try:
        cards = view_maps(model, dataset, rows, [str(i) for i in dump.image_ids], len(dump.classes))
    except NoFeatureMapError as error:
        return {**context, 'views_problem': str(error)}
    for card in cards:
        truth = [dump.classes[c] for c in np.flatnonzero(dump.targets[card.row] == 1)]
        named = [_ViewRow(dump.classes[r.label], int(dump.targets[card.row, r.label]), r) for r in card.rows]
        context['view_panels'].append(_ViewPanel(str(dump.image_ids[card.row]), truth, card, named))
    return context


def _two_digits(value: float) -> str:
    """Return two significant digits, because inconsistencies span many powers of ten."""
    if math.isnan(value):
        return '–'
    return f'{value:.2g}' if value < 10 else f'{value:.0f}'
