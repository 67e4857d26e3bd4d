"""tools/draw_regions.py with a small detector of random weights on drawn images."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image, ImageColor
from run_tool import call_tool

from mlic_mm.datasets.proposals.proposal_file import write_proposal_file
from mlic_mm.evaluation import ScoreDump
from mlic_mm.visualization.region_pictures import ADDED, AMBER, BLUE, FOUND, GREEN, RED

pytestmark = pytest.mark.integration

CLASSES = ('cat', 'dog', 'cow', 'hen')
CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
    head=dict(type={head!r}, num_classes=4, in_channels=32, {more}),
)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='mlic_mm.CSVMultiLabel',
        ann_file={csv!r},
        data_prefix={root!r},
        metainfo=dict(classes=('cat', 'dog', 'cow', 'hen')),
        pipeline=[
            dict(type='mlic_mm.LoadImage'),
            dict(type='mlic_mm.LoadProposals', file={proposals!r}, num=9, fill='keep'),
            dict(type='Resize', scale=(64, 64)),
            dict(type='mlic_mm.PackProposals', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
        ],
    ),
)
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config, weights, three black images of 160 × 120 with one proposal each, and scores of a student."""
    root = tmp_path_factory.mktemp('with space')
    lines, entries = ['image,labels'], []
    for name, labels in (('a.png', 'cat'), ('b.png', 'dog;cow'), ('c.png', 'hen')):
        cv2.imwrite(str(root / name), np.zeros((120, 160, 3), np.uint8))
        lines.append(f'{name},{labels}')
        entries.append((name, (120, 160), np.array([[40, 30, 120, 90]]), np.array([0.5])))
    (root / 'labels.csv').write_text('\n'.join(lines) + '\n')
    write_proposal_file(root / 'p.st', entries, dict(type='x'), dict(type='CSVMultiLabel'))
    parts = dict(csv=str(root / 'labels.csv'), root=str(root), proposals=str(root / 'p.st'))
    (root / 'wsddn.py').write_text(CONFIG.format(head='mlic_mm.WSDDNHead', more='stride=32', **parts))
    (root / 'plain.py').write_text(CONFIG.format(head='MultiLabelLinearClsHead', more='', **parts))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(Config.fromfile(root / 'wsddn.py').model)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))), root / 'w.pth')
    targets = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    ids = np.array(['a.png', 'b.png', 'c.png'])
    ScoreDump(targets * 0.5 + [0.1, 0.2, 0.3, 0.4], targets, ids, ids, CLASSES).save(root / 'scores.npz')
    return root


def draw(root: Path, out: Path, *words: str, config: str = 'wsddn.py') -> np.ndarray:
    call_tool('draw_regions', str(root / config), str(root / 'w.pth'), '--out', str(out), '--device', 'cpu', *words)
    return np.asarray(Image.open(out / 'regions.png').convert('RGB'))


def count(pixels: np.ndarray, colour: str) -> int:
    return int((pixels == ImageColor.getrgb(colour)).all(2).sum())


def test_regions_labels_and_boxes(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = draw(root, tmp_path / 'plain', '--num', '2')
    assert capsys.readouterr().out.endswith('regions.png: 2 of 3 images\n')
    assert count(plain, AMBER) == 0
    assert count(plain, GREEN) > 0
    assert count(plain, RED) > 0  # of the teacher's three labels two at least are wrong
    scores = str(root / 'scores.npz')
    full = draw(root, tmp_path / 'full', '--num', '2', '--without', scores, '--with', scores, '--best-boxes')
    assert count(full, AMBER) > 0
    assert count(full, BLUE) > count(plain, BLUE)
    # One image: its only region, (40, 30, 120, 90) of 160 × 120, is drawn at twice the size.
    one = draw(root, tmp_path / 'one', '--images', 'c.png')
    y, x = np.nonzero((one == ImageColor.getrgb(GREEN)).all(2))
    assert (np.ptp(x) + 1, np.ptp(y) + 1) == (160, 120)


def test_an_existing_picture_is_kept(root: Path, tmp_path: Path) -> None:
    (tmp_path / 'regions.png').write_bytes(b'mine')
    with pytest.raises(SystemExit, match=r'regions\.png exists and is kept; --force replaces it'):
        draw(root, tmp_path)
    assert (tmp_path / 'regions.png').read_bytes() == b'mine'
    assert draw(root, tmp_path, '--force').ndim == 3


def test_what_does_not_fit_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r'plain\.py: the head is MultiLabelLinearClsHead; give the config of a'):
        draw(root, tmp_path, config='plain.py')
    with pytest.raises(SystemExit, match=r'--images d\.png: the test data has no such image, it has a\.png'):
        draw(root, tmp_path, '--images', 'd.png')
    with pytest.raises(SystemExit, match='no score file at'):
        draw(root, tmp_path, '--with', 'nowhere.npz')
    dump = ScoreDump.load(root / 'scores.npz')
    other = ScoreDump(dump.scores, dump.targets, np.array(['x', 'y', 'z']), np.array(['x', 'y', 'z']), CLASSES)
    with pytest.raises(SystemExit, match=r'other\.npz has no scores of image a\.png'):
        draw(root, tmp_path, '--with', str(other.save(tmp_path / 'other.npz')))
    names = ScoreDump(dump.scores, dump.targets, dump.image_ids, dump.image_paths, ('cat', 'dog', 'cow', 'bee'))
    with pytest.raises(SystemExit, match="label 'hen' is only in the test data"):
        draw(root, tmp_path, '--with', str(names.save(tmp_path / 'names.npz')))
    weights = torch.load(root / 'w.pth', weights_only=True)
    weights['meta']['dataset_meta']['classes'] = ('dog', 'cat', 'cow', 'hen')
    torch.save(weights, tmp_path / 'other.pth')
    with pytest.raises(SystemExit, match='labels differ at index 0'):
        call_tool('draw_regions', str(root / 'wsddn.py'), str(tmp_path / 'other.pth'), '--out', str(tmp_path))
    assert not (tmp_path / 'regions.png').exists()


