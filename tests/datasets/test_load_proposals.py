"""Proposals go with the image through a pipeline, and what would leave them behind is refused."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mlic_mm.datasets import CSVMultiLabel, LoadProposals, VOCMultiLabel
from mlic_mm.datasets.proposals.proposal_file import write_proposal_file

H, W = 60, 100
BOXES = np.array([[10, 20, 40, 50], [50, 0, 100, 30], [0, 0, 5, 5]])
PACK = dict(type='mlic_mm.PackProposals', meta_keys=('img_id', 'img_shape'))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images, white in the first box of ``a``, and their proposals; ``b`` has none."""
    image = np.zeros((H, W, 3), np.uint8)
    image[20:50, 10:40] = 255
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    entries = [('a.png', (H, W), BOXES, np.array([0.75, 0.5, 0.25])), ('b.png', (H, W), np.zeros((0, 4)), np.zeros(0))]
    write_proposal_file(tmp_path / 'p.st', entries, dict(type='x'), dict(type='CSVMultiLabel'))
    (tmp_path / 'labels.csv').write_text('image,labels\na.png,cat\nb.png,dog\n')
    return tmp_path


def run(root: Path, *steps: dict, name: str = 'a.png', load: dict | None = None, **options: object) -> dict:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [
                dict(type='mlic_mm.LoadImage', **(load or {})),
                dict(type='mlic_mm.LoadProposals', file=str(root / 'p.st'), **options),
                *steps,
                PACK,
            ]
        )
        return pipeline(dict(img_path=str(root / name), img_id=name))


def test_recycled_in_order_with_their_scores(root: Path) -> None:
    sample = run(root, num=5)['data_samples']
    assert sample.proposals.dtype == sample.proposal_scores.dtype == torch.float32
    torch.testing.assert_close(sample.proposals, torch.tensor(BOXES[[0, 1, 2, 0, 1]]).float(), atol=1e-3, rtol=0)
    assert sample.proposal_scores.tolist() == [0.75, 0.5, 0.25, 0.75, 0.5]


def test_kept_or_cut_to_the_best(root: Path) -> None:
    assert run(root, num=5, fill='keep')['data_samples'].proposals.shape == (3, 4)
    assert run(root, num=2)['data_samples'].proposal_scores.tolist() == [0.75, 0.5]


def test_an_image_without_proposals_gets_the_whole_image_with_a_usual_score(root: Path) -> None:
    for fill, count in (('recycle', 4), ('keep', 1)):
        sample = run(root, dict(type='Resize', scale=(50, 30)), name='b.png', num=4, fill=fill)['data_samples']
        assert sample.proposals.tolist() == [[0, 0, 50, 30]] * count
        assert sample.proposal_scores.tolist() == [0.75] * count


@pytest.mark.parametrize(
    'steps',
    [
        [dict(type='Resize', scale=(200, 240))],
        [dict(type='Resize', scale=(77, 1000), keep_ratio=True)],
        [dict(type='RandomFlip', prob=1.0)],
        [dict(type='RandomFlip', prob=1.0, direction='vertical')],
        [dict(type='RandomFlip', prob=1.0, direction='diagonal'), dict(type='Resize', scale=(300, 150))],
        [dict(type='RandomChoiceResize', scales=[(480, 480), (832, 832)]), dict(type='RandomFlip', prob=0.5)],
        [dict(type='Resize', scale=(200, 120)), dict(type='CenterCrop', crop_size=(160, 100))],
    ],
)
@pytest.mark.parametrize('load', [{}, dict(short_side=31)])
def test_resizing_and_flipping_move_proposals_with_the_image(root: Path, steps: list[dict], load: dict) -> None:
    """The first box is where the image is white, found there again after all transforms."""
    packed = run(root, *steps, num=1, load=load)
    rows, columns = np.nonzero(packed['inputs'][0].numpy() > 127)
    x1, y1, x2, y2 = packed['data_samples'].proposals[0].tolist()
    white = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose([x1, y1, x2, y2], white, atol=max(packed['inputs'].shape) / 50)


