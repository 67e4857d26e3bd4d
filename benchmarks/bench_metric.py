"""Time and memory of ``MLICMetric``, compared with mmpretrain's metrics that give the same numbers, in one run.

python benchmarks/bench_metric.py [coco2014_multilabel.tsv.gz]

Without the label file (columns split, image_id, comma-separated label indices), random labels of the same density are
used.
"""

import argparse
import csv
import gzip
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import PeakMemory, timed
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpretrain.evaluation import AveragePrecision, MultiLabelMetric
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from mlic_mm.evaluation import PRESETS, MLICMetric

NUM_IMAGES, NUM_CLASSES, LABELS_PER_IMAGE = 40_137, 80, 2.9
# The protocol that mmpretrain computes, but for thr, which is >= there: no score is exactly 0.5 here.
SAME = 'guo'
MMPRETRAIN = {
    ('mAP',): AveragePrecision,
    ('CP', 'CR', 'CF1'): partial(MultiLabelMetric, thr=0.5),
    ('OP', 'OR', 'OF1'): partial(MultiLabelMetric, thr=0.5, average='micro'),
    ('CP_top3', 'CR_top3', 'CF1_top3'): partial(MultiLabelMetric, topk=3),
    ('OP_top3', 'OR_top3', 'OF1_top3'): partial(MultiLabelMetric, topk=3, average='micro'),
}


def read_targets(path: Path | None) -> np.ndarray:
    """Return labels, float32 ``(N, C)``, of the validation images in the file, or random ones."""
    if path is None:
        density = LABELS_PER_IMAGE / NUM_CLASSES
        return (np.random.default_rng(0).random((NUM_IMAGES, NUM_CLASSES)) < density).astype(np.float32)
    with gzip.open(path, 'rt') as file:
        rows = [row[2] for row in list(csv.reader(file, delimiter='\t'))[1:] if row[0].startswith('val')]
    targets = np.zeros((len(rows), NUM_CLASSES), np.float32)
    for target, labels in zip(targets, rows, strict=True):
        target[[int(label) for label in labels.split(',') if label]] = 1
    return targets


def draw_scores(targets: np.ndarray) -> np.ndarray:
    """Return probabilities, float32 ``(N, C)``, about as good as those of a trained network."""
    logits = np.random.default_rng(1).normal(-4, 1.8, targets.shape) + 5 * targets
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def run(build: Callable[[], BaseMetric], samples: Sequence[dict], batch: int) -> tuple[float, dict]:
    """Seconds from the first sample collected to the figures, and the figures."""
    metric = build()

    def evaluate() -> dict:
        for i in range(0, len(samples), batch):
            metric.process(None, samples[i : i + batch])
        return metric.evaluate(len(samples))

    taken, figures = timed(evaluate)
    return taken.wall, figures


def main() -> int:
    """Print the table. Return 1 if the metrics differ or a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('labels', nargs='?', type=Path)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')  # the metric names its protocol in every run
    targets = read_targets(args.labels)
    scores = draw_scores(targets)
    pairs = zip(torch.from_numpy(scores), torch.from_numpy(targets), strict=True)
    samples = [
        {'pred_score': s, 'gt_score': t, 'sample_idx': i, 'img_path': f'{i}.jpg'} for i, (s, t) in enumerate(pairs)
    ]
    matrices = scores.nbytes + targets.nbytes
    num_images, num_classes = targets.shape
    print(f'{num_images} x {num_classes}, {targets.sum(1).mean():.2f} labels per image, batches of {args.batch}')

    run(partial(MLICMetric, SAME), samples[:64], 64)
    with PeakMemory('cpu') as memory:  # first of all: memory that was freed hides new memory
        first, ours = run(partial(MLICMetric, SAME), samples, args.batch)
    extra = memory.bytes
    ratio = f'{extra / matrices:.2f} x the two matrices of {matrices / 2**20:.0f} MB'
    print(f'peak above the samples: {extra / 2**20:.0f} MB = {ratio}')

    seconds = min([first, *(run(partial(MLICMetric, SAME), samples, args.batch)[0] for _ in range(args.repeats - 1))])
    total = 0.0
    theirs: dict[str, float] = {}
    for names, build in MMPRETRAIN.items():
        runs = [run(build, samples, args.batch) for _ in range(args.repeats)]
        best = min(one[0] for one in runs)
        total += best
        theirs |= dict(zip(names, runs[0][1].values(), strict=True))
        print(f'mmpretrain {", ".join(names):30s} {best:7.3f} s')
    print(f'mmpretrain, all {total:34.3f} s')
    print(f'mlic_mm.MLICMetric({SAME!r}) {seconds:23.3f} s: {total / seconds:.1f} times faster')
    for preset in PRESETS:
        best = min(run(partial(MLICMetric, preset), samples, args.batch)[0] for _ in range(args.repeats))
        print(f'  preset {preset:12s} {best:7.3f} s')

    predicted, options = scores > 0.5, {'zero_division': 0}
    theirs_too = {'mAP': average_precision_score(targets, scores)}
    for prefix, average in (('C', 'macro'), ('O', 'micro')):
        for name, figure in (('P', precision_score), ('R', recall_score), ('F1', f1_score)):
            theirs_too[prefix + name] = figure(targets, predicted, average=average, **options)
    worst = max(abs(ours[name] - value) for name, value in theirs.items())
    worst_sklearn = max(abs(ours[name] - 100 * value) for name, value in theirs_too.items())
    print(f'largest difference: mmpretrain {worst:.1e} (float32), scikit-learn {worst_sklearn:.1e} percentage points')
    passed = worst < 1e-3 and worst_sklearn < 1e-9 and total >= 10 * seconds and extra <= 3 * matrices
    print('all limits kept' if passed else 'a limit is missed: same metrics, 10 times faster, 3 times the matrices')
    return 0 if passed else 1


if __name__ == '__main__':
    raise SystemExit(main())
