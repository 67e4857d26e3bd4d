"""Scores of image files, from Python: real photographs through a single model and an ensemble."""

import re
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain import ImageClassificationInferencer
from PIL import Image

from mlic_mm.apis import MultiLabelInferencer
from mlic_mm.config_files.config_file import read_config
from mlic_mm.models.teachers.trained_classifier import build_classifier

CLASSES = ('bird', 'cat', 'dog', 'sofa')
CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mlic_mm'])
data_preprocessor = dict(mean=[127.0] * 3, std=[60.0] * 3, to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=1, strides=(2,), dilations=(1,), out_indices=(0,),
                  stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=4),
)
load = dict(type='mlic_mm.LoadImage')
pipeline = [load, dict(type='Resize', scale=(96, 96)), dict(type='PackInputs')]
test_dataloader = dict(dataset=dict(type='MultiLabelDataset', ann_file='not read', pipeline=pipeline))
"""


@pytest.fixture(scope='module')
def photos(data_root: Path) -> list[Path]:
    return sorted((data_root / 'VOCdevkit/VOC2007/JPEGImages').glob('*.jpg'))[:5]


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    """Config and checkpoint of a small net that knows its labels."""
    config = tmp_path / 'net.py'
    config.write_text(CONFIG)
    torch.manual_seed(0)
    net, _ = build_classifier(read_config(config), None)
    torch.nn.init.normal_(net.head.fc.weight)
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=net.state_dict(), meta=meta), tmp_path / 'net.pth')
    return str(config), str(tmp_path / 'net.pth')


@pytest.fixture
def ensemble(tmp_path: Path, model: tuple[str, str]) -> Config:
    """One member and its mirror images."""
    config, checkpoint = model
    cfg = Config.fromfile(config)
    members = [dict(config=config, checkpoint=checkpoint, flip=True)]
    return Config(dict(cfg.to_dict(), model=dict(type='mlic_mm.EnsembleClassifier', members=members)))


def test_all_labels_above_the_threshold_best_first(model, photos):
    inferencer = MultiLabelInferencer(*model)
    result = inferencer(str(photos[0]), threshold=0.2)[0]
    scores = result['pred_scores']
    expected = [int(i) for i in np.argsort(-scores) if scores[i] > 0.2]
    assert result['pred_labels'] == expected
    assert result['pred_classes'] == [CLASSES[i] for i in expected]
    assert inferencer(str(photos[0]), threshold=1.0)[0]['pred_labels'] == []


def test_files_paths_folders_arrays_and_batches_give_the_same(model, photos, tmp_path):
    inferencer = MultiLabelInferencer(*model)
    one_by_one = [result['pred_scores'] for result in inferencer([str(photo) for photo in photos])]
    assert np.std(one_by_one, axis=0).max() > 0.01
    folder = tmp_path / 'photos'
    folder.mkdir()
    for photo in photos:
        (folder / photo.name).symlink_to(photo)
    for inputs in (photos, folder, str(folder), [cv2.imread(str(photo)) for photo in photos]):
        scores = [result['pred_scores'] for result in inferencer(inputs, batch_size=2)]
        order = np.argsort([str(name) for name in folder.iterdir()]) if isinstance(inputs, str | Path) else range(5)
        if isinstance(inputs, str | Path):  # the file system's order
            scores = [scores[i] for i in order]
        np.testing.assert_allclose(scores, one_by_one, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(inferencer(photos[0])[0]['pred_scores'], one_by_one[0])


def test_whatever_holds_an_image_gives_the_same(model, photos):
    inferencer = MultiLabelInferencer(*model)
    expected = [result['pred_scores'] for result in inferencer(photos[:2])]
    bgr = [cv2.imread(str(photo)) for photo in photos[:2]]
    rgb = [np.ascontiguousarray(image[..., ::-1]) for image in bgr]
    opaque = [np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]) for image in bgr]
    for images in (
        [Image.open(photo) for photo in photos[:2]],
        [Image.fromarray(np.dstack([image, opaque[0][..., 3]])) for image in rgb[:1]],
        [torch.from_numpy(image).permute(2, 0, 1) for image in rgb],
        [torch.from_numpy(image) for image in bgr],
        [image.astype(np.uint16) * 257 for image in bgr],
        [image.astype(np.float32) for image in bgr],
        [image.astype(np.int64) for image in bgr],
        [torch.from_numpy(image).bfloat16() for image in bgr],  # whole numbers up to 256 are exact
        opaque,
        (image for image in bgr),
        (path for path in photos[:2]),
        torch.from_numpy(rgb[0]).permute(2, 0, 1)[None],
        bgr[0][None],
    ):
        found = inferencer(images)
        np.testing.assert_allclose([r['pred_scores'] for r in found], expected[: len(found)], rtol=0, atol=1e-6)
        assert found
    gray = cv2.cvtColor(bgr[0], cv2.COLOR_BGR2GRAY)
    same = [gray, gray[..., None], torch.from_numpy(gray), torch.from_numpy(gray)[None], np.dstack([gray] * 3)]
    same += [Image.fromarray(gray)]
    scores = np.stack([result['pred_scores'] for result in inferencer(same)])
    np.testing.assert_allclose(scores, scores[:1].repeat(len(same), 0), rtol=0, atol=1e-6)
    clear = np.zeros((9, 9, 4), np.uint8)  # transparency is laid on white
    white, black = np.full((9, 9, 3), 255, np.uint8), np.zeros((9, 9, 3), np.uint8)
    found = [result['pred_scores'] for result in inferencer([clear, white, black])]
    np.testing.assert_array_equal(found[0], found[1])
    # 0 is black whatever the range; whole numbers are of the range to 255.
    dark = [black.astype(np.float32), torch.zeros(3, 9, 9), np.eye(9, dtype=np.int32)]
    for result, image in zip(inferencer(dark), [black, black, np.eye(9, dtype=np.uint8)], strict=True):
        np.testing.assert_array_equal(result['pred_scores'], inferencer(image)[0]['pred_scores'])
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize(
    ('image', 'error', 'message'),
    [
        (np.full((4, 4, 3), 0.5), ValueError, r'from 0\.5 to 0\.5 would be black.*\* 255'),
        (torch.rand(3, 8, 8), ValueError, r'would be black.*\* 255'),
        (np.random.default_rng(0).normal(size=(4, 4, 3)), ValueError, 'neither normalised nor scaled'),
        (np.full((4, 4, 3), np.nan), ValueError, 'from nan to nan'),
        (np.full((4, 4, 3), 300), ValueError, 'from 300 to 300; give uint8'),
        (np.zeros((4, 4, 3), bool), ValueError, 'an image of bool; give uint8'),
        (np.zeros((4, 4, 5), np.uint8), ValueError, r'shape \(4, 4, 5\); give a path'),
        (np.zeros(4, np.uint8), ValueError, r'shape \(4,\)'),
        (b'JFIF', TypeError, 'bytes is no image; give a path'),
        (7, TypeError, 'int is no image'),
        ([None], TypeError, 'NoneType is no image'),
    ],
)
def test_what_is_no_image_is_refused(model, image, error, message):
    inferencer = MultiLabelInferencer(*model)
    with pytest.raises(error, match=message):
        inferencer(image)
    if error is TypeError:
        with pytest.raises(error, match=message):
            inferencer(image, on_error='skip')
    else:
        found = inferencer([np.zeros((9, 9, 3), np.uint8), image], on_error='skip')
        assert [result['pred_scores'] is None for result in found] == [False, True]
        assert re.search(message, found[1]['error'])


def test_stray_files_of_a_folder_are_passed_over(model, photos, tmp_path):
    folder = tmp_path / 'photos'
    (folder / 'more').mkdir(parents=True)
    (folder / 'notes.txt').write_text('my holiday')
    (folder / '.hidden.jpg').write_text('')
    inferencer = MultiLabelInferencer(*model)
    with pytest.raises(ValueError, match=r'photos: no file in it ends as an image does \(\.jpg'):
        inferencer(folder)
    (folder / 'a.JPG').symlink_to(photos[0])
    found = inferencer(folder)
    assert [result['img_path'] for result in found] == [str(folder / 'a.JPG')]
    np.testing.assert_array_equal(found[0]['pred_scores'], inferencer(photos[0])[0]['pred_scores'])


@pytest.mark.parametrize('loader', ['mlic_mm.LoadImage', 'LoadImageFromFile'])
def test_files_that_cannot_be_read(model, photos, tmp_path, loader):
    """The results stay in the order of the inputs, whichever of them have none."""
    (tmp_path / 'cut.jpg').write_bytes(photos[0].read_bytes()[:2000] if 'mlic' in loader else b'x')
    (tmp_path / 'text.jpg').write_text('no image')
    bad = [str(tmp_path / name) for name in ('cut.jpg', 'text.jpg', 'gone.jpg')]
    cfg = Config.fromfile(model[0])
    cfg.test_dataloader.dataset.pipeline[0].type = loader
    inferencer = MultiLabelInferencer(cfg, model[1])
    if 'mlic' in loader:
        for path in bad:
            with pytest.raises((ValueError, FileNotFoundError), match=Path(path).name):
                inferencer([photos[0], path])
    for size in (1, 2, 9):
        found = inferencer([bad[0], photos[0], bad[1], bad[2], photos[1]], batch_size=size, on_error='skip')
        expected = inferencer(photos[:2])
        assert [result['img_path'] for result in found] == [bad[0], str(photos[0]), bad[1], bad[2], str(photos[1])]
        assert [result['pred_scores'] is None for result in found] == [True, False, True, True, False]
        for one, two in zip((found[1], found[4]), expected, strict=True):
            np.testing.assert_allclose(one['pred_scores'], two['pred_scores'], rtol=0, atol=1e-6)
        assert found[0]['pred_labels'] == found[0]['pred_classes'] == []
        assert 'error' in found[2]
        assert 'error' not in found[1]
    samples = inferencer([bad[0], photos[0]], on_error='skip', return_datasamples=True)
    assert samples[0] is None
    assert samples[1].pred_score.shape == (4,)
    with pytest.raises(ValueError, match="on_error='drop' must be one of raise, skip"):
        inferencer(photos[0], on_error='drop')
    with pytest.raises(ValueError, match='batch_size=0 must be a whole number at least 1'):
        inferencer(photos[0], batch_size=0)
    for threshold in ('x', np.nan, None, True, [0.5] * 4):
        with pytest.raises((TypeError, ValueError), match=r'threshold=.* must be a number'):
            inferencer(photos[0], threshold=threshold)


def test_images_that_the_pipeline_leaves_of_different_sizes(model, photos):
    cfg = Config.fromfile(model[0])
    del cfg.test_dataloader.dataset.pipeline[1]
    inferencer = MultiLabelInferencer(cfg, model[1])
    small = np.zeros((8, 9, 3), np.uint8)
    assert len(inferencer([photos[0], small])) == 2
    message = (
        rf'{photos[0].name} and image 1 cannot be in one batch, .* and \(3, 8, 9\): take batch_size=1, or put a Resize'
    )
    with pytest.raises(ValueError, match=message):
        inferencer([photos[0], small], batch_size=2)
    with pytest.raises(ValueError, match='and an array cannot be in one batch'):
        list(inferencer.preprocess([str(photos[0]), small], batch_size=2))


def test_the_cure_that_a_message_names_is_one(model, photos, tmp_path):
    """LoadImage(on_error='skip') of the config counts as well."""
    (tmp_path / 'cut.jpg').write_bytes(photos[0].read_bytes()[:2000])
    cfg = Config.fromfile(model[0])
    cfg.test_dataloader.dataset.pipeline[0].on_error = 'skip'
    inferencer = MultiLabelInferencer(cfg, model[1])
    found = inferencer([tmp_path / 'cut.jpg', photos[0]])
    assert 'cut.jpg: damaged or cut short' in found[0]['error']
    assert MultiLabelInferencer(*model, on_error='skip')(tmp_path / 'cut.jpg')[0]['error'] == found[0]['error']
    assert found[1]['pred_scores'].shape == (4,)
    with pytest.raises(ValueError, match=r"cut\.jpg: damaged .*on_error='skip'"):
        inferencer(tmp_path / 'cut.jpg', on_error='raise')


def test_ensemble_of_mirror_images_of_photographs(model, ensemble, photos):
    plain, views = MultiLabelInferencer(*model), MultiLabelInferencer(ensemble)
    mirrored = [cv2.flip(cv2.imread(str(photo)), 1) for photo in photos]
    of_photos = np.stack([result['pred_scores'] for result in plain(photos)])
    of_mirrored = np.stack([result['pred_scores'] for result in plain(mirrored)])
    found = np.stack([result['pred_scores'] for result in views(photos, batch_size=5)])
    assert np.abs(of_photos - of_mirrored).max() > 1e-3
    # Shrinking a mirrored photograph rounds pixels otherwise than mirroring the shrunk one.
    np.testing.assert_allclose(found, (of_photos + of_mirrored) / 2, rtol=0, atol=2e-3)
    assert views(photos[0], threshold=0)[0]['pred_classes']


def test_mmpretrains_own_inferencer_takes_an_ensemble(ensemble, photos):
    ours = MultiLabelInferencer(ensemble)(photos[:1])[0]['pred_scores']
    pipeline = ensemble.test_dataloader.dataset.pipeline
    pipeline[0] = dict(type='LoadImageFromFile')  # the one loader that it knows how to take out
    found = ImageClassificationInferencer(ensemble, pretrained=False)(str(photos[0]))[0]
    np.testing.assert_allclose(found['pred_scores'], ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ('classes', 'error', 'message'),
    [
        (('bird', 'dog', 'cat', 'sofa'), ValueError, r"index 1: argument classes has 'dog'.*net\.pth has 'cat'"),
        (('bird', 'cat', 'dog'), ValueError, r'is made for 4 labels .* argument classes has 3.*num_classes=3'),
        ([], ValueError, 'argument classes has 0: set'),
        (['a'] * 4, ValueError, "classes has 'a' more than once"),
        ('abcd', TypeError, "classes='abcd' are no label names: give a list"),
        (range(4), TypeError, 'are no label names'),
    ],
)
def test_other_labels_are_refused(model, classes, error, message):
    with pytest.raises(error, match=message):
        MultiLabelInferencer(*model, classes=classes)


@pytest.mark.parametrize('classes', [CLASSES[:3], (*CLASSES, 'car')])
def test_other_numbers_of_names_than_scores_are_refused(model, photos, tmp_path, classes):
    """Of a checkpoint, and where the head does not tell its number before it scores."""
    loaded = torch.load(model[1])
    torch.save(dict(loaded, meta=dict(dataset_meta=dict(classes=classes))), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=rf'is made for 4 labels .*other\.pth has {len(classes)}'):
        MultiLabelInferencer(model[0], tmp_path / 'other.pth')
    inferencer = MultiLabelInferencer(*model)
    inferencer.classes = classes
    with pytest.raises(ValueError, match=rf'scores 4 labels and has {len(classes)} names'):
        inferencer(photos[0])


def test_what_is_missing_is_named(model, tmp_path):
    config, checkpoint = model
    with pytest.raises(ValueError, match=r'no checkpoint for .*net\.py'):
        MultiLabelInferencer(config)
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*absent\.pth'):
        MultiLabelInferencer(config, str(tmp_path / 'absent.pth'))
    with pytest.raises(FileNotFoundError, match=r'no config .*absent\.py'):
        MultiLabelInferencer(tmp_path / 'absent.py', checkpoint)
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.pop('pipeline')
    with pytest.raises(ValueError, match=r'no test_dataloader\.dataset\.pipeline'):
        MultiLabelInferencer(cfg, checkpoint)
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.pipeline = cfg.test_dataloader.dataset.pipeline[1:]
    with pytest.raises(ValueError, match='must begin by loading the image, it begins with Resize'):
        MultiLabelInferencer(cfg, checkpoint)


@pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)
def test_boxes_of_a_model_that_detects(photos: list[Path], tmp_path: Path) -> None:
    """From files and from arrays, in pixels of the photograph, without annotations."""
    stride, width = dict(strides=[4, 8]), 4
    proposals = dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
    cfg = Config.fromstring(CONFIG, '.py')
    cfg.model = dict(
        type='mlic_mm.MultiLabelClassifier',
        backbone=dict(type='ResNet', depth=18, out_indices=(0, 1), num_stages=2, strides=(1, 2), dilations=(1, 1))
        | dict(stem_channels=4, base_channels=4),
        neck=dict(type='mmdet.FPN', in_channels=[4, 8], out_channels=width, num_outs=2),
        head=dict(type='mlic_mm.SpatialContextHead', num_classes=4, in_channels=width, fc_channels=8)
        | dict(roi_extractor=dict(featmap_strides=[4, 8]), test_cfg=dict(score_thr=0.0)),
        objectives=dict(
            rpn=dict(
                type='mlic_mm.RegionProposals',
                rpn_head=dict(
                    type='RPNHead',
                    in_channels=width,
                    feat_channels=width,
                    anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[1.0], **stride),
                ),
                train_cfg=dict(rpn=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3))),
                test_cfg=dict(rpn=proposals),
            ),
        ),
    )
    cfg.test_dataloader.dataset.pipeline[-1] = dict(type='mlic_mm.PackBoxes')
    built, _ = build_classifier(cfg, None)
    torch.save(dict(state_dict=built.state_dict()), tmp_path / 'net.pth')
    inferencer = MultiLabelInferencer(cfg, tmp_path / 'net.pth', classes=CLASSES)
    for photo in (photos[0], cv2.imread(str(photos[0]))):
        found = inferencer(photo)[0]
        height, width = cv2.imread(str(photos[0])).shape[:2]
        assert found['pred_boxes'].shape == (len(found['pred_box_scores']), 4)
        assert len(found['pred_box_labels']) == len(found['pred_boxes']) > 0
        assert (np.diff(found['pred_box_scores']) <= 0).all()
        # Of 96 × 96 pixels that the model sees, to those of the photograph.
        assert found['pred_boxes'].max(0)[2:] == pytest.approx([width, height], abs=30)
        assert found['pred_boxes'].max() <= max(width, height)