def test_after_a_crop_boxes_outside_it_give_way_to_the_others(root: Path) -> None:
    sample = run(root, dict(type='CenterCrop', crop_size=(40, 40)), num=3)['data_samples']  # x 30-70, y 10-50
    torch.testing.assert_close(
        sample.proposals, torch.tensor([[0.0, 10, 10, 40], [20, 0, 40, 20], [0, 10, 10, 40]]), atol=1e-2, rtol=0
    )
    assert sample.proposal_scores.tolist() == [0.75, 0.5, 0.75]
    crop = [dict(type='CenterCrop', crop_size=(10, 4))]  # x 45-55, y 28-32: nothing of the first box
    assert run(root, *crop, num=1)['data_samples'].proposals.tolist() == [[0, 0, 10, 4]]


@pytest.mark.parametrize(
    'step',
    [
        dict(type='RandomResizedCrop', scale=48),
        dict(type='ResizeEdge', scale=48),
        dict(type='RandomCrop', crop_size=32),
        dict(type='mlic_mm.CropBox'),
    ],
)
def test_transforms_that_leave_proposals_behind_are_refused(root: Path, step: dict) -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [
                dict(type='mlic_mm.LoadImage'),
                dict(type='mlic_mm.LoadProposals', file=str(root / 'p.st')),
                step,
                PACK,
            ]
        )
    with pytest.raises(
        ValueError, match=r"(?s)'a\.png' has proposals in .*moves the image without its gt_bboxes\. Use"
    ):
        pipeline(dict(img_path=str(root / 'a.png'), img_id='a.png', box=[0, 0, 30, 30]))


def test_bad_options_and_samples(root: Path) -> None:
    file = str(root / 'p.st')
    for options, reason in ((dict(num=0), 'num=0'), (dict(fill='zero'), "fill='zero'")):
        with pytest.raises(ValueError, match=reason):
            LoadProposals(file, **options)
    with pytest.raises(FileNotFoundError, match='nowhere not found'):
        LoadProposals(str(root / 'nowhere'))
    image = np.zeros((H, W, 3), np.uint8)
    good = dict(img=image, ori_shape=(H, W), img_id='a.png')
    with pytest.raises(ValueError, match="no 'img_id'"):
        LoadProposals(file)(dict(img=image, ori_shape=(H, W)))
    with pytest.raises(ValueError, match='has proposals already; load only one kind'):
        LoadProposals(file)(LoadProposals(file)(dict(good)))
    with pytest.raises(ValueError, match='gt_bboxes without gt_bboxes_labels; leave with_label'):
        LoadProposals(file)(good | dict(gt_bboxes=np.zeros((1, 4))))
    with pytest.raises(ValueError, match='but the image of the data set has 100 × 61'):
        LoadProposals(file)(good | dict(ori_shape=(H + 1, W)))
    with pytest.raises(ValueError, match="no proposals of image 'c'"):
        LoadProposals(file)(good | dict(img_id='c'))
    with pytest.raises(ValueError, match='images of CSVMultiLabel, not of VOCMultiLabel'):
        LoadProposals(file, dataset='VOCMultiLabel')(good)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([dict(type='mlic_mm.LoadImage'), PACK])
    with pytest.raises(ValueError, match='has no proposals; put'):
        pipeline(dict(img_path=str(root / 'a.png'), img_id='a.png'))


@pytest.mark.integration
def test_batches_of_loader_workers_reach_the_model_as_tensors(root: Path) -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = CSVMultiLabel(
            ann_file='labels.csv',
            data_root=str(root),
            pipeline=[
                dict(type='mlic_mm.LoadImage'),
                dict(type='mlic_mm.LoadProposals', file=str(root / 'p.st'), num=6),
                dict(type='Resize', scale=(40, 40)),
                dict(type='RandomFlip', prob=0.5),
                PACK,
            ],
        )
        pickle.loads(pickle.dumps(dataset))
        loader = torch.utils.data.DataLoader(dataset, 2, num_workers=1, collate_fn=default_collate)
        preprocessor = MODELS.build(dict(type='mlic_mm.MultiLabelDataPreprocessor', num_classes=2))
        batch = preprocessor(next(iter(loader)))
    assert batch['inputs'].shape == (2, 3, 40, 40)
    for sample in batch['data_samples']:
        assert sample.proposals.shape == (6, 4)
        assert sample.proposal_scores.shape == (6,)
        assert sample.gt_score.shape == (2,)
        assert float(sample.proposals.max()) <= 40


