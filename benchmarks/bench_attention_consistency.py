"""Cost of attention consistency: time and memory of a training step over those of plain training, in one run.

python benchmarks/bench_attention_consistency.py [--model tf_efficientnet_lite0] [--size 224] [--batch 8]

Flip is one more view of the same size; flip and scaling are four views, two at 6/7 of the size. Times are medians of
interleaved steps: on a GPU by the clock, on a CPU the seconds of all threads, on which other processes of the machine
have less influence. Memory is what a step takes at its peak above the model: on a CPU (Linux) that of a process of its
own, on a GPU what torch allocates. On a CPU a batch whose first maps are larger than 32 MiB only with the views (16
images here) makes the C library return them to the system after every step, which costs a quarter more time.
"""

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
warnings.filterwarnings('ignore')

from mmengine.registry import DefaultScope  # noqa: E402
from mmpretrain.structures import DataSample  # noqa: E402

from mlic_mm.registry import MODELS  # noqa: E402

VARIANTS = ('plain', 'flip', 'flip and scaling')
BOUNDS = {'flip': 2.1, 'flip and scaling': 3.7}
LABELS = 26


def step(variant: str, args: argparse.Namespace, device: str) -> Callable[[], None]:
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
                type='mlic_mm.AttentionConsistencyClassifier',
                backbone=backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='MultiLabelLinearClsHead', num_classes=LABELS, in_channels=width),
                views=views,
                consistency=None if views else False,
            )
        )
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(args.batch, 3, args.size, args.size, device=device).contiguous(
        memory_format=torch.channels_last
    )
    labels = (torch.rand(args.batch, LABELS, device=device) < 0.2).float()
    samples = [DataSample().set_gt_score(row) for row in labels]

    def run() -> None:
        optimizer.zero_grad()
        sum(model(images, samples, mode='loss').values()).backward()
        optimizer.step()
        if device == 'cuda':
            torch.cuda.synchronize()

    return run


def peak(variant: str, args: argparse.Namespace, device: str) -> float:
    """MiB at the peak of a step above what was there before the first."""
    run = step(variant, args, device)
    if device == 'cuda':
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    else:
        before = resident('VmRSS')
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
    for _ in range(2):
        run()
    after = torch.cuda.max_memory_allocated() if device == 'cuda' else resident('VmHWM')
    return (after - before) / 2**20


def resident(what: str) -> int:
    """Bytes of this process in memory, now or at the peak."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def main() -> int:
    """Print the table; 1 if a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='tf_efficientnet_lite0', help='a model of timm')
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--peak', choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if args.peak:
        print(peak(args.peak, args, device))
        return 0
    steps = {variant: step(variant, args, device) for variant in VARIANTS}
    clock = time.perf_counter if device == 'cuda' else time.process_time
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for repeat in range(args.repeats + 1):
        for variant, run in steps.items():
            start = clock()
            run()
            if repeat:  # the first warms up
                seconds[variant].append(clock() - start)
    del steps
    memory = {}
    for variant in VARIANTS:
        command = [sys.executable, __file__, *sys.argv[1:], '--peak', variant]
        memory[variant] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    name = torch.cuda.get_device_name() if device == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    print(f'{args.model}, {args.batch} images of {args.size} px, {name}')
    passed = True
    for variant in VARIANTS:
        each = [a / b for a, b in zip(seconds[variant], seconds['plain'], strict=True)]
        ratio, more = statistics.median(each), memory[variant] / memory['plain']
        bound = BOUNDS.get(variant)
        passed &= bound is None or max(ratio, more) <= bound
        print(
            f'{variant:17} {statistics.median(seconds[variant]):7.3f} s  {ratio:5.2f} × plain  '
            f'{memory[variant]:7.0f} MiB  {more:5.2f} × plain' + (f'  bound {bound}' if bound else '')
        )
    return 0 if passed else 1


if __name__ == '__main__':
    raise SystemExit(main())
