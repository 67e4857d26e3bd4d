"""Cost of objectives: a training step with each alone, and with all together, over a plain step, in one run.

    python benchmarks/bench_objectives.py [--head linear] [--backbone resnet18] [--size 128] [--batch 8]

Objectives share the forward pass, so all together cost what each adds alone: (all − plain) / Σ (each − plain) is
about 1. The teacher is a classifier of the same size. Times are medians of interleaved steps. Memory is what a step
takes at its peak above the model, in a process of its own. ``measure.py`` says how both are measured.
"""

import argparse
import statistics

from combined_models import HEADS, OBJECTIVES, add_options, build, training_step
from measure import PeakMemory, interleaved, machine, own_process, ratio

VARIANTS: dict[str, tuple[str, ...]] = {'plain': (), **{name: (name,) for name in OBJECTIVES}, 'all': OBJECTIVES}
BOUND = 1.1


def peak(variant: str, args: argparse.Namespace) -> float:
    """MiB at the peak of a step above what was in use before the first."""
    step = training_step(build(args.head, VARIANTS[variant], args), args)
    with PeakMemory() as memory:
        for _ in range(2):
            step()
    return memory.mib


def main() -> int:
    """Print the table. Return 1 if the bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--head', choices=HEADS, default='linear')
    add_options(parser)
    args = parser.parse_args()
    steps = {name: training_step(build(args.head, parts, args), args) for name, parts in VARIANTS.items()}
    seconds = interleaved(steps, args.repeats, warm_up=2)
    del steps
    memory = {name: own_process(peak, name, args) for name in VARIANTS}
    print(f'{args.head}, {args.backbone}, {args.batch} images of {args.size} px, {machine()}')
    for name in VARIANTS:
        slower, more = ratio(seconds[name], seconds['plain']), memory[name] / memory['plain']
        time = f'{1000 * statistics.median(seconds[name]):7.1f} ms  {slower:5.2f} × plain'
        print(f'{name:12} {time}  {memory[name]:6.0f} MiB  {more:5.2f} × plain')
    added = {name: [a - b for a, b in zip(seconds[name], seconds['plain'], strict=True)] for name in VARIANTS}
    alone = [sum(each) for each in zip(*(added[name] for name in OBJECTIVES), strict=True)]
    share = ratio(added['all'], alone)
    print(f'all together add {share:.2f} times what each adds alone, bound {BOUND}')
    return 0 if share <= BOUND else 1


if __name__ == '__main__':
    raise SystemExit(main())
