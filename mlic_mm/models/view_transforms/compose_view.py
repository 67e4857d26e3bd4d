"""Several transforms, one after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mlic_mm.registry import TASK_UTILS

from .view_transform import Size, ViewTransform


@TASK_UTILS.register_module()
class ComposeView(ViewTransform):
    """Transforms applied in their order: ``T = T_k ∘ … ∘ T_1``.

    Args:
        views: At least two transforms, the first one first.

    Raises:
        ValueError: There are fewer than two views.
        TypeError: ``views`` is no list of views.

    Examples:
        >>> view = TASK_UTILS.build(
        ...     dict(
        ...         type='mlic_mm.ComposeView',
        ...         views=[dict(type='mlic_mm.FlipView'), dict(type='mlic_mm.ScaleView', size=192)],
        ...     )
        ... )
        >>> view.name, view.view_size((224, 224))
        ('flip+scale_192', (192, 192))
    """

    def __init__(self, views: Sequence[dict | ViewTransform]) -> None:
        self.views = build_views(views)
        if len(self.views) < 2:
            raise ValueError(f'views={[view.name for view in self.views]} must be at least two')
        self.name = '+'.join(view.name for view in self.views)
        self.leaves_gaps = any(view.leaves_gaps for view in self.views)

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        for view in self.views:
            images = view.image(images)
        return images

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        for view in self.views:
            maps, size = view.move(maps, size), view.view_size(size)
        return maps

    def boxes(self, boxes: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        for view in self.views:
            boxes, size = view.boxes(boxes, size), view.view_size(size)
        return boxes

    def view_size(self, size: Size) -> Size:
        """See :class:`ViewTransform`."""
        for view in self.views:
            size = view.view_size(size)
        return size


def build_views(views: Any) -> list[ViewTransform]:
    """Return the transforms of an option ``views``: a list of configs or of built transforms.

    Raises:
        TypeError: It is no list, or something in it is no view.
    """
    cure = "write a list of configs, [dict(type='mlic_mm.FlipView')]"
    if not isinstance(views, Sequence) or isinstance(views, str):
        given = repr(views) if views is None or isinstance(views, str) else type(views).__name__
        raise TypeError(f'views={given} must be a list of views: {cure}')
    for i, view in enumerate(views):
        if not isinstance(view, Mapping | ViewTransform):
            raise TypeError(f'views[{i}]={view!r} must be a view: {cure}')
    return [view if isinstance(view, ViewTransform) else TASK_UTILS.build(view) for view in views]
