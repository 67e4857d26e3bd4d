"""tools/test.py: scores on disk, the report, protocols, and checkpoints that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from run_tool import run_failing_tool, run_tool
from tiny_run import CLASSES

from mlic_mm.evaluation import ScoreDump, evaluate_scores

pytestmark = pytest.mark.integration


@pytest.fixture(scope='session')
def tested(trained: Path) -> Path:
    """Folder of a test with report and ``scores/out.npz``."""
    words = ['data/tiny config.py', 'full/epoch_3.pth', '--work-dir', 'tested', '--out', 'tested/scores/out.npz']
    (trained / 'test.txt').write_text(run_tool('test', *words, '--preset', 'wang', cwd=trained))
    return trained / 'tested'


def test_scores_carry_image_ids(tested: Path) -> None:
    dump = ScoreDump.load(tested / 'scores/out.npz')
    assert dump.scores.shape == (11, 4)
    assert dump.classes == CLASSES
    assert list(dump.image_ids) == [f'{i:02}' for i in range(11)]
    assert all(Path(path).is_file() for path in dump.image_paths)
    labelled = [{i % 4} <= set(np.flatnonzero(row == 1)) for i, row in enumerate(dump.targets)]
    assert all(labelled)


def test_metrics_are_those_of_the_preset(tested: Path) -> None:
    dump = ScoreDump.load(tested / 'scores/out.npz')
    expected = evaluate_scores(dump.scores, dump.targets, preset='wang')
    (line,) = (line for line in (tested.parent / 'test.txt').read_text().splitlines() if ' mAP: ' in line)
    assert f' mAP: {expected["mAP"]:.4f} ' in line
    assert f' OF1: {expected["OF1"]:.4f} ' in line
    assert expected['OF1'] != evaluate_scores(dump.scores, dump.targets)['OF1']


def test_report_is_written_and_training_is_left_alone(tested: Path) -> None:
    assert (tested / 'report/index.html').stat().st_size > 1000
    assert (tested / 'test/tiny config.py').is_file()
    assert not (tested / 'tiny config.py').exists()


def test_existing_scores_are_kept(trained: Path, tested: Path) -> None:
    before = (tested / 'scores/out.npz').read_bytes()
    words = ['data/tiny config.py', 'full/epoch_3.pth', '--work-dir', 'x', '--out', 'tested/scores/out.npz']
    assert 'exists' in run_failing_tool('test', *words, '--no-report', cwd=trained)
    assert (tested / 'scores/out.npz').read_bytes() == before
    assert not (trained / 'x/report').exists()


def test_amp_on_cpu_changes_scores_a_little(trained: Path, tested: Path) -> None:
    words = ['data/tiny config.py', 'full/epoch_3.pth', '--amp', '--no-report', '--work-dir', 'amp']
    run_tool('test', *words, '--out', 'amp/a.npz', cwd=trained, CUDA_VISIBLE_DEVICES='')
    full, half = ScoreDump.load(tested / 'scores/out.npz').scores, ScoreDump.load(trained / 'amp/a.npz').scores
    assert 0 < np.abs(full - half).max() < 0.05


def test_checkpoint_of_other_labels_is_refused(config: Path, trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained / 'full/epoch_3.pth', weights_only=False)
    checkpoint['meta']['dataset_meta']['classes'] = ('red', 'blue', 'green', 'bright')
    torch.save(checkpoint, tmp_path / 'other.pth')
    output = run_failing_tool('test', config, 'other.pth', cwd=tmp_path)
    assert "labels differ at index 1: checkpoint other.pth has 'blue'" in output
    assert "data set MultiLabelDataset has 'green'" in output


def test_checkpoint_of_another_head_is_refused(config: Path, trained: Path, tmp_path: Path) -> None:
    weights = torch.load(trained / 'full/epoch_3.pth', weights_only=False)['state_dict']
    weights['head.fc.weight'] = weights['head.fc.weight'][:3]
    torch.save(weights, tmp_path / 'bare.pth')
    output = run_failing_tool('test', config, 'bare.pth', cwd=tmp_path)
    assert 'checkpoint bare.pth has head.fc.weight of shape (3, 32), the model of the config has (4, 32)' in output


def test_missing_checkpoint_names_those_that_exist(config: Path, trained: Path) -> None:
    output = run_failing_tool('test', config, 'full/epoch_9.pth', cwd=trained)
    assert 'no checkpoint full/epoch_9.pth' in output
    assert 'epoch_3.pth' in output


def test_out_must_be_npz(config: Path, trained: Path) -> None:
    output = run_failing_tool('test', config, 'full/epoch_3.pth', '--out', 'scores.pkl', cwd=trained)
    assert 'name the file scores.npz' in output
