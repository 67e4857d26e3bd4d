"""Cost of the context branch: inference and a training step over those of mmdet's Faster R-CNN, in one run.

python benchmarks/bench_spatial_context.py [CONFIG] [--size 416] [--proposals 1000] [--classes 80] [--repeats 5]

The Faster R-CNN has backbone, FPN and RPN of CONFIG, with the same weights and so the same proposals, and a head of the
same width. Its RoI layer is as mmdet configures it, and once that of CONFIG. Weights are random, the image is noise,
and thresholds are set so that 300 boxes come to the last NMS. Times are medians of interleaved runs of one image.
Memory is what a training step with a batch of CONFIG takes at its peak above the model, in a process of its own and
with nothing frozen. ``measure.py`` says how both are measured.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import DEVICE, ROOT, PeakMemory, interleaved, machine, own_process, ratio
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mlic_mm.models.heads.spatial_context_head import ROI_EXTRACTOR
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS

SAME = 'Faster R-CNN, same RoI layer'
VARIANTS = ('Faster R-CNN', SAME, 'object branch alone', 'both branches')
BOUND = 1.4
CANDIDATES = 300


def build(variant: str, args: argparse.Namespace) -> Any:
    """A model with random weights, the same in each variant as far as they share parts."""
    register_mmdet('the benchmark')
    cfg = args.cfg.model.to_dict()
    rpn = cfg['objectives']['rpn']
    rpn['test_cfg']['rpn'] |= dict(max_per_img=args.proposals)
    cfg['backbone'] |= dict(type=f'mmpretrain.{cfg["backbone"]["type"]}', init_cfg=None)
    cfg['head']['num_classes'] = args.classes
    if variant == 'object branch alone':
        cfg['head']['branches'] = ('object',)
    torch.manual_seed(0)
    if 'Faster' not in variant:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(ConfigDict(cfg))
        model.init_weights()
        return model.to(DEVICE, memory_format=torch.channels_last)
    head = cfg['head']
    width = head['in_channels']
    extractor = ROI_EXTRACTOR | dict(out_channels=width) | head.get('roi_extractor', {})
    if variant != SAME:  # mmdet's own, in the faster-rcnn_r50_fpn.py that all its configs inherit
        extractor['roi_layer'] = dict(
            type='RoIAlign', output_size=extractor['roi_layer']['output_size'], sampling_ratio=0
        )
    box_head = dict(
        type='Shared2FCBBoxHead',
        in_channels=width,
        fc_out_channels=head['fc_channels'],
        roi_feat_size=extractor['roi_layer']['output_size'],
        num_classes=args.classes,
    )
    rcnn = dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5), pos_weight=-1)
    limits = dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(
            ConfigDict(
                type='FasterRCNN',
                backbone=cfg['backbone'],
                neck=cfg['neck'],
                rpn_head=rpn['rpn_head'],
                roi_head=dict(type='StandardRoIHead', bbox_roi_extractor=extractor, bbox_head=box_head),
                train_cfg=rpn['train_cfg'] | dict(rcnn=rcnn | head['train_cfg'] | dict(debug=False)),
                test_cfg=rpn['test_cfg'] | dict(rcnn=limits | head['test_cfg']),
            )
        )
    model.init_weights()
    return model.to(DEVICE, memory_format=torch.channels_last)


def samples(variant: str, args: argparse.Namespace, number: int) -> list[Any]:
    """Data samples with five objects each."""
    from mmdet.structures import DetDataSample
    from mmpretrain.structures import DataSample

    shape = (args.size, args.size)
    kinds = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
    found = []
    for _ in range(number):
        corners = (torch.rand(5, 2, 2) * args.size).sort(1).values  # (5, 2, 2)
        boxes = corners.reshape(5, 4) + torch.tensor([0, 0, 8, 8])
        objects = InstanceData(bboxes=boxes, labels=torch.randint(args.classes, (5,))).to(DEVICE)
        sample = DetDataSample(metainfo=kinds) if 'Faster' in variant else DataSample(metainfo=kinds)
        sample.set_field(objects, 'gt_instances')
        sample.set_field(objects[:0], 'ignored_instances')
        found.append(sample)
    return found


def images(args: argparse.Namespace, number: int) -> torch.Tensor:
    noise = torch.randn(number, 3, args.size, args.size, generator=torch.Generator().manual_seed(1))
    return noise.to(DEVICE).contiguous(memory_format=torch.channels_last)


def inference(variant: str, model: Any, args: argparse.Namespace) -> tuple[Callable[[], None], int]:
    """What predicts one image, and of how many proposals."""
    model.eval()
    inputs = images(args, 1)

    def predict() -> None:
        with torch.no_grad():
            model.predict(inputs, samples(variant, args, 1))

    rows: list[torch.Tensor] = []
    keep = (model.roi_head.bbox_head if 'Faster' in variant else model.head.box_head).register_forward_hook(
        lambda _, inputs, out: rows.append(out[0])
    )
    labels: list[torch.Tensor] = []
    if 'Faster' in variant:
        predict()
        scores = rows[0].softmax(1)[:, :-1]
    else:
        hooks = [
            fc.register_forward_hook(lambda _, inputs, out: labels.append(out)) for fc in model.head.fc_labels.values()
        ]
        model.head.test_cfg['score_thr'] = 1.0
        predict()
        for hook in hooks:
            hook.remove()
        scores = torch.stack(labels).sigmoid().mean(0) * rows[0].softmax(1)[:, :1]
    keep.remove()
    limit = float(scores.flatten().topk(CANDIDATES + 1).values[-1])
    (model.roi_head if 'Faster' in variant else model.head).test_cfg['score_thr'] = limit
    return predict, len(scores)


def training(variant: str, model: Any, args: argparse.Namespace) -> Callable[[], None]:
    """A training step: forward, backward, optimiser."""
    model.train()
    number = args.cfg.train_dataloader.batch_size
    inputs, targets = images(args, number), samples(variant, args, number)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.5)

    def step() -> None:
        optimizer.zero_grad()
        loss, _ = model.parse_losses(model.loss(inputs, targets))
        loss.backward()
        optimizer.step()

    return step


def peak(variant: str, args: argparse.Namespace) -> float:
    """MiB at the peak of a training step above what was there before the first."""
    MMLogger.get_current_instance().setLevel('ERROR')
    step = training(variant, build(variant, args), args)
    with PeakMemory() as memory:
        for _ in range(2):
            step()
    return memory.mib


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default=str(ROOT / 'configs/spatial_context_coco.py'))
    parser.add_argument('--size', type=int, help="side of the image (default: the config's)")
    parser.add_argument('--proposals', type=int, help="most of an image (default: the config's)")
    parser.add_argument('--classes', type=int, default=80)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--no-training', action='store_true', help='leave the memory of a training step out')
    args = parser.parse_args()
    args.cfg = Config.fromfile(args.config)
    (resize,) = (step for step in args.cfg.test_dataloader.dataset.pipeline if step.type == 'Resize')
    args.size = args.size or resize.scale[0]
    args.proposals = args.proposals or args.cfg.model.objectives.rpn.test_cfg.rpn.max_per_img
    return args


def main() -> int:
    """Print the table. Return 1 if the bound is passed."""
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    models = {variant: build(variant, args) for variant in VARIANTS}
    weights = {k: v for k, v in models['both branches'].state_dict().items() if not k.startswith('head.')}
    shared = weights | {k.removeprefix('objectives.rpn.'): v for k, v in weights.items()}  # as Faster R-CNN names them
    for model in models.values():
        model.load_state_dict(shared, strict=False)
    runs = {variant: inference(variant, model, args) for variant, model in models.items()}
    if len({number for _, number in runs.values()}) > 1:
        raise RuntimeError(f'proposals differ: { {variant: number for variant, (_, number) in runs.items()} }')
    seconds = interleaved({variant: predict for variant, (predict, _) in runs.items()}, args.repeats)
    number = runs['both branches'][1]
    del models, runs
    plain, _, _, both = VARIANTS
    memory = {variant: own_process(peak, variant, args) for variant in (plain, both) if not args.no_training}
    print(f'{Path(args.config).stem}, {args.size} px, {number} proposals, {args.classes} labels, {machine()}')
    for variant in VARIANTS:
        slower = ratio(seconds[variant], seconds[plain])
        line = f'{variant:30} {statistics.median(seconds[variant]):7.3f} s {slower:5.2f} ×'
        if variant in memory:
            line += f'  training {memory[variant]:6.0f} MiB {memory[variant] / memory[plain]:5.2f} ×'
        print(line)
    slower = ratio(seconds[both], seconds[plain])
    print(f'{both} over {plain}: {slower:.2f} times the time, bound {BOUND}')
    print(f'{both} over {SAME}: {ratio(seconds[both], seconds[SAME]):.2f} times the time')
    return 0 if slower <= BOUND else 1


if __name__ == '__main__':
    raise SystemExit(main())
