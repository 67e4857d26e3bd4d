"""Cost of test-time views on EfficientNet-Lite0, in one run: mirror images in one forward or in two, several sizes.

python benchmarks/bench_ensemble.py [--size 160] [--batches 1 8 32]

Weights are random: they cost the same. Times are the least of several interleaved repeats: on a GPU by the clock, on a
CPU the seconds of all threads, on which other processes of the machine have less influence.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
warnings.filterwarnings('ignore')

from mmengine.registry import DefaultScope  # noqa: E402

from mlic_mm.models import EnsembleClassifier  # noqa: E402
from mlic_mm.registry import MODELS  # noqa: E402


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
    """Print the table; 1 if scores of one forward and of two differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=160)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 8, 32])
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model, small = network(), args.size * 3 // 4
    plain = EnsembleClassifier([dict(model=model)]).to(device)
    flip = EnsembleClassifier([dict(model=model, flip=True)]).to(device)
    sizes = EnsembleClassifier([dict(model=model, sizes=[small, args.size])]).to(device)

    def together(raw: Tensor) -> Tensor:
        both = plain(torch.cat([raw, raw.flip(-1)])).sigmoid()
        return both.unflatten(0, (2, -1)).mean(0).logit()

    def apart(raw: Tensor) -> Tensor:
        probability = (plain(raw).sigmoid() + plain(raw.flip(-1)).sigmoid()) / 2
        return probability.logit()

    def seconds(call: Callable[[Tensor], Tensor], raw: Tensor) -> float:
        clock = time.perf_counter if device == 'cuda' else time.process_time
        start = clock()
        call(raw)
        if device == 'cuda':
            torch.cuda.synchronize()
        return clock() - start

    calls: dict[str, Callable[[Tensor], Tensor]] = {
        'model alone': plain,
        'flip': flip,
        'flip, one forward': together,
        'flip, two forwards': apart,
        'two sizes': sizes,
    }
    name = torch.cuda.get_device_name() if device == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    print(f'{name}, {args.size} px; milliseconds per image')
    worst = 0.0
    with torch.inference_mode():
        for number in args.batches:
            raw = torch.randint(0, 256, (number, 3, args.size, args.size), device=device, dtype=torch.uint8)
            worst = max(worst, float((flip(raw).sigmoid() - apart(raw).sigmoid()).abs().max()))
            best = dict.fromkeys(calls, float('inf'))
            for _ in range(args.repeats):
                for what, call in calls.items():
                    best[what] = min(best[what], seconds(call, raw))
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
