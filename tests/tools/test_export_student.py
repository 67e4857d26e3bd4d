"""An exported student is a plain classifier: keys, size, outputs and scores."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from run_tool import run_failing_tool, run_tool
from tiny_teacher import CLASSES, write_teacher

from mlic_mm.evaluation import ScoreDump

pytestmark = pytest.mark.integration

# What a student has in common with the same classifier without distillation.
PLAIN = """
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)
default_scope = 'mmpretrain'
data_preprocessor = dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True, num_classes=3)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=2),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=16),
)
load = dict(type='mlic_mm.LoadImage')
squish = dict(type='Resize', scale=(64, 64))
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
dataset = dict(type='mlic_mm.CSVMultiLabel', ann_file='labels.csv', data_root={root!r}, pipeline=[load, squish, pack])
sampler = dict(type='DefaultSampler', shuffle=False)
train_dataloader = dict(batch_size=4, num_workers=0, sampler=sampler, dataset=dataset)
test_dataloader = dict(batch_size=4, num_workers=0, sampler=sampler, dataset=dict(dataset, test_mode=True))
test_evaluator = dict(type='mlic_mm.MLICMetric')
test_cfg = dict()
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
"""
DISTILLED = """
_base_ = ['plain.py']
proposals = dict(type='mlic_mm.LoadProposals', file={proposals!r}, num=5)
pipeline = [_base_.load, proposals, _base_.squish, dict(type='mlic_mm.PackProposals')]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    objectives=dict(
        teacher=dict(
            type='mlic_mm.Distillation',
            losses=dict(
                roi=dict(type='mlic_mm.RoIFeatureDistillLoss', student_channels=16, teacher_channels=32, roi_size=2),
                prediction=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=3, num_proposals=5),
            ),
            teacher=dict(config={config!r}, checkpoint={checkpoint!r}),
        ),
    ),
)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``plain.py``, the run ``student`` of ``distilled.py``, and its export ``plain.pth``."""
    root = tmp_path_factory.mktemp('with space')
    config, checkpoint = write_teacher(root / 'teacher')
    (root / 'plain.py').write_text(PLAIN.format(root=str(root / 'teacher')))
    options = dict(proposals=str(root / 'teacher/proposals.st'), config=str(config), checkpoint=str(checkpoint))
    (root / 'distilled.py').write_text(DISTILLED.format(**options))
    run_tool('train', 'distilled.py', '--work-dir', 'student', cwd=root)
    (root / 'log.txt').write_text(run_tool('export_student', 'student/epoch_1.pth', '--out', 'new/plain.pth', cwd=root))
    return root


def build(config: Path) -> torch.nn.Module:
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model | dict(data_preprocessor=cfg.data_preprocessor)).eval()


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def test_keys_are_those_of_a_plain_classifier(folder: Path) -> None:
    exported = load(folder / 'new/plain.pth')
    trained = torch.load(folder / 'student/epoch_1.pth', weights_only=False)
    plain = build(folder / 'plain.py')
    assert list(exported['state_dict']) == list(plain.state_dict())
    plain.load_state_dict(exported['state_dict'], strict=True)
    dropped = {key for key in trained['state_dict'] if key not in exported['state_dict']}
    assert {key.split('.')[0] for key in dropped} == {'objectives'}
    assert len(dropped) == 5  # Ψ with its bias, three vectors of temperatures
    assert exported.keys() == {'meta', 'state_dict'}
    assert tuple(exported['meta']['dataset_meta']['classes']) == CLASSES
    assert exported['meta']['epoch'] == 1
    assert 'cfg' not in exported['meta']


def test_outputs_are_those_of_the_student(folder: Path) -> None:
    plain, student = build(folder / 'plain.py'), build(folder / 'distilled.py')
    plain.load_state_dict(load(folder / 'new/plain.pth')['state_dict'])
    student.load_state_dict(torch.load(folder / 'student/epoch_1.pth', weights_only=False)['state_dict'])
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain(images, mode='tensor'), student(images, mode='tensor'))


def test_size_is_that_of_a_plain_classifier(folder: Path) -> None:
    plain = build(folder / 'plain.py')
    # Of the same name, which is part of the file.
    torch.save(dict(meta=load(folder / 'new/plain.pth')['meta'], state_dict=plain.state_dict()), folder / 'plain.pth')
    sizes = [(folder / name).stat().st_size for name in ('new/plain.pth', 'plain.pth', 'student/epoch_1.pth')]
    assert 0 < sizes[1] - sizes[0] < 5000  # versions of the modules, which plain data leave out
    assert sizes[0] < 0.6 * sizes[2]  # which has the momenta as well
    assert 'MiB (of ' in (folder / 'log.txt').read_text()


def test_scores_are_those_of_the_student(folder: Path) -> None:
    words = ['--no-report', '--work-dir', 'tested', '--out']
    run_tool('test', 'plain.py', 'new/plain.pth', *words, 'plain.npz', cwd=folder)
    run_tool('test', 'distilled.py', 'student/epoch_1.pth', *words, 'student.npz', cwd=folder)
    plain, student = (ScoreDump.load(folder / name) for name in ('plain.npz', 'student.npz'))
    assert (plain.scores == student.scores).all()
    assert plain.scores.std() > 0


def test_files_are_not_overwritten_unasked(folder: Path) -> None:
    (folder / 'there.pth').write_text('mine')
    words = ['student/epoch_1.pth', '--out', 'there.pth']
    assert 'there.pth exists and is kept; --force replaces it' in run_failing_tool('export_student', *words, cwd=folder)
    assert (folder / 'there.pth').read_text() == 'mine'
    run_tool('export_student', *words, '--force', cwd=folder)
    assert load(folder / 'there.pth')['state_dict']


def test_any_other_checkpoint_keeps_all_its_weights(folder: Path) -> None:
    run_tool('export_student', 'teacher/teacher.pth', '--out', 'teacher.pth', cwd=folder)
    before, after = load(folder / 'teacher/teacher.pth')['state_dict'], load(folder / 'teacher.pth')['state_dict']
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_region_proposal_network_is_kept(tmp_path: Path) -> None:
    """A head that looks at proposals needs it in tests, too."""
    names = ['head.fc.weight', 'objectives.rpn.rpn_head.rpn_conv.weight', 'objectives.teacher.losses.hint.psi.weight']
    torch.save(dict(state_dict={name: torch.ones(2) for name in names}), tmp_path / 'trained.pth')
    run_tool('export_student', 'trained.pth', '--out', 'out.pth', cwd=tmp_path)
    assert list(load(tmp_path / 'out.pth')['state_dict']) == names[:2]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'no checkpoint none.pth'),
        ({'meta': {}}, 'none.pth holds no weights, but meta'),
    ],
)
def test_files_without_weights(tmp_path: Path, content: dict | None, message: str) -> None:
    if content is not None:
        torch.save(content, tmp_path / 'none.pth')
    assert message in run_failing_tool('export_student', 'none.pth', '--out', 'out.pth', cwd=tmp_path)
    assert not (tmp_path / 'out.pth').exists()
    assert [file.name for file in tmp_path.iterdir()] == ([] if content is None else ['none.pth'])
