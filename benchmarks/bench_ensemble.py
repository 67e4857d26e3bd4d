"""Cost of test-time views on EfficientNet-Lite0, in one run: mirror images in one forward or in two, several sizes.

python benchmarks/bench_ensemble.py [--size 160] [--batches 1 8 32]

Weights are random. They cost the same. Times are the least of several interleaved repeats, see ``measure.py``.
"""

import argparse
from collections.abc import Callable

import torch
from measure import DEVICE, interleaved, machine
from mmengine.registry import DefaultScope
from torch import Tensor

from mlic_mm.models import EnsembleClassifier
from mlic_mm.registry import MODELS


def network() -> torch.nn.Module:
    """A classifier of 20 labels."""
    preprocess = dict(type='ClsDataPreprocessor', mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0'),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='MultiLabelLinearClsHead', num_classes=20, in_channels=1280),
                data_preprocessor=preprocess,
            )
        ).eval()


def main() -> int:
    """Print the table. Return 1 if scores of one forward and of two differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=160)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 8, 32])
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    model, small = network(), args.size * 3 // 4
    plain = EnsembleClassifier([dict(model=model)]).to(DEVICE)
    flip = EnsembleClassifier([dict(model=model, flip=True)]).to(DEVICE)
    sizes = EnsembleClassifier([dict(model=model, sizes=[small, args.size])]).to(DEVICE)

    def together(raw: Tensor) -> Tensor:
        both = plain(torch.cat([raw, raw.flip(-1)])).sigmoid()
        return both.unflatten(0, (2, -1)).mean(0).logit()

    def apart(raw: Tensor) -> Tensor:
        probability = (plain(raw).sigmoid() + plain(raw.flip(-1)).sigmoid()) / 2
        return probability.logit()

    calls: dict[str, Callable[[Tensor], Tensor]] = {
        'model alone': plain,
        'flip': flip,
        'flip, one forward': together,
        'flip, two forwards': apart,
        'two sizes': sizes,
    }
    print(f'{machine()}, {args.size} px; milliseconds per image')
    worst = 0.0
    with torch.inference_mode():
        for number in args.batches:
            raw = torch.randint(0, 256, (number, 3, args.size, args.size), device=DEVICE, dtype=torch.uint8)
            worst = max(worst, float((flip(raw).sigmoid() - apart(raw).sigmoid()).abs().max()))
            seconds = interleaved(calls, args.repeats, raw, warm_up=0)
            best = {what: min(taken) for what, taken in seconds.items()}
            alone = best['model alone']
            for what, value in best.items():
                print(f'batch {number:3d}  {what:20s} {1e3 * value / number:8.2f}  {value / alone:5.2f} × model alone')
            print(
                f'batch {number:3d}  two forwards / one   {best["flip, two forwards"] / best["flip, one forward"]:8.2f}'
            )
    print(f'largest difference of a score: {worst:.1e}')
    return 0 if worst < 1e-5 else 1


if __name__ == '__main__':
    raise SystemExit(main())
