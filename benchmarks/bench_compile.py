"""Speed of ``torch.compile`` with ``fullgraph=True``: a training step and a prediction over the same without it.

    python benchmarks/bench_compile.py [--heads linear deep_lift_attention] [--backbone resnet18] [--size 128]

For each head, training is measured without objectives, and with consistency under flip and a classifier as teacher. As
the config key ``compile`` does it, the loss of the model is compiled in training; for predictions it is the forward
pass. ``measure.py`` says how time is measured: calls with and without compilation take turns, and the median of the
ratios is printed. The compile time is the wall time of the first call, without a cache from earlier runs.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from combined_models import HEADS, add_options, batch, build, training_step
from measure import interleaved, machine, ratio, timed

OBJECTIVES: dict[str, tuple[str, ...]] = {'plain': (), 'both objectives': ('consistency', 'teacher')}


def prediction(model: Any, args: argparse.Namespace) -> Callable[[], Any]:
    """Return what gives the logits of a batch."""
    model.eval()
    images = model.data_preprocessor(batch(args), False)['inputs'].contiguous(memory_format=torch.channels_last)

    def run() -> Any:
        with torch.no_grad():
            return model(images)

    return run


def compare(name: str, run: dict[str, Callable[[], Any]], args: argparse.Namespace) -> None:
    """Print the times of ``'eager'`` and ``'compiled'`` calls."""
    compiling, _ = timed(run['compiled'])
    seconds = interleaved(run, args.repeats, warm_up=3)
    eager, compiled = (1000 * statistics.median(seconds[kind]) for kind in ('eager', 'compiled'))
    print(
        f'{name:40} eager {eager:7.1f} ms  compiled {compiled:7.1f} ms  '
        f'{ratio(seconds["compiled"], seconds["eager"]):5.2f} ×  compiling {compiling.wall:5.1f} s',
        flush=True,
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--heads', nargs='+', choices=HEADS, default=['linear', 'deep_lift_attention'])
    add_options(parser)
    args = parser.parse_args()
    torch._inductor.config.force_disable_caches = True
    print(f'{args.backbone}, {args.batch} images of {args.size} px, {machine()}')
    for head in args.heads:
        for objectives, names in OBJECTIVES.items():
            models = {kind: build(head, names, args) for kind in ('eager', 'compiled')}
            for model in models.values():
                model.init_weights()
            models['compiled'].loss = torch.compile(models['compiled'].loss, fullgraph=True)
            compare(f'{head}, {objectives}: step', {k: training_step(m, args) for k, m in models.items()}, args)
            torch._dynamo.reset()
        models = {kind: build(head, (), args) for kind in ('eager', 'compiled')}
        models['compiled'].forward = torch.compile(models['compiled'].forward, fullgraph=True)
        compare(f'{head}: prediction', {k: prediction(m, args) for k, m in models.items()}, args)
        torch._dynamo.reset()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
