"""Objects beside proposals or a cached teacher: each moves with the image as it would alone."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmpretrain.structures import DataSample
from tiny_spatial_context import NEEDS_MMDET, model_config, voc

from mlic_mm.apis.teacher_cache import cache_teacher
from mlic_mm.datasets import VOCMultiLabel
from mlic_mm.datasets.proposals.proposal_file import write_proposal_file
from mlic_mm.models.teachers.trained_classifier import build_classifier

H, W = 60, 100
PROPOSALS = np.array([[10, 20, 40, 50], [50, 0, 100, 30], [0, 0, 5, 5]])
LOAD = dict(type='mlic_mm.LoadImage')
OBJECTS = dict(type='LoadAnnotations')
RESIZE = dict(type='Resize', scale=(50, 30))
PACK = dict(type='mlic_mm.PackProposals', meta_keys=('img_id', 'img_shape', 'ori_shape'))
FLIP = dict(type='RandomFlip', prob=1.0)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image and its proposals."""
    folder = tmp_path_factory.mktemp('root')
    cv2.imwrite(str(folder / 'a.png'), np.zeros((H, W, 3), np.uint8))
    entries = [('a', (H, W), PROPOSALS, np.array([0.75, 0.5, 0.25]))]
    write_proposal_file(folder / 'p.st', entries, dict(type='x'), dict(type='x'))
    return folder


def instance(box: list, label: int = 0, ignore: int = 0) -> dict:
    return dict(bbox=box, bbox_label=label, ignore_flag=ignore)


def run(root: Path, *steps: dict, instances: list[dict]) -> DataSample:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([LOAD, *steps])
        return pipeline(dict(img_path=str(root / 'a.png'), img_id='a', instances=instances))['data_samples']


def proposals(root: Path) -> dict:
    return dict(type='mlic_mm.LoadProposals', file=str(root / 'p.st'), num=3)


def test_worked_by_hand(root: Path) -> None:
    """Half as large and flipped; one object ignored, one beyond the edge, one without area."""
    instances = [
        instance([10, 20, 40, 50], 3),
        instance([50, 0, 100, 30], 1, ignore=1),
        instance([80, 40, 140, 90], 2),
        instance([30, 30, 30, 50], 4),
    ]
    sample = run(root, OBJECTS, proposals(root), RESIZE, FLIP, PACK, instances=instances)
    assert sample.gt_instances.bboxes.tolist() == [[30, 10, 45, 25], [0, 20, 10, 30]]
    assert sample.gt_instances.labels.tolist() == [3, 2]
    assert sample.ignored_instances.bboxes.tolist() == [[0, 0, 25, 15]]
    assert sample.ignored_instances.labels.tolist() == [1]
    expected = torch.tensor([[30.0, 10, 45, 25], [0, 0, 25, 15], [47.5, 0, 50, 2.5]])
    torch.testing.assert_close(sample.proposals, expected, atol=1e-2, rtol=0)
    assert sample.proposal_scores.tolist() == [0.75, 0.5, 0.25]
    # Without LoadAnnotations, the objects are in pixels of the file.
    sample = run(root, proposals(root), RESIZE, FLIP, PACK, instances=instances)
    assert sample.gt_instances.bboxes.tolist() == [[10, 20, 40, 50], [80, 40, 140, 90], [30, 30, 30, 50]]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_each_is_as_if_alone(root: Path, data: st.DataObject) -> None:
    corner = st.tuples(st.integers(-20, W + 20), st.integers(-20, H + 20))
    drawn = data.draw(st.lists(st.tuples(corner, corner, st.integers(0, 1)), max_size=5))
    instances = [
        instance([min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])], label, flag)
        for label, (a, b, flag) in enumerate(drawn)
    ]
    size = data.draw(st.tuples(st.integers(8, 300), st.integers(8, 300)))
    directions = data.draw(st.lists(st.sampled_from(['horizontal', 'vertical', 'diagonal']), max_size=2))
    steps = [FLIP | dict(direction=direction) for direction in directions]
    steps.insert(data.draw(st.integers(0, len(steps))), dict(type='Resize', scale=size))
    if data.draw(st.booleans()):
        steps.append(dict(type='CenterCrop', crop_size=data.draw(st.tuples(st.integers(8, 300), st.integers(8, 300)))))

    both = run(root, OBJECTS, proposals(root), *steps, PACK, instances=instances)
    objects = run(root, OBJECTS, *steps, dict(type='mlic_mm.PackBoxes'), instances=instances)
    for field in ('gt_instances', 'ignored_instances'):
        assert torch.equal(both.get(field).bboxes, objects.get(field).bboxes)
        assert torch.equal(both.get(field).labels, objects.get(field).labels)
    alone = run(root, proposals(root), *steps, PACK, instances=instances)
    assert torch.equal(both.proposals, alone.proposals)
    assert torch.equal(both.proposal_scores, alone.proposal_scores)


