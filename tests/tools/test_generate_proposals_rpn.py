"""A spatial-context-aware network's proposals: into a file, from there into heads of regions and teachers."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from tiny_run import run
from tiny_spatial_context import NEEDS_MMDET, PREPROCESSOR, loader, model_config, voc

from mlic_mm.datasets import ProposalFile
from mlic_mm.models.patch_generators import RPNGenerator
from mlic_mm.models.teachers import Teacher
from mlic_mm.registry import MODELS

pytestmark = [NEEDS_MMDET, pytest.mark.process]

IMAGES = 6


@pytest.fixture(scope='module')
def written(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder with a config, ``weights.pth`` and ``proposals.st``, and what the tool said."""
    root = tmp_path_factory.mktemp('with space')
    split = loader(voc(data_root, True) | dict(indices=IMAGES), [dict(type='Resize', scale=(160, 128))])
    config = Config(
        dict(
            custom_imports=dict(imports=['mlic_mm'], allow_failed_imports=False),
            default_scope='mmpretrain',  # the backbone is a plain 'ResNet', mmpretrain's and not mmdet's
            model=model_config(20),
            test_dataloader=split,
            patch_generator=dict(
                type='mlic_mm.RPNGenerator',
                config=str(root / 'network.py'),
                checkpoint=str(root / 'weights.pth'),
                num=30,
            ),
        )
    )
    config.dump(root / 'network.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(config.model)
    # Scores that differ, as of a trained network.
    torch.nn.init.normal_(model.proposer.rpn_head.rpn_cls.weight, std=0.3)
    classes = DATASETS.get('mlic_mm.VOCMultiLabel').METAINFO['classes']
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=classes))), root / 'weights.pth')
    # A process of its own: torch may hang in what a process with many threads has forked.
    words = ['network.py', '--split', 'test', '--workers', '1', '--out', 'proposals.st']
    return root, run('generate_proposals.py', *words, cwd=root)


def test_the_file_has_what_the_network_proposes(written: tuple[Path, str]) -> None:
    root, output = written
    assert f'{IMAGES} images' in output
    assert 'recall of' in output
    file = ProposalFile(root / 'proposals.st', 'VOCMultiLabel')
    generator = file.metadata['generator']
    assert generator['type'] == 'mlic_mm.RPNGenerator'
    assert (generator['config'], generator['checkpoint']) == ('network.py', 'weights.pth')

    # Against the network itself, at work in a test.
    cfg = Config.fromfile(root / 'network.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(cfg.model).eval()
        data = DATASETS.build(cfg.test_dataloader.dataset)
    model.load_state_dict(torch.load(root / 'weights.pth')['state_dict'])
    for i in range(IMAGES):
        with torch.no_grad():
            sample = model.test_step(pseudo_collate([data[i]]))[0]
        boxes, scores = file[sample.img_id]
        assert len(boxes) == 30
        height, width = sample.ori_shape
        best = sample.proposal_scores.argsort(descending=True, stable=True)[:30]
        # The file keeps scores to 3 digits; boxes of nearly the same may change places.
        np.testing.assert_allclose(scores, sample.proposal_scores[best], rtol=2e-3)
        expected = sample.proposals * torch.tensor([width / 160, height / 128] * 2)
        off = (torch.from_numpy(boxes)[:, None] - expected).abs().amax(2).amin(1)
        assert off.max() < 0.02


def test_weakly_supervised_heads_and_teachers_read_it(written: tuple[Path, str], data_root: Path) -> None:
    root, _ = written
    steps = [
        dict(type='mlic_mm.LoadImage'),
        dict(type='mlic_mm.LoadProposals', file=str(root / 'proposals.st'), num=20, dataset='VOCMultiLabel'),
        dict(type='Resize', scale=(128, 128)),
        dict(type='RandomFlip', prob=0.5),
        dict(type='mlic_mm.PackProposals'),
    ]
    config = Config(
        dict(
            default_scope='mmpretrain',
            data_preprocessor=PREPROCESSOR | dict(num_classes=20),
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
                head=dict(type='mlic_mm.WSDDNHead', num_classes=20, in_channels=64, stride=32, roi_size=2),
            ),
        )
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(config.model | dict(data_preprocessor=config.data_preprocessor))
        data = DATASETS.build(voc(data_root, True) | dict(indices=3, pipeline=steps))
    batch = pseudo_collate([data[i] for i in range(3)])
    raw = torch.stack(batch['inputs']).float()
    assert all(sample.proposals.shape == (20, 4) for sample in batch['data_samples'])
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    losses['loss'].backward()
    assert model.backbone.conv1.weight.grad.abs().sum() > 0

    torch.save(dict(state_dict=model.state_dict()), root / 'teacher.pth')
    shown = Teacher(config, root / 'teacher.pth', num_regions=5)(raw, batch['data_samples'])
    assert shown.logits.shape == (3, 20)
    assert torch.isfinite(shown.logits).all()
    assert [boxes.shape for boxes in shown.boxes] == [(5, 4)] * 3
    for boxes, sample in zip(shown.boxes, batch['data_samples'], strict=True):
        off = (boxes[:, None] * 128 - sample.proposals).abs().amax(2).amin(1)
        assert off.max() < 1e-3


def test_our_network_alone(written: tuple[Path, str], data_root: Path, tmp_path: Path) -> None:
    """By file name, resized twice; and what does not fit is named."""
    root, _ = written
    image = cv2.imread(str(next((data_root / 'VOCdevkit/VOC2007/JPEGImages').glob('*.jpg'))))
    weights = str(root / 'weights.pth')
    plain = RPNGenerator(str(root / 'network.py'), weights, num=10)
    boxes, _ = plain(image)
    cfg = Config.fromfile(root / 'network.py')
    steps = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [*steps[:2], *steps[1:]]
    cfg.dump(tmp_path / 'twice.py')
    # The factor of the second resizing alone, 1, would leave boxes in pixels of the input.
    np.testing.assert_array_equal(RPNGenerator(str(tmp_path / 'twice.py'), weights, num=10)(image)[0], boxes)
    assert boxes[:, 3].max() > 128

    torch.save(dict(state_dict={'a': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth lacks \d+ of the \d+ tensors .* first is backbone'):
        RPNGenerator(str(root / 'network.py'), str(tmp_path / 'other.pth'))
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        RPNGenerator(str(root / 'network.py'), 'gone.pth')
