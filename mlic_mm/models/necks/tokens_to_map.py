"""From the tokens of a transformer to a feature map."""

import math
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mlic_mm.models.layers import channels_first
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_range

MOST_PREFIX_TOKENS = 9
"""The largest number of prefix tokens that the message about a wrong number suggests: a class token, 8 registers."""


@MODELS.register_module()
class TokensToMap(BaseModule):
    """Patch tokens ``(N, L, D)`` of a transformer as a map ``(N, D, h, w)``, for heads that need one.

    Class and register tokens stand before the patch tokens and are left out. The patches are in the order of the rows
    of the image. Each stage that is tokens becomes a map. A stage that is a map already stays as it is.

    The neck does not know the size of the images. It finds the grid from the number of tokens and ``aspect_ratio``. So
    images can have any size, and views of several sizes too, if their grids have this ratio.

    A linear head needs a neck that pools after this neck. mmengine chains the necks of a list: ``neck=[dict(type=
    'mlic_mm.TokensToMap'), dict(type='mmpretrain.GlobalAveragePooling')]``.

    Args:
        num_prefix_tokens: Number of tokens before the patch tokens: 1 for a class token, 0 without one, 2 for a
            distilled DeiT, 5 for a class token and 4 registers.
        aspect_ratio: Height / width of the grid of patches.
        in_channels: D of all stages, or a list with that of each stage. It is needed only for maps ``(N, h, w, D)``, as
            those of timm's Swin, which become ``(N, D, h, w)``.

    Raises:
        TypeError: ``num_prefix_tokens`` is no whole number.
        ValueError: An option is out of range. In the first batch: the tokens do not fill a grid, a stage has neither
            tokens nor a map, or ``in_channels`` lists another number of stages.

    Examples:
        >>> import torch
        >>> neck = MODELS.build(dict(type='mlic_mm.TokensToMap'))
        >>> tokens = torch.tensor([[[9.0], [0.0], [1.0], [2.0], [3.0]]])  # the class token, and 2 × 2 patches
        >>> neck((tokens,))[0].tolist()
        [[[[0.0, 1.0], [2.0, 3.0]]]]
    """

    def __init__(
        self,
        num_prefix_tokens: int = 1,
        aspect_ratio: float = 1.0,
        in_channels: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_range('num_prefix_tokens', num_prefix_tokens, at_least=0, whole=True)
        check_range('aspect_ratio', aspect_ratio, above=0)
        self.num_prefix_tokens, self.aspect_ratio = num_prefix_tokens, aspect_ratio
        self.in_channels = in_channels

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the stages as maps ``(N, D, h, w)``."""
        channels = self.in_channels if isinstance(self.in_channels, Sequence) else [self.in_channels] * len(feats)
        if len(channels) != len(feats):
            raise ValueError(
                f'TokensToMap: in_channels={self.in_channels} must have a number for each of the {len(feats)} stages '
                'of the backbone'
            )
        return tuple(self._to_map(*each) for each in zip(feats, channels, strict=True))

    def _to_map(self, feat: Tensor, channels: int | None) -> Tensor:
        if isinstance(feat, Tensor) and feat.dim() == 4:
            return channels_first(feat, channels)
        if not isinstance(feat, Tensor) or feat.dim() != 3:
            found = tuple(feat.shape) if isinstance(feat, Tensor) else type(feat).__name__
            raise ValueError(
                f'TokensToMap needs patch tokens (N, L, D) or maps, got {found}: let the backbone return all tokens '
                "(out_type='raw' of mmpretrain's transformers) or maps (features_only=True of mmpretrain.TIMMBackbone)"
            )
        total = int(feat.size(1))
        grid = self._grid(total - self.num_prefix_tokens)
        if grid is None:
            raise ValueError(self._no_grid(total))
        patches = feat[:, self.num_prefix_tokens :]  # (N, h·w, D)
        # Unlike unflatten, this keeps the size of the batch open in torch.onnx.export(dynamo=False).
        return patches.transpose(1, 2).reshape(patches.size(0), -1, *grid)

    def _grid(self, patches: int) -> tuple[int, int] | None:
        """Return height and width of the grid of this ratio, or None if the patches do not fill it."""
        if patches < 1:
            return None
        height, width = (round(math.sqrt(patches * ratio)) for ratio in (self.aspect_ratio, 1 / self.aspect_ratio))
        return (height, width) if height * width == patches else None

    def _no_grid(self, total: int) -> str:
        fits = ((count, self._grid(total - count)) for count in range(MOST_PREFIX_TOKENS + 1))
        fit = next((f' (with {count} the grid is {grid[0]} × {grid[1]})' for count, grid in fits if grid), '')
        return (
            f'TokensToMap: {total} tokens without num_prefix_tokens={self.num_prefix_tokens} do not fill a grid of '
            f'aspect_ratio={self.aspect_ratio:.6g}: set num_prefix_tokens to the number of class and register tokens'
            f'{fit}, or aspect_ratio to height / width of the grid of patches'
        )
