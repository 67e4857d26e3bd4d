"""Transforms one after the other."""

from collections.abc import Sequence

from torch import Tensor

from mlic_mm.registry import TASK_UTILS

from .view_transform import Size, ViewTransform


@TASK_UTILS.register_module()
class ComposeView(ViewTransform):
    """Transforms applied in their order: ``T = T_k ∘ … ∘ T_1``.

    Args:
        views (Sequence[dict | ViewTransform]): At least two, the first one first.

    Raises:
        ValueError: Fewer than two.
    """

    def __init__(self, views: Sequence[dict | ViewTransform]) -> None:
        self.views = [view if isinstance(view, ViewTransform) else TASK_UTILS.build(view) for view in views]
        if len(self.views) < 2:
            raise ValueError(f'ComposeView: {len(self.views)} views; give two or more, or the one without ComposeView')
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

    def view_size(self, size: Size) -> Size:
        """See :class:`ViewTransform`."""
        for view in self.views:
            size = view.view_size(size)
        return size