CONTEXT_CONFIG = """
default_scope = 'mmpretrain'
nms = dict(type='nms', iou_threshold=0.7)
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4, out_indices=(0, 1, 2, 3)),
    neck=dict(type='mmdet.FPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=4),
    head=dict(type='mlic_mm.SpatialContextHead', num_classes=20, in_channels=8, fc_channels=16),
    objectives=dict(
        rpn=dict(
            type='mlic_mm.RegionProposals',
            rpn_head=dict(
                type='RPNHead',
                in_channels=8,
                feat_channels=8,
                anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[1.0], strides=[4, 8, 16, 32]),
            ),
            train_cfg=dict(rpn=None),
            test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20, nms=nms, min_bbox_size=0)),
        ),
    ),
)
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'instances')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='mlic_mm.VOCMultiLabel',
        data_root={root!r},
        split='test',
        with_boxes=True,
        indices=6,
        pipeline=[
            dict(type='mlic_mm.LoadImage'),
            dict(type='Resize', scale=(96, 96)),
            dict(type='mlic_mm.PackBoxes', meta_keys=meta_keys),
        ],
    ),
)
"""


@pytest.fixture
def context(data_root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Config and weights that find a bicycle with both branches, a bird with the context branch, in every patch."""
    if find_spec('mmdet') is None or find_spec('mmcv._ext') is None:
        pytest.skip("no mmdet with mmcv's compiled ops: make test installs them")
    config = tmp_path / 'context.py'
    config.write_text(CONTEXT_CONFIG.format(root=str(data_root / 'VOCdevkit/VOC2007')))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(Config.fromfile(config).model)
    with torch.no_grad():
        for layer in (*model.head.fc_labels.values(), model.head.box_head.fc_cls):
            layer.weight.zero_()
            layer.bias.fill_(-9)
        model.head.fc_labels['object'].bias[1] = 3
        model.head.fc_labels['context'].bias[1:3] = 3
        model.head.box_head.fc_cls.bias[0] = 9
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'w.pth')
    return config, tmp_path / 'w.pth'


def test_what_only_the_context_branch_finds(
    context: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*map(str, context), '--device', 'cpu', '--num', '2']
    call_tool('draw_regions', *words, '--out', str(tmp_path / 'both'), '--threshold', '0.4')
    out = capsys.readouterr().out
    # The bird has 0.95 from the context branch, so 0.48 from both.
    assert '2 images, above 0.4 with the context branch only: ' in out
    assert out.endswith('regions.png: 2 of 6 images\n')
    both = np.asarray(Image.open(tmp_path / 'both/regions.png').convert('RGB'))
    assert count(both, ADDED) > 0
    assert count(both, FOUND) > 0
    with pytest.raises(SystemExit, match='in none of the 6 test images does only the context branch bring a label abo'):
        call_tool('draw_regions', *words, '--out', str(tmp_path / 'none'), '--threshold', '0.6')
    with pytest.raises(SystemExit, match=r'--best-boxes are for a mlic_mm\.WSDDNHead'):
        call_tool('draw_regions', *words, '--out', str(tmp_path / 'none'), '--best-boxes')
    one_branch = ['--cfg-options', "model.head.branches=['object']"]
    with pytest.raises(SystemExit, match='the head lacks a branch'):
        call_tool('draw_regions', *words, '--out', str(tmp_path / 'none'), *one_branch)
    assert not (tmp_path / 'none').exists()
