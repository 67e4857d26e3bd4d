"""Cost of distillation: time of a training step over that of the plain student, in one run, on real photographs.

python benchmarks/bench_distillation.py --voc VOCdevkit/VOC2007 [--model tf_efficientnet_lite0] [--size 224] [--batch 8]

Stage 2 (class-aware distillation) runs from a cache, and with the teacher beside the student. The teacher looks at 500
regions of the same photographs at twice the size. Times are medians of interleaved steps, see ``measure.py``. "with
loading" adds the whole pipeline, from the file on, in this process. Weights and regions are random. They cost the same.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import DEVICE, machine, ratio, timed
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mlic_mm.apis.teacher_cache import cache_teacher
from mlic_mm.datasets import VOCMultiLabel
from mlic_mm.datasets.proposals.proposal_file import write_proposal_file
from mlic_mm.datasets.transforms import read_image
from mlic_mm.models.teachers.trained_classifier import build_classifier
from mlic_mm.registry import MODELS

VARIANTS = ('plain', 'stage 2 from cache', 'stage 2 with teacher')
BOUND = {'stage 2 from cache': 1.15}
LABELS = 20
MEAN = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def write_teacher(folder: Path, args: argparse.Namespace, width: int) -> list[dict]:
    """Write proposals, config, checkpoint and cache of a teacher; return the pipeline up to its regions."""
    images = VOCMultiLabel(args.voc, 'trainval', pipeline=[], indices=args.batch * (args.repeats + 1))
    rng, entries = np.random.default_rng(0), []
    for info in (images.get_data_info(index) for index in range(len(images))):
        size = read_image(info['img_path'])[1]
        corners = np.sort(rng.random((args.regions, 2, 2)), axis=1) * size[::-1]
        entries.append((info['img_id'], size, corners.reshape(-1, 4), np.sort(rng.random(args.regions))[::-1]))
    write_proposal_file(folder / 'proposals.st', entries, dict(type='drawn'), dict(type='VOCMultiLabel'))
    load = dict(type='mlic_mm.LoadProposals', file=str(folder / 'proposals.st'), num=args.regions)
    resize = dict(type='Resize', scale=(2 * args.size, 2 * args.size))
    pipeline = [dict(type='mlic_mm.LoadImage'), load, resize]
    data = dict(type='mlic_mm.VOCMultiLabel', data_root=args.voc, split='trainval', indices=len(images))
    loader = dict(dataset=dict(**data, pipeline=[*pipeline, dict(type='mlic_mm.PackProposals')]))
    head = dict(type='mlic_mm.WSDDNHead', num_classes=LABELS, in_channels=width, stride=32)
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(type='ImageClassifier', backbone=dict(type='TIMMBackbone', model_name=args.model), head=head),
            data_preprocessor=MEAN,
            train_dataloader=loader,
            test_dataloader=loader,
        )
    )
    cfg.dump(folder / 'teacher.py')
    torch.save(dict(state_dict=build_classifier(cfg, None)[0].state_dict()), folder / 'teacher.pth')
    text = cache_teacher(folder / 'teacher.py', folder / 'teacher.pth', out=folder / 'cache', workers=0)
    print(text.splitlines()[0].partition(': ')[2])
    return pipeline


def variant(
    name: str, args: argparse.Namespace, folder: Path, teacher_pipeline: list[dict], width: int
) -> tuple[Callable[[int], dict], Callable[[dict], None]]:
    """What loads batch ``k``, and what trains on it."""
    flip, resize = dict(type='RandomFlip', prob=0.5), dict(type='Resize', scale=(args.size, args.size))
    teacher = dict(config=str(folder / 'teacher.py'), checkpoint=str(folder / 'teacher.pth'))
    cached = dict(type='mlic_mm.LoadTeacher', cache=str(folder / 'cache'), **teacher)
    pipeline = {
        'plain': [dict(type='mlic_mm.LoadImage'), resize, flip, dict(type='PackInputs')],
        'stage 2 from cache': [
            dict(type='mlic_mm.LoadImage'),
            cached,
            resize,
            flip,
            dict(type='mlic_mm.PackProposals'),
        ],
        'stage 2 with teacher': [*teacher_pipeline, flip, dict(type='mlic_mm.PackProposals')],
    }[name]
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='TIMMBackbone', model_name=args.model),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='MultiLabelLinearClsHead', num_classes=LABELS, in_channels=width),
        data_preprocessor=dict(type='mlic_mm.MultiLabelDataPreprocessor', num_classes=LABELS, **MEAN),
    )
    if name != 'plain':
        loss = dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=LABELS, num_proposals=args.regions)
        objective = dict(type='mlic_mm.Distillation', losses=dict(soft=loss), stage=2)
        if name == 'stage 2 with teacher':
            objective |= dict(teacher=teacher, student_size=args.size)
        model |= dict(type='mlic_mm.MultiLabelClassifier', objectives=dict(teacher=objective))
    torch.manual_seed(0)
    count = args.batch * (args.repeats + 1)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = VOCMultiLabel(args.voc, 'trainval', difficult='positive', pipeline=pipeline, indices=count)
        net = MODELS.build(model)
    net = net.to(DEVICE, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)

    def load(k: int) -> dict:
        return default_collate([dataset[i] for i in range(k * args.batch, (k + 1) * args.batch)])

    def step(batch: dict) -> None:
        optimizer.zero_grad()
        data = net.data_preprocessor(batch, True)
        sum(net(**data, mode='loss').values()).backward()
        optimizer.step()

    return load, step


def main() -> int:
    """Print the table. Return 1 if a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--voc', required=True, help='VOC2007')
    parser.add_argument('--model', default='tf_efficientnet_lite0', help='of teacher and student, a model of timm')
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--regions', type=int, default=500)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        width = MODELS.build(dict(type='TIMMBackbone', model_name=args.model))(torch.zeros(1, 3, 64, 64))[-1].size(1)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = write_teacher(Path(folder), args, width)
        parts = {name: variant(name, args, Path(folder), pipeline, width) for name in VARIANTS}
        steps: dict[str, list[float]] = {name: [] for name in VARIANTS}
        both: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for repeat in range(args.repeats + 1):
            for name, (load, step) in parts.items():
                loading, batch = timed(load, repeat)
                stepping, _ = timed(step, batch)
                if repeat:  # the first warms up
                    steps[name].append(stepping.seconds)
                    both[name].append(loading.seconds + stepping.seconds)
    print(f'{args.model}, {args.batch} images of {args.size} px, {args.regions} regions, {machine()}')
    passed = True
    for name in VARIANTS:
        line = f'{name:20}'
        for what, seconds in (('step', steps), ('with loading', both)):
            slower = ratio(seconds[name], seconds['plain'])
            passed &= slower <= BOUND.get(name, np.inf)
            line += f'  {what} {statistics.median(seconds[name]):7.3f} s {slower:5.2f} × plain'
        print(line + (f'  bound {BOUND[name]}' if name in BOUND else ''))
    return 0 if passed else 1


if __name__ == '__main__':
    raise SystemExit(main())