def test_real_photographs(data_root: Path, tmp_path: Path) -> None:
    voc = str(data_root / 'VOCdevkit' / 'VOC2007')
    infos = VOCMultiLabel(voc, 'test', with_boxes=True, pipeline=[], indices=3)
    entries = []
    for info in (infos.get_data_info(i) for i in range(3)):
        boxes = np.array([o['bbox'] for o in info['instances']])
        size = cv2.imread(info['img_path']).shape[:2]
        entries.append((info['img_id'], size, boxes, np.ones(len(boxes))))
    write_proposal_file(tmp_path / 'p.st', entries, dict(type='x'), dict(type='VOCMultiLabel'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        load = dict(type='mlic_mm.LoadProposals', file=str(tmp_path / 'p.st'), fill='keep', dataset='VOCMultiLabel')
        resize = dict(type='Resize', scale=(64, 64))
        dataset = VOCMultiLabel(
            voc, 'test', indices=3, pipeline=[dict(type='mlic_mm.LoadImage', short_side=100), load, resize, PACK]
        )
        for index, (_, (height, width), boxes, _) in enumerate(entries):
            expected = boxes / [width, height, width, height] * 64
            np.testing.assert_allclose(dataset[index]['data_samples'].proposals, expected, atol=2e-2)


def test_objects_of_the_data_set_stay_in_pixels_of_the_photograph(data_root: Path, tmp_path: Path) -> None:
    voc = str(data_root / 'VOCdevkit' / 'VOC2007')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        infos = VOCMultiLabel(voc, 'test', with_boxes=True, pipeline=[])
        hard = next(i for i in range(len(infos)) if any(o['ignore_flag'] for o in infos.get_data_info(i)['instances']))
        info = infos.get_data_info(hard)
        entry = (info['img_id'], cv2.imread(info['img_path']).shape[:2], np.array([[0, 0, 9, 9]]), np.ones(1))
        write_proposal_file(tmp_path / 'p.st', [entry], dict(type='x'), dict(type='VOCMultiLabel'))
        flip = dict(type='RandomFlip', prob=1.0)
        load = dict(type='mlic_mm.LoadProposals', file=str(tmp_path / 'p.st'))
        pipeline = Compose([dict(type='mlic_mm.LoadImage'), load, dict(type='Resize', scale=(64, 64)), flip, PACK])
    sample = pipeline(info)['data_samples']
    for objects, flag in ((sample.gt_instances, 0), (sample.ignored_instances, 1)):
        expected = [o for o in info['instances'] if o['ignore_flag'] == flag]
        assert objects.bboxes.tolist() == [o['bbox'] for o in expected]
        assert objects.labels.tolist() == [o['bbox_label'] for o in expected]
    assert len(sample.ignored_instances) >= 1
    assert sample.gt_instances.bboxes.dtype == torch.float32
    assert sample.gt_instances.labels.dtype == torch.int64


def test_no_objects_are_empty_and_none_known_are_no_field(root: Path) -> None:
    sample = run(root)['data_samples']
    assert 'gt_instances' not in sample
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        load = dict(type='mlic_mm.LoadProposals', file=str(root / 'p.st'))
        pipeline = Compose([dict(type='mlic_mm.LoadImage'), load, PACK])
    sample = pipeline(dict(img_path=str(root / 'a.png'), img_id='a.png', instances=[]))['data_samples']
    assert sample.gt_instances.bboxes.shape == (0, 4)
    assert sample.ignored_instances.labels.shape == (0,)
