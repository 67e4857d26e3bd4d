"""Cached outputs of a teacher go with the image through a student's pipeline into the losses."""

import pickle
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate, pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from run_tool import call_tool, run_tool
from tiny_teacher import CLASSES, REGIONS, save_weights, write_proposals, write_teacher

from mlic_mm.datasets import CSVMultiLabel, LoadTeacher, teacher_fingerprint
from mlic_mm.datasets.teacher_cache.cache import CachedTeacher
from mlic_mm.datasets.teacher_cache.writer import TeacherShards
from mlic_mm.models.teachers import Teacher

BOX = np.array([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.2]])
PACK = dict(type='mlic_mm.PackProposals', meta_keys=('img_id', 'img_shape', 'ori_shape'))


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher and its cache; do not change."""
    root = tmp_path_factory.mktemp('teacher')
    config, checkpoint = write_teacher(root)
    words = [config, checkpoint, '--out', 'kept', '--layers', 'backbone', 'backbone.layer3', '--device', 'cpu']
    run_tool('cache_teacher', *words, '--workers', 0, '--batch-size', 3, cwd=root)
    return root


def step(root: Path) -> dict:
    return dict(
        type='mlic_mm.LoadTeacher',
        cache=str(root / 'kept'),
        config=str(root / 'teacher.py'),
        checkpoint=str(root / 'teacher.pth'),
    )


def by_hand(root: Path, **changes: object) -> CachedTeacher:
    """A cache of one image, 000.png, whose map is the image in 4 × 5 cells; the rest of it may be changed."""
    config, checkpoint = write_teacher(root, images=1)
    image = cv2.resize(cv2.imread(str(root / '000.png')), (5, 4), interpolation=cv2.INTER_AREA)
    maps = {'': image.transpose(2, 0, 1).astype(np.float32)}  # channels-last in memory
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    one = CachedTeacher((48, 60), np.arange(3.0), matrix, -matrix, BOX, np.array([0.5, 0.25]), maps)
    one = one._replace(**changes)
    settings = dict(
        fingerprint=teacher_fingerprint(config, checkpoint),
        classes=CLASSES,
        layers=list(one.maps),
        regions=dict(iou_threshold=0.4, num=2),
        dataset=dict(type='CSVMultiLabel', split='train'),
    )
    shards = TeacherShards(root / 'kept', settings, ['000.png'])
    shards.begin()
    shards.write(0, {'000.png': one})
    return one


def run(root: Path, *steps: dict, name: str = '000.png') -> dict:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([dict(type='mlic_mm.LoadImage'), step(root), *steps, PACK])
        return pipeline(dict(img_path=str(root / name), img_id=name))


def test_a_sample_gets_what_the_cache_has(tmp_path: Path) -> None:
    one = by_hand(tmp_path)
    sample = run(tmp_path, dict(type='Resize', scale=(120, 48)))['data_samples']
    expected = torch.tensor(BOX * [120, 48, 120, 48]).float()
    torch.testing.assert_close(sample.proposals, expected, atol=1e-2, rtol=0)
    assert sample.proposal_scores.tolist() == [0.5, 0.25]
    assert sample.teacher_logits.tolist() == [0, 1, 2]
    assert sample.teacher_logits.dtype == torch.float32
    np.testing.assert_array_equal(sample.teacher_cls_logits, one.cls_logits)
    np.testing.assert_array_equal(sample.teacher_det_logits, one.det_logits)
    assert sample.teacher_cls_logits.dtype == torch.float16
    assert list(sample.teacher_maps) == ['']
    assert sample.teacher_maps[''].shape == (3, 4, 5)


FLIPS: dict[str, dict] = {way: dict(type='RandomFlip', prob=1.0, direction=way) for way in ('horizontal', 'vertical')}
FLIPS['diagonal'] = dict(type='RandomFlip', prob=1.0, direction='diagonal')


@pytest.mark.parametrize(
    'steps',
    [
        [],
        [FLIPS['horizontal']],
        [FLIPS['vertical']],
        [FLIPS['diagonal'], dict(type='Resize', scale=(300, 150))],
        [dict(type='Resize', scale=(64, 1000), keep_ratio=True), FLIPS['horizontal']],
        # What stands in `flip` is the last of the two.
        [FLIPS['horizontal'], FLIPS['horizontal']],
        [FLIPS['horizontal'], FLIPS['vertical']],
        [dict(type='RandomChoiceResize', scales=[(96, 80), (33, 77)]), dict(type='RandomFlip', prob=0.5)],
        [dict(type='CenterCrop', crop_size=(200, 200)), FLIPS['horizontal']],  # larger than the image
    ],
)
def test_maps_lie_as_the_image_does(tmp_path: Path, steps: list[dict]) -> None:
    by_hand(tmp_path)
    packed = run(tmp_path, *steps)
    image = packed['inputs'].numpy().transpose(1, 2, 0)
    cells = cv2.resize(image, (5, 4), interpolation=cv2.INTER_AREA).transpose(2, 0, 1).astype(float)
    kept = packed['data_samples'].teacher_maps[''].float().numpy()
    assert np.corrcoef(cells.ravel(), kept.ravel())[0, 1] > 0.9


LOGITS: dict = dict(maps={}, cls_logits=None, det_logits=None, boxes=None, scores=None)


@pytest.mark.parametrize('size', [(58, 46), (30, 24), (59, 48), (60, 5)])
@pytest.mark.parametrize('flip', [[], [FLIPS['horizontal']]])
@pytest.mark.parametrize('kept', [{}, dict(maps={}), LOGITS], ids=['all', 'no maps', 'logits'])
def test_the_teacher_has_not_seen_crops(tmp_path: Path, size: tuple[int, int], flip: list[dict], kept: dict) -> None:
    by_hand(tmp_path, **kept)
    crop = dict(type='CenterCrop', crop_size=size)
    with pytest.raises(ValueError, match=r"the sample '000.png' is a crop, but the teacher saw the whole image"):
        run(tmp_path, crop, *flip)
    with pytest.raises(ValueError, match=r'moves the image without its gt_bboxes\. The teacher saw the whole image'):
        run(tmp_path, dict(type='RandomResizedCrop', scale=40))


CROP = dict(type='RandomResizedCrop', scale=40)
CROP_BOX = dict(type='mlic_mm.CropBox')


@pytest.mark.parametrize(
    ('before', 'after', 'named'),
    [
        ([], [dict(type='Resize', scale=(40, 40)), CROP], 'RandomResizedCrop'),
        ([], [dict(type='CenterCrop', crop_size=40)], 'CenterCrop'),
        ([], [dict(type='RandomCrop', crop_size=40), FLIPS['vertical']], 'RandomCrop'),
        ([], [dict(type='torchvision/CenterCrop', size=40)], 'TorchVisionCenterCrop'),
        ([], [dict(type='RandomApply', prob=0.5, transforms=[CROP])], 'RandomResizedCrop'),
        ([], [dict(type='RandomChoice', transforms=[[FLIPS['vertical']], [CROP]])], 'RandomResizedCrop'),
        ([], [CROP_BOX], 'CropBox'),
        ([CROP], [], 'RandomResizedCrop'),
        ([], [dict(type='Rotate', angle=30)], 'Rotate'),
        ([], [dict(type='Translate', magnitude=0.5)], 'Translate'),
        ([], [dict(type='Shear', magnitude=0.5)], 'Shear'),
        ([CROP_BOX], [], ''),
        ([], [FLIPS['vertical'], dict(type='Resize', scale=(40, 40))], ''),
    ],
)
def test_a_data_set_refuses_crops_and_turns(tmp_path: Path, before: list[dict], after: list[dict], named: str) -> None:
    """Before the first sample is loaded. A crop to the size of the image could not be noticed later."""
    by_hand(tmp_path)
    pipeline = [dict(type='mlic_mm.LoadImage'), *before, step(tmp_path), *after, PACK]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        if not named:
            CSVMultiLabel(ann_file='labels.csv', data_root=str(tmp_path), pipeline=pipeline)
            return
        with pytest.raises(ValueError, match=f'the pipeline has {named} and LoadTeacher, but .* not seen the images'):
            CSVMultiLabel(ann_file='labels.csv', data_root=str(tmp_path), pipeline=pipeline)


def test_image_logits_alone(tmp_path: Path) -> None:
    by_hand(tmp_path, **LOGITS)
    sample = run(tmp_path, dict(type='Resize', scale=(40, 40)), FLIPS['vertical'])['data_samples']
    assert sample.teacher_logits.tolist() == [0, 1, 2]
    for key in ('proposals', 'proposal_scores', 'teacher_cls_logits', 'teacher_det_logits', 'teacher_maps'):
        assert key not in sample


@pytest.mark.parametrize('first', ['teacher', 'proposals'])
def test_image_logits_beside_proposals(tmp_path: Path, first: str) -> None:
    """A student that looks at proposals may have a teacher that does not."""
    by_hand(tmp_path, **LOGITS)
    load = dict(type='mlic_mm.LoadProposals', file=str(tmp_path / 'proposals.st'), num=3)
    steps = [dict(type='mlic_mm.LoadImage'), step(tmp_path), load]
    if first == 'proposals':
        steps[1:] = steps[:0:-1]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([*steps, dict(type='Resize', scale=(40, 40)), PACK])
    sample = pipeline(dict(img_path=str(tmp_path / '000.png'), img_id='000.png'))['data_samples']
    assert sample.proposals.shape == (3, 4)
    assert sample.teacher_logits.tolist() == [0, 1, 2]


@pytest.mark.parametrize('boxes', [None, np.zeros((0, 4))])
def test_maps_without_regions_are_flipped_too(tmp_path: Path, boxes: np.ndarray | None) -> None:
    one = by_hand(tmp_path, boxes=boxes, scores=None if boxes is None else np.zeros(0))
    sample = run(tmp_path, FLIPS['vertical'])['data_samples']
    np.testing.assert_array_equal(sample.teacher_maps[''], one.maps[''][:, ::-1].astype(np.float16))
    assert ('proposals' in sample) == (boxes is not None)


def test_an_image_in_which_nothing_was_found_has_regions_none_the_less(tmp_path: Path) -> None:
    """As those beside it in a batch."""
    by_hand(tmp_path, maps={}, boxes=np.zeros((0, 4)), scores=np.zeros(0))
    sample = run(tmp_path)['data_samples']
    assert sample.proposals.shape == (0, 4)
    assert sample.proposal_scores.shape == (0,)


def test_bad_samples(tmp_path: Path) -> None:
    by_hand(tmp_path)
    load = LoadTeacher(**{key: value for key, value in step(tmp_path).items() if key != 'type'})
    assert load.classes == CLASSES
    image = np.zeros((48, 60, 3), np.uint8)
    good = dict(img=image, ori_shape=(48, 60), img_id='000.png')
    assert 'teacher' in load(dict(good))
    with pytest.raises(ValueError, match=r"kept: has no outputs for image 'x.png'; it has 1 images of CSVMultiLabel"):
        load(good | dict(img_id='x.png'))
    with pytest.raises(ValueError, match=r"saw image '000.png' in 60 × 48 pixels, but .* has 48 × 60"):
        load(good | dict(ori_shape=(60, 48)))
    with pytest.raises(ValueError, match="LoadTeacher: the sample  has no 'img_id'"):
        load(dict(img=image, ori_shape=(48, 60)))
    with pytest.raises(ValueError, match=r'LoadTeacher: .* has proposals already; load only one kind'):
        load(load(dict(good)))


def test_a_stale_cache_names_what_changed_and_the_command(written: Path, tmp_path: Path) -> None:
    root = tmp_path / 'with space'
    config, checkpoint = write_teacher(root)
    shutil.copytree(written / 'kept', root / 'kept')
    text = config.read_text()
    options = {key: value for key, value in step(root).items() if key != 'type'}
    LoadTeacher(**options)  # the same teacher in another place

    def message() -> str:
        with pytest.raises(ValueError, match='is stale') as error:
            LoadTeacher(**options)
        return str(error.value)

    config.write_text(text.replace('scale=(64, 64)', 'scale=(96, 96)'))
    assert 'is stale: pipeline of the teacher' in message()
    config.write_text(text.replace('roi_size=2', 'roi_size=3'))
    assert 'is stale: model of the teacher' in message()
    config.write_text(text)
    write_proposals(root / 'proposals.st', [f'{number:03}.png' for number in range(10)], seed=3)
    assert 'is stale: proposals of the teacher' in message()
    save_weights(config, checkpoint, seed=1)
    text = message()
    assert 'is stale: weights and proposals of the teacher' in text

    # The command in the message mends it.
    words = shlex.split(text.partition('Write it again: ')[2])
    assert words[:2] == ['python', 'tools/cache_teacher.py']
    call_tool('cache_teacher', *words[2:], '--workers', 0, '--device', 'cpu')
    assert LoadTeacher(**options).cache.index['layers'] == ['', 'backbone.layer3']


def test_a_shard_cut_short_is_found_when_built(tmp_path: Path) -> None:
    by_hand(tmp_path)
    shard = tmp_path / 'kept' / '000000.safetensors'
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r'000000.safetensors: .*cut short .*writes it again'):
        run(tmp_path)


@pytest.mark.integration
@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_the_cache_teaches_what_the_teacher_does(written: Path, collate: object) -> None:
    """Losses of a student from the cache, through worker processes, are those with the teacher beside it."""
    teacher = [dict(type='mlic_mm.LoadProposals', file=str(written / 'proposals.st'), num=REGIONS)]
    losses = []
    distill = dict(
        roi=dict(type='mlic_mm.RoIFeatureDistillLoss'),
        hint=dict(type='mlic_mm.FitNetsLoss', student_layer='backbone.layer3'),
        soft=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=3, num_proposals=REGIONS),
    )
    for load, options in (
        (teacher, dict(config=str(written / 'teacher.py'), checkpoint=str(written / 'teacher.pth'))),
        ([step(written)], None),
    ):
        pipeline = [dict(type='mlic_mm.LoadImage'), *load, dict(type='Resize', scale=(64, 64)), PACK]
        torch.manual_seed(5)  # other weights than the teacher's
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = CSVMultiLabel(ann_file='labels.csv', data_root=str(written), pipeline=pipeline)
            dataset = pickle.loads(pickle.dumps(dataset))
            loader = torch.utils.data.DataLoader(dataset, 5, num_workers=1, collate_fn=collate)  # type: ignore[arg-type]
            cfg = Config.fromfile(written / 'teacher.py')
            student = MODELS.build(
                dict(
                    type='mlic_mm.MultiLabelClassifier',
                    backbone=cfg.model.backbone,
                    neck=dict(type='GlobalAveragePooling'),
                    head=dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=32),
                    data_preprocessor=dict(cfg.data_preprocessor),
                    objectives=dict(
                        teacher=dict(type='mlic_mm.Distillation', losses=distill, teacher=options),
                    ),
                )
            ).eval()
        rows = []
        for batch in loader:
            data = student.data_preprocessor(batch, True)
            rows.append(torch.stack([value.detach() for value in student(**data, mode='loss').values()]))
        losses.append(torch.stack(rows))
    assert losses[0].shape == (2, 4)
    assert bool((losses[0] > 0).all())
    torch.testing.assert_close(losses[1], losses[0], rtol=2e-3, atol=1e-6)


def test_regions_and_logits_are_those_of_the_teacher(written: Path) -> None:
    teacher = Teacher(written / 'teacher.py', written / 'teacher.pth', layers=['backbone.layer3'])
    proposals = dict(type='mlic_mm.LoadProposals', file=str(written / 'proposals.st'), num=REGIONS)
    resize = dict(type='Resize', scale=(64, 64))
    for name in ('000.png', '001.png', '009.png'):
        cached = run(written, resize, name=name)['data_samples']
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            pipeline = Compose([dict(type='mlic_mm.LoadImage'), proposals, resize, PACK])
            packed = pipeline(dict(img_path=str(written / name), img_id=name))
        live = teacher(packed['inputs'][None].float(), [packed['data_samples']])
        assert live.logits is not None
        assert live.cls_logits is not None
        torch.testing.assert_close(cached.teacher_logits, live.logits[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(cached.teacher_cls_logits.float(), live.cls_logits[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(cached.proposals / 64, live.boxes[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(cached.proposal_scores, live.box_scores[0], rtol=1e-4, atol=1e-6)
        layer = live.maps['backbone.layer3'][0]
        torch.testing.assert_close(cached.teacher_maps['backbone.layer3'].float(), layer, rtol=1e-3, atol=1e-3)