def test_what_is_refused(root: Path) -> None:
    white = [instance([10, 20, 40, 50])]
    for kind in (OBJECTS, OBJECTS | dict(with_label=False)):
        with pytest.raises(ValueError, match=r"'a' has lost boxes .*: put LoadAnnotations before these"):
            run(root, proposals(root), kind, RESIZE, PACK, instances=white)
    with pytest.raises(ValueError, match=r"PackProposals: the sample 'a' has no proposals; put mlic_mm\.LoadProposals"):
        run(root, OBJECTS, RESIZE, PACK, instances=white)
    with pytest.raises(ValueError, match=r"PackBoxes: the sample 'a' has proposals or a teacher; .*PackProposals"):
        run(root, OBJECTS, proposals(root), RESIZE, dict(type='mlic_mm.PackBoxes'), instances=white)
    with pytest.raises(ValueError, match=r'PackProposals: .* has boxes that are not where they belong in an image'):
        run(root, RESIZE, OBJECTS, proposals(root), PACK, instances=white)
    with pytest.raises(ValueError, match='moves the image without its gt_bboxes'):
        run(root, OBJECTS, proposals(root), dict(type='RandomCrop', crop_size=32), PACK, instances=white)


@NEEDS_MMDET
def test_transforms_of_mmdet(root: Path) -> None:
    """They move the boxes. Crops that drop some are refused."""
    instances = [instance([10, 20, 40, 50], 3), instance([50, 0, 100, 30], 1, ignore=1)]
    ours = run(root, OBJECTS, proposals(root), RESIZE, FLIP, PACK, instances=instances)
    resize = dict(type='mmdet.Resize', scale=(50, 30), keep_ratio=False)
    flip = dict(type='mmdet.RandomFlip', prob=1.0)
    for load in (OBJECTS, dict(type='mmdet.LoadAnnotations', with_bbox=True)):
        sample = run(root, load, proposals(root), resize, flip, PACK, instances=instances)
        for field in ('gt_instances', 'ignored_instances'):
            torch.testing.assert_close(sample.get(field).bboxes, ours.get(field).bboxes)
            assert sample.get(field).labels.tolist() == ours.get(field).labels.tolist()
        torch.testing.assert_close(sample.proposals, ours.proposals)
        crop = dict(type='mmdet.RandomCrop', crop_size=(6, 6), crop_type='absolute', allow_negative_crop=True)
        with pytest.raises(ValueError, match=r'has lost boxes .* drops boxes, such as the crops of mmdet'):
            run(root, load, proposals(root), crop, PACK, instances=instances)


@NEEDS_MMDET
@pytest.mark.integration
def test_a_spatial_context_student_of_a_cached_wsddn_teacher(data_root: Path, tmp_path: Path) -> None:
    """One step of training: regions are learnt from objects in pixels of the input, predictions from the teacher."""
    dataset = voc(data_root, ours=True) | dict(indices=2)
    infos = VOCMultiLabel(**{key: value for key, value in dataset.items() if key != 'type'}, pipeline=[])
    entries = []
    for info in (infos.get_data_info(i) for i in range(2)):
        height, width = cv2.imread(info['img_path']).shape[:2]
        boxes = np.array([[0, 0, width / 2, height], [width / 4, 0, width, height / 2]])
        entries.append((info['img_id'], (height, width), boxes, np.array([0.5, 0.25])))
    write_proposal_file(tmp_path / 'p.st', entries, dict(type='x'), dict(type='VOCMultiLabel'))
    resize = dict(type='Resize', scale=(64, 64))
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset | dict(pipeline=[LOAD, proposals(tmp_path), resize, PACK]),
    )
    teacher = Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=dict(imports=['mlic_mm'], allow_failed_imports=False),
            data_preprocessor=dict(type='mlic_mm.MultiLabelDataPreprocessor', num_classes=20),
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
                head=dict(type='mlic_mm.WSDDNHead', num_classes=20, in_channels=32, stride=32, roi_size=2),
            ),
            train_dataloader=loader,
            test_dataloader=loader,
        )
    )
    (tmp_path / 'wsddn.py').write_text(teacher.pretty_text)
    weights = build_classifier(teacher, None)[0].state_dict()
    torch.save(dict(state_dict=weights, meta=dict(dataset_meta=infos.metainfo)), tmp_path / 'wsddn.pth')
    paths: dict[str, Any] = dict(config=str(tmp_path / 'wsddn.py'), checkpoint=str(tmp_path / 'wsddn.pth'))
    cache_teacher(*paths.values(), out=str(tmp_path / 'kept'), workers=0)

    student = model_config(20)
    losses = dict(soft=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=20, num_proposals=3))
    student.objectives.teacher = dict(type='mlic_mm.Distillation', losses=losses)
    load_teacher = dict(type='mlic_mm.LoadTeacher', cache=str(tmp_path / 'kept'), **paths)
    pack = PACK | dict(meta_keys=('img_shape', 'ori_shape', 'scale_factor'))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = DATASETS.build(dataset | dict(pipeline=[LOAD, OBJECTS, load_teacher, resize, FLIP, pack]))
        model: Any = MODELS.build(student)
    samples = [data[i] for i in range(2)]
    for sample, info in zip(samples, map(infos.get_data_info, range(2)), strict=True):
        height, width = sample['data_samples'].ori_shape
        easy = [o for o in info['instances'] if not o['ignore_flag']]
        boxes = torch.tensor([o['bbox'] for o in easy]) * torch.tensor([64 / width, 64 / height] * 2)
        boxes[:, [0, 2]] = 64 - boxes[:, [2, 0]]
        torch.testing.assert_close(sample['data_samples'].gt_instances.bboxes, boxes, atol=1e-3, rtol=0)
    model.init_weights()
    model.train()
    logged = model.train_step(pseudo_collate(samples), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01)))
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_teacher_soft'} <= set(logged)
    assert all(torch.isfinite(value) for value in logged.values()), logged
