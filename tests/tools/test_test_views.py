"""tools/test.py with test-time views and with ensembles."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_tool import run_failing_tool, run_tool
from tiny_run import CLASSES, write_config

from mlic_mm.evaluation import ScoreDump

pytestmark = pytest.mark.integration

PHOTOS = """
views = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MultiLabelDataset',
        ann_file={data!r},
        pipeline=[dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(64, 64)), pack],
    ),
)
test_dataloader = dict(_delete_=True, **views)
"""
ENSEMBLE = 'model = dict(_delete_=True, type="mlic_mm.EnsembleClassifier", members={members!r})\n'


@pytest.fixture(scope='module')
def photos(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the config ``tiny config.py``, which tests on ten photographs."""
    folder = tmp_path_factory.mktemp('photos')
    files = sorted((data_root / 'VOCdevkit/VOC2007/JPEGImages').glob('*.jpg'))[:10]
    samples = [dict(img_path=str(file), img_id=file.stem, gt_label=[i % 4]) for i, file in enumerate(files)]
    data = folder / 'photos.json'
    data.write_text(json.dumps(dict(metainfo=dict(classes=CLASSES), data_list=samples)))
    write_config(folder)
    base = folder / 'tiny config.py'
    base.rename(folder / 'base.py')
    base.write_text("_base_ = ['base.py']\npack = {{_base_.pack}}\n" + PHOTOS.format(data=str(data)))
    return folder


def score(photos: Path, config: str, checkpoint: Path | None, out: str, *options: object) -> ScoreDump:
    words = [config, *([checkpoint] if checkpoint else []), '--no-report', '--out', f'{out}.npz', *options]
    run_tool('test', *words, cwd=photos)
    return ScoreDump.load(photos / f'{out}.npz')


def write_ensemble(photos: Path, name: str, members: list[dict]) -> str:
    (photos / f'{name}.py').write_text("_base_ = ['tiny config.py']\n" + ENSEMBLE.format(members=members))
    return f'{name}.py'


@pytest.fixture(scope='module')
def plain(photos: Path, trained: Path) -> list[ScoreDump]:
    """Scores of the two last epochs."""
    return [score(photos, 'tiny config.py', trained / f'full/epoch_{i}.pth', f'plain{i}') for i in (2, 3)]


def test_mirror_images_equal_an_ensemble_of_one(photos, trained, plain):
    """Two ways to the same scores: ``--tta``, and a member with ``flip``; ids and targets stay."""
    checkpoint = trained / 'full/epoch_3.pth'
    views = score(photos, 'tiny config.py', checkpoint, 'tta', '--tta')
    config = write_ensemble(photos, 'one', [dict(config='tiny config.py', checkpoint=str(checkpoint), flip=True)])
    member = score(photos, config, None, 'one')
    np.testing.assert_allclose(views.scores, member.scores, rtol=0, atol=1e-6)
    for dump in (views, member):
        assert list(dump.image_ids) == list(plain[1].image_ids)
        np.testing.assert_array_equal(dump.targets, plain[1].targets)
    assert np.abs(views.scores - plain[1].scores).max() > 1e-5


def test_ensemble_equals_the_mean_of_dumped_scores(photos, trained, plain):
    members = [dict(config='tiny config.py', checkpoint=str(trained / f'full/epoch_{i}.pth')) for i in (2, 3)]
    members[0]['weight'] = 3
    found = score(photos, write_ensemble(photos, 'two', members), None, 'two')
    np.testing.assert_allclose(found.scores, (3 * plain[0].scores + plain[1].scores) / 4, rtol=0, atol=1e-6)


def test_sizes_are_those_of_separate_tests(photos, trained):
    """Each size is resized from the file, as a test at that size does it; the report explains one view."""
    checkpoint = trained / 'full/epoch_3.pth'
    option = 'test_dataloader.dataset.pipeline.1.scale'
    apart = [
        score(photos, 'tiny config.py', checkpoint, f's{size}', '--cfg-options', f'{option}=({size},{size})').scores
        for size in (48, 80)
    ]
    words = ['tiny config.py', checkpoint, '--work-dir', 'sizes', '--out', 'sizes.npz']
    run_tool('test', *words, '--tta', 48, 80, cwd=photos)
    np.testing.assert_allclose(ScoreDump.load(photos / 'sizes.npz').scores, sum(apart) / 2, rtol=0, atol=1e-6)
    assert (photos / 'sizes/report/index.html').stat().st_size > 1000


def test_views_of_the_config(photos, trained):
    steps = "dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(64, 64))"
    (photos / 'own.py').write_text(
        "_base_ = ['tiny config.py']\n"
        f"tta_pipeline = [{steps}, dict(type='TestTimeAug', transforms=[[{{{{_base_.pack}}}}]])]\n"
        "tta_model = dict(type='AverageClsScoreTTA')\n"
    )
    checkpoint = trained / 'full/epoch_3.pth'
    own = score(photos, 'own.py', checkpoint, 'own', '--tta')
    np.testing.assert_array_equal(own.scores, score(photos, 'tiny config.py', checkpoint, 'same').scores)


def test_checks_see_the_model_behind_the_views(photos, trained):
    """Under the wrapper of mmengine, shapes and labels would pass unseen."""
    checkpoint = torch.load(trained / 'full/epoch_3.pth', weights_only=False)
    weights = dict(checkpoint['state_dict'])
    weights['head.fc.weight'] = weights['head.fc.weight'][:3]
    torch.save(weights, photos / 'narrow.pth')
    output = run_failing_tool('test', 'tiny config.py', 'narrow.pth', '--no-report', '--tta', cwd=photos)
    assert 'head.fc.weight of shape (3, 32)' in output


def test_members_with_other_labels_than_the_data_are_refused(photos, trained):
    checkpoint = torch.load(trained / 'full/epoch_3.pth', weights_only=False)
    checkpoint['meta']['dataset_meta']['classes'] = ('red', 'blue', 'green', 'bright')
    torch.save(checkpoint, photos / 'other.pth')
    config = write_ensemble(photos, 'other', [dict(config='tiny config.py', checkpoint='other.pth')])
    output = run_failing_tool('test', config, '--no-report', cwd=photos)
    assert "labels differ at index 1: the members of the ensemble has 'blue' where the test data has 'green'" in output


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['tiny config.py'], 'ImageClassifier needs a checkpoint'),
        (['tiny config.py', 'x.pth', '--tta', 'mirror'], '--tta mirror: a view is flip or a size in pixels'),
    ],
)
def test_bad_words(photos, words, message):
    assert message in run_failing_tool('test', *words, cwd=photos)
