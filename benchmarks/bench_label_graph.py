"""Deep-LIFT's two speed claims, each measured in one run.

    python benchmarks/bench_label_graph.py [--labels 9605] [--neighbours 20] [--size 448] [--batch 2] [--rounds 5]

1. Two attention layers over many labels: seconds and memory of forward and backward, in a process of their own.
2. Forward time of ResNet-101 with the Deep-LIFT head over ResNet-101 with pooling and a linear layer, in evaluation.
   The two take turns, and the median of the ratios is printed.

``measure.py`` says how time and memory are measured.
"""

import argparse

import numpy as np
import scipy.sparse as sp
import torch
from measure import DEVICE, PeakMemory, interleaved, machine, own_process, ratio, timed
from mmengine.registry import MODELS

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


def many_labels(num_classes: int, neighbours: int) -> str:
    """Run two attention layers forward and backward, and say what that took."""
    data = random_graph(num_classes, neighbours // 2, 300)
    with PeakMemory() as memory:
        graph = LabelGraph(data).to(DEVICE)
        taken, _ = timed(lambda: graph().square().mean().backward())
    return (
        f'{num_classes} labels, {graph.edges.size(1)} edges with loops, 300 -> 1024 -> 2048: '
        f'forward + backward {taken}, {memory.mib / 1024:.2f} GiB above the process before, weights included'
    )


def overhead(size: int, batch: int, rounds: int) -> None:
    """Compare the forward passes of both heads on one backbone, and print the ratio."""
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
    x = torch.randn(batch, 3, size, size, device=DEVICE).to(memory_format=torch.channels_last)
    for model in (plain, ours):
        model.to(DEVICE, memory_format=torch.channels_last).eval()
    with torch.inference_mode():
        feats = plain.backbone(x)
        calls = {
            'ours': lambda: ours(x),
            'plain': lambda: plain(x),
            'our head': lambda: ours.head(feats),
            'plain head': lambda: plain.head(plain.neck(feats)),
        }
        seconds = {name: np.array(taken) for name, taken in interleaved(calls, rounds).items()}
    each = seconds['ours'] / seconds['plain']
    heads = ratio(seconds['our head'] - seconds['plain head'], seconds['plain'])
    print(
        f'ResNet-101 at {size}, batch {batch}, {machine()}: Deep-LIFT / linear forward time, median of {rounds}: '
        f'{np.median(each):.4f} (min {each.min():.4f}, max {each.max():.4f}); the heads alone differ by '
        f'{100 * heads:.2f} % of it'
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--labels', type=int, default=9605)
    parser.add_argument('--neighbours', type=int, default=20)
    parser.add_argument('--size', type=int, default=448)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    print(own_process(many_labels, args.labels, args.neighbours))
    overhead(args.size, args.batch, args.rounds)
