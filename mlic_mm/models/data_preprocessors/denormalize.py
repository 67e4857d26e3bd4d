"""Pixels as they were loaded, from what a data preprocessor made of them."""

from torch import Tensor, nn

__all__ = ['denormalize']


def denormalize(images: Tensor, preprocessor: nn.Module) -> Tensor:
    """Undo the normalisation and the order of channels of a data preprocessor.

    Args:
        images: ``(3, H, W)`` or ``(N, 3, H, W)``, as the backbone takes them.
        preprocessor: mmpretrain's, with ``mean``, ``std`` and ``to_rgb`` if it changes anything.

    Returns:
        The same shape; 0 to 255 and BGR, as OpenMMLab's loaders give images.

    Example:
        >>> import torch
        >>> from mmpretrain.models import ClsDataPreprocessor
        >>> preprocessor = ClsDataPreprocessor(mean=[10, 20, 30], std=[2, 2, 2], to_rgb=True)
        >>> denormalize(torch.zeros(3, 1, 1), preprocessor).flatten().tolist()
        [30.0, 20.0, 10.0]
    """
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    if mean is not None and std is not None:
        images = images * std + mean
    # mmpretrain's flag, and that of mmengine's and mmdet's preprocessors.
    swapped = getattr(preprocessor, 'to_rgb', False) or getattr(preprocessor, '_channel_conversion', False)
    if swapped and images.size(-3) == 3:
        images = images.flip(-3)
    return images
