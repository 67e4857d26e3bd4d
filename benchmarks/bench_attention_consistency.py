"""Cost of attention consistency: time and memory of a training step over those of plain training, in one run.

python benchmarks/bench_attention_consistency.py [--model tf_efficientnet_lite0] [--size 224] [--batch 8]

Flip is one more view of the same size. Flip and scaling are four views, two of them at 6/7 of the size. Times are
medians of interleaved steps. Memory is what a step takes at its peak above the model, in a process of its own.
``measure.py`` says how both are measured. On a CPU, the C library returns tensors of more than 32 MiB to the system,
and the page faults of the next step cost up to a quarter more time. The library keeps them with
``MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456`` in the environment.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from measure import DEVICE, PeakMemory, interleaved, machine, own_process, ratio
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from mlic_mm.registry import MODELS

VARIANTS = ('plain', 'flip', 'flip and scaling')
BOUNDS = {'flip': 2.1, 'flip and scaling': 3.7}
LABELS = 26


def step(variant: str, args: argparse.Namespace) -> Callable[[], None]:
    """A training step of one variant: forward, backward, optimiser."""
    flip = dict(type='mlic_mm.FlipView')
    scale = dict(type='mlic_mm.ScaleView', size=args.size * 6 // 7 // 32 * 32)
    both = dict(type='mlic_mm.ComposeView', views=[flip, scale])
    views = {'plain': [], 'flip': [flip], 'flip and scaling': [flip, scale, both]}[variant]
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(dict(type='TIMMBackbone', model_name=args.model))
        width = backbone(torch.zeros(1, 3, 64, 64))[-1].size(1)
        model = MODELS.build(
            dict(
                type='mlic_mm.MultiLabelClassifier',
                backbone=backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='MultiLabelLinearClsHead', num_classes=LABELS, in_channels=width),
                objectives=dict(consistency=dict(type='mlic_mm.AttentionConsistency', views=views) if views else None),
            )
        )
    model = model.to(DEVICE, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(args.batch, 3, args.size, args.size, device=DEVICE).contiguous(
        memory_format=torch.channels_last
    )
    labels = (torch.rand(args.batch, LABELS, device=DEVICE) < 0.2).float()
    samples = [DataSample().set_gt_score(row) for row in labels]

    def run() -> None:
        optimizer.zero_grad()
        sum(model(images, samples, mode='loss').values()).backward()
        optimizer.step()

    return run


def peak(variant: str, args: argparse.Namespace) -> float:
    """MiB at the peak of a step above what was in use before the first."""
    run = step(variant, args)
    with PeakMemory() as memory:
        for _ in range(2):
            run()
    return memory.mib


def main() -> int:
    """Print the table. Return 1 if a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='tf_efficientnet_lite0', help='a model of timm')
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    seconds = interleaved({variant: step(variant, args) for variant in VARIANTS}, args.repeats)
    memory = {variant: own_process(peak, variant, args) for variant in VARIANTS}
    print(f'{args.model}, {args.batch} images of {args.size} px, {machine()}')
    passed = True
    for variant in VARIANTS:
        slower, more = ratio(seconds[variant], seconds['plain']), memory[variant] / memory['plain']
        bound = BOUNDS.get(variant)
        passed &= bound is None or max(slower, more) <= bound
        print(
            f'{variant:17} {statistics.median(seconds[variant]):7.3f} s  {slower:5.2f} × plain  '
            f'{memory[variant]:7.0f} MiB  {more:5.2f} × plain' + (f'  bound {bound}' if bound else '')
        )
    return 0 if passed else 1


if __name__ == '__main__':
    raise SystemExit(main())
