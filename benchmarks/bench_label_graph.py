"""Deep-LIFT's two speed claims, each measured in one run.

    python benchmarks/bench_label_graph.py [--labels 9605] [--neighbours 20] [--size 448] [--batch 2] [--rounds 5]

1. Two attention layers over many labels: seconds and memory of forward and backward, above the process before it.
2. Forward time of ResNet-101 with the Deep-LIFT head over ResNet-101 with pooling and a linear layer, in evaluation,
   the two alternating; the median of the ratios is printed.
"""

import argparse
import resource
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from mmengine.registry import MODELS

import mlic_mm  # noqa: F401
from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import LabelGraph


def random_graph(num_classes: int, neighbours: int, width: int) -> LabelGraphData:
    """A graph in which every label has at least ``neighbours`` others at P(j | i) ≥ ½."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(num_classes), neighbours)
    cols = (rows + 1 + rng.integers(0, num_classes - 1, len(rows))) % num_classes
    pairs = sp.csr_array((np.full(len(rows), 50), (rows, cols)), shape=(num_classes, num_classes))
    pairs = sp.csr_array(((pairs + pairs.T) > 0) * 50)
    names = tuple(f'label {i}' for i in range(num_classes))
    vectors = rng.normal(size=(num_classes, width)).astype('float32')
    return LabelGraphData(names, np.full(num_classes, 100), pairs, 100_000, 0.5, vectors)


class PeakMemory:
    """Peak resident memory above the start, in bytes, sampled every millisecond."""

    def __enter__(self) -> 'PeakMemory':
        self.start = self.peak = self.now()
        self.running = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.running = False
        self.thread.join()

    @staticmethod
    def now() -> int:
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def watch(self) -> None:
        while self.running:
            self.peak = max(self.peak, self.now())
            time.sleep(0.001)

    @property
    def extra(self) -> int:
        return self.peak - self.start


def many_labels(num_classes: int, neighbours: int) -> None:
    data = random_graph(num_classes, neighbours // 2, 300)
    with PeakMemory() as memory:
        graph = LabelGraph(data)
        start = time.perf_counter()
        graph().square().mean().backward()
        seconds = time.perf_counter() - start
    print(
        f'{num_classes} labels, {graph.edges.size(1)} edges with loops, 300 -> 1024 -> 2048: '
        f'forward + backward {seconds:.2f} s, {memory.extra / 2**30:.2f} GiB above the process before, weights included'
    )


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def overhead(size: int, batch: int, rounds: int) -> None:
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    backbone = dict(type='mmpretrain.ResNet', depth=101)
    linear = dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=80, in_channels=2048)
    lift = dict(
        type='mlic_mm.DeepLIFTHead', num_classes=80, in_channels=2048, label_graph=dict(graph=random_graph(80, 4, 300))
    )
    plain = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=backbone,
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=linear,
        )
    )
    ours = MODELS.build(dict(type='mmpretrain.ImageClassifier', backbone=backbone, head=lift))
    ours.backbone = plain.backbone  # the same weights in the same memory
    x = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    for model in (plain, ours):
        model.to(device, memory_format=torch.channels_last).eval()
    ratios, heads = [], []
    with torch.inference_mode():
        feats = plain.backbone(x)
        for i in range(rounds + 1):
            a, b = seconds_of(lambda: ours(x)), seconds_of(lambda: plain(x))
            h = seconds_of(lambda: ours.head(feats)) - seconds_of(lambda: plain.head(plain.neck(feats)))
            if i:  # the first round warms up
                ratios.append(a / b)
                heads.append(h / b)
    print(
        f'ResNet-101 at {size}, batch {batch}, {device}: Deep-LIFT / linear forward time, median of {rounds}: '
        f'{statistics.median(ratios):.4f} (min {min(ratios):.4f}, max {max(ratios):.4f}); the heads alone differ by '
        f'{100 * statistics.median(heads):.2f} % of it'
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--labels', type=int, default=9605)
    parser.add_argument('--neighbours', type=int, default=20)
    parser.add_argument('--size', type=int, default=448)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    many_labels(args.labels, args.neighbours)
    overhead(args.size, args.batch, args.rounds)
