"""One command per table: real rows on the small COCO, a fusion, a stop, and the pages."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from mmengine.config import Config
from run_tool import run_failing_tool, run_tool
from tiny_run import REPO, ToolProcess, write_config

from mlic_mm.evaluation import ScoreDump, evaluate_scores
from mlic_mm.reproduction import load_papers
from mlic_mm.reproduction.handover import Place, hand_over
from mlic_mm.reproduction.plan import show_plan
from mlic_mm.reproduction.run import Run

pytestmark = pytest.mark.integration

# A row in seconds: 32 photographs, weights as they are drawn.
QUICK = (
    '--cfg-options',
    'model.backbone.init_cfg=None',
    'train_dataloader.dataset.indices=32',
    'test_dataloader.dataset.indices=40',
    'train_cfg.max_epochs=2',
)


def reproduce(*words, cwd, data_root, check=run_tool):
    return check('reproduce', *words, cwd=cwd, COCO_ROOT=str(data_root / 'coco_mini'))


def call_here(command, log, name, held=None):
    """Run the tool of a command in this process, as ``call_logged`` does in another one."""
    _, tool, *words = command
    with log.open('a') as out:
        print(f'$ {shlex.join(command)}', file=out)
    try:
        text = run_tool(Path(tool).stem, *words, cwd=Path.cwd())
    except SystemExit as error:
        raise ValueError(f'{name} failed with exit status {error.code}: {error}; all output: {log}') from None
    with log.open('a') as out:
        out.write(text)


def one_process():
    """Train and test rows in this process, which saves some ten seconds for each."""
    return mock.patch('mlic_mm.reproduction.run.call_logged', call_here)


@pytest.fixture(scope='module')
def done(tmp_path_factory, data_root):
    """Folder with the members of DistrEn, run by asking for it."""
    folder = tmp_path_factory.mktemp('reproduce')
    words = ('mixup_baseline/3', '--rows', 'COCO/R/DistrEn', '--data', 'mini', *QUICK)
    with one_process():
        return folder, reproduce(*words, cwd=folder, data_root=data_root)


def scores(folder, row):
    return ScoreDump.load(folder / 'work_dirs/reproduce/mini/mixup_baseline/2' / row / 'seed0/scores.npz')


def test_members_of_an_ensemble_are_run(done):
    folder, log = done
    assert [line.split(' seed')[0] for line in re.findall(r'(mixup_baseline/2/\S+ seed 0): starts', log)] == [
        'mixup_baseline/2/COCO/R/M2/512',
        'mixup_baseline/2/COCO/R/M3/512',
    ]
    assert not np.array_equal(scores(folder, 'COCO_R_M2_512').scores, scores(folder, 'COCO_R_M3_512').scores)


def test_the_table_has_the_figures_of_the_fused_scores(done):
    folder, log = done
    members = [scores(folder, row) for row in ('COCO_R_M2_512', 'COCO_R_M3_512')]
    expected = evaluate_scores((members[0].scores + members[1].scores) / 2, members[0].targets, 'wang')
    line = next(line for line in log.splitlines() if line.startswith('| COCO/R/DistrEn'))
    cell = line.split('|')[3]
    assert f'82.4 → **{expected["mAP"]:.1f}** [' in cell
    assert cell.rstrip().endswith(f'{expected["mAP"] - 82.4:+.1f}'.replace('-', '−'))
    assert 'Small data, small backbone' in log
    page = (folder / 'work_dirs/reproduce/mini/mixup_baseline/table_3.html').read_text()
    assert f'<b>{expected["mAP"]:.1f}</b>' in page
    assert 'COCO/V/DistrEn' not in page  # neither asked for nor done
    assert 'COCO/R/DistrEn' in page


def test_what_is_done_is_not_run_again(done, data_root):
    folder, _ = done
    before = (folder / 'work_dirs/reproduce/mini/mixup_baseline/2/COCO_R_M2_512/seed0/scores.npz').stat()
    log = reproduce(
        'mixup_baseline/2', '--rows', 'COCO/R/M2/512', '--data', 'mini', *QUICK, cwd=folder, data_root=data_root
    )
    assert 'COCO/R/M2/512 seed 0: done' in log
    assert 'another config' not in log
    assert (folder / 'work_dirs/reproduce/mini/mixup_baseline/2/COCO_R_M2_512/seed0/scores.npz').stat() == before


@pytest.mark.process
def test_a_stopped_run_goes_on_and_gives_the_same(done, data_root, tmp_path):
    words = ('mixup_baseline/2', '--rows', 'COCO/R/M3/512', '--data', 'mini', *QUICK)
    process = ToolProcess('reproduce.py', *words, cwd=tmp_path, COCO_ROOT=str(data_root / 'coco_mini'))
    folder = tmp_path / 'work_dirs/reproduce/mini/mixup_baseline/2/COCO_R_M3_512/seed0'
    while not (folder / 'last_checkpoint').exists():
        assert process.process.is_alive(), process.output[-2000:]
    process.signal_group(signal.SIGINT)
    assert process.wait() == 130
    assert 'the same command goes on from here' in process.output
    assert not (folder / 'scores.npz').exists()
    log = reproduce(*words, cwd=tmp_path, data_root=data_root)
    assert 'COCO/R/M3/512 seed 0: goes on' in log
    assert 'resuming from' in (folder / 'log.txt').read_text()
    again = ScoreDump.load(folder / 'scores.npz')
    assert np.array_equal(again.scores, scores(done[0], 'COCO_R_M3_512').scores)


def test_what_was_done_with_another_config_is_said(done, data_root):
    words = ('mixup_baseline/2', '--rows', 'COCO/R/M2/512', '--data', 'mini', *QUICK[:-1], 'train_cfg.max_epochs=7')
    log = reproduce(*words, cwd=done[0], data_root=data_root)
    assert 'was done with another config than now: train_cfg.max_epochs was 2, is 7' in log


def test_another_config_in_the_same_folder_is_an_error(done, data_root, tmp_path):
    shutil.copytree(done[0] / 'work_dirs', tmp_path / 'work_dirs')
    (tmp_path / 'work_dirs/reproduce/mini/mixup_baseline/2/COCO_R_M3_512/seed0/scores.npz').unlink()
    words = ('mixup_baseline/2', '--rows', 'COCO/R/M3/512', '--data', 'mini', *QUICK, 'optim_wrapper.optimizer.lr=9')
    log = reproduce(*words, cwd=tmp_path, data_root=data_root, check=run_failing_tool)
    assert 'was begun with another config than now (optim_wrapper.optimizer.lr was 0.005, is 9)' in log
    assert 'another --work-dir' in log


@pytest.mark.process
def test_a_failing_run_shows_its_log(tmp_path, data_root):
    words = ('mixup_baseline/2', '--rows', 'COCO/R/M3/512', '--data', 'mini')
    log = reproduce(
        *words, '--cfg-options', 'model.head.num_classes=7', cwd=tmp_path, data_root=data_root, check=run_failing_tool
    )
    assert 'COCO/R/M3/512 seed 0 failed with exit status 2: pretrained weights of model.backbone' in log
    # Nothing was trained, so the mended config takes its place.
    reproduce(*words, *QUICK, cwd=tmp_path, data_root=data_root)
    assert len(scores(tmp_path, 'COCO_R_M3_512').scores) == 40


@pytest.mark.process
def test_two_processes_share_the_batch(tmp_path, data_root):
    words = ('mixup_baseline/2', '--rows', 'COCO/R/M3/384', '--data', 'mini', '--gpus', '2', *QUICK)
    log = reproduce(*words, cwd=tmp_path, data_root=data_root)
    folder = tmp_path / 'work_dirs/reproduce/mini/mixup_baseline/2/COCO_R_M3_384/seed0'
    assert Config.fromfile(folder / 'given/config.py').train_dataloader.batch_size == 8
    assert any('GPU number: 2' in log.read_text() for log in folder.glob('*/*.log'))
    assert len(ScoreDump.load(folder / 'scores.npz').scores) == 40
    assert re.search(r'\| COCO/R/M3/384 \| 1 \| 79\.9 → \*\*', log)


def test_a_batch_that_does_not_divide_is_an_error(tmp_path):
    words = ('mixup_baseline/2', '--rows', 'COCO/R/M3/384', '--data', 'mini', '--gpus', '3')
    assert 'the batch of 16 does not divide among --gpus 3' in run_failing_tool('reproduce', *words, cwd=tmp_path)


def test_dry_run_writes_nothing(tmp_path, data_root):
    log = reproduce('mixup_baseline/2', '--dry-run', '--gpus', '4', '--seeds', '2', cwd=tmp_path, data_root=data_root)
    assert log.count('dist_train.sh') == 54 * 2
    assert 'VOC/R/M3/512 seed 1: open' in log
    assert not list(tmp_path.iterdir())


def test_list_shows_every_table_and_its_needs(tmp_path, data_root):
    log = reproduce('list', cwd=tmp_path, data_root=data_root)
    for name in ('deep_lift/1', 'deep_lift/fig6', 'mixup_baseline/2', 'mixup_baseline/3'):
        assert f'  {name}  ' in log
    assert re.search(r'needs .*coco_mini \(there\)', log)
    assert re.search(r'needs weights resnet101\S* \((not )?there\)', log)


def test_list_of_one_table_shows_its_rows(tmp_path, done, data_root):
    log = reproduce('list', 'mixup_baseline/3', '--data', 'mini', cwd=done[0], data_root=data_root)
    assert re.search(r'COCO/R/DistrEn +mAP 82\.4  2 of 2 runs done', log)
    assert re.search(r'VOC/V/RLSD +mAP 87\.3  cited', log)
    assert re.search(r'COCO/V/ScaleEn +mAP 76\.5  one small backbone', log)


def test_a_table_of_what_the_test_measures(tmp_path, data_root):
    words = ('attention_consistency/2', '--rows', 'R50 on PA-100K', '--data', 'mini', *QUICK)
    with one_process():
        log = run_tool('reproduce', *words, cwd=tmp_path, PA100K_ROOT=str(data_root / 'pa100k'))
    folder = tmp_path / 'work_dirs/reproduce/mini/attention_consistency/5/R50/seed0'
    measured = json.loads((folder / 'figures.json').read_text())
    flip, scale = measured['inconsistency_flip'], measured['inconsistency_scale_96']
    assert f'| R50 on PA-100K | 1 | – → **{flip:.1f}** | – → **{scale:.1f}** |' in log
    # Trained without views, tested with them.
    trained, tested = (
        Config.fromfile(folder / f'given/{name}.py').model.objectives for name in ('config', 'test_config')
    )
    assert trained.consistency is None
    assert len(tested.consistency.views) == 3
    assert tested.consistency.measure


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['mixup_baseline/4'], "mixup_baseline has no table '4'"),
        (['mixup_baselin/2'], "no paper 'mixup_baselin'; did you mean 'mixup_baseline'?"),
        (['mixup_baseline/2', '--rows', 'VOC/R/M4/512'], "no row 'VOC/R/M4/512'; did you mean 'VOC/R/M"),
        (['mixup_baseline/2', '--seeds', '0'], 'seeds=0 must be a whole number at least 1'),
    ],
)
def test_what_does_not_exist(tmp_path, words, message):
    assert message in run_failing_tool('reproduce', *words, cwd=tmp_path)


# A teacher and a student that starts from its exported weights: plain classifiers, each an epoch of 11 small images.
HANDOVER = """
from mlic_mm.reproduction import Recipe, Row, Table
paper = dict(title='Handover', authors='Nobody', year=2024)
options = {'train_cfg.max_epochs': 1}
teacher = {'work_dirs/teacher': '1/first'}
student = dict(options=options | {'load_from': 'work_dirs/teacher/plain.pth'}, requires=teacher)
export = ['export_student.py work_dirs/teacher/epoch_7.pth --out work_dirs/teacher/plain.pth --force']
rows = [
    Row(name='student', recipe=Recipe('mine/config.py', setup=export, **student)),
    Row(name='lost', recipe=Recipe('mine/config.py', options, requires={'work_dirs/nobody': '1/first'})),
    Row(name='first', recipe=Recipe('mine/config.py', options)),
]
tables = [Table(name='1', title='', columns={'mAP': 'mAP'}, preset='mlgcn', rows=rows)]
"""


@pytest.fixture
def handover(tmp_path):
    """Make a run of a row of these tables."""
    config = write_config(tmp_path / 'configs/mine')
    config.rename(config.with_name('config.py'))
    config.with_name('tables.py').write_text(HANDOVER)
    paper = load_papers(tmp_path / 'configs')['mine']
    return lambda row, seed=0: Run(tmp_path / 'runs', paper, *paper.find(f'1/{row}'), 'full', seed)


BRING = """
import sys; from pathlib import Path
from unittest import mock
from mlic_mm.reproduction import load_papers
from mlic_mm.reproduction.run import Run
paper = load_papers(sys.argv[1] + '/configs')['mine']
Run(Path(sys.argv[1], 'runs'), paper, *paper.find('1/student'), 'full', 0).bring(None, 1)
"""


@pytest.fixture
def finished(handover, trained):
    """A run with all its files, which took no time."""
    run = handover('first')
    run.prepare(None, 1)
    for path in (trained / 'full').glob('*epoch*.pth'):
        shutil.copy(path, run.folder)
    ScoreDump(np.eye(4), np.eye(4), list('abcd'), [''] * 4, tuple('abcd')).save(run.scores)
    run.figures.write_text('{}')
    assert run.state == 'done'
    return run


@pytest.mark.parametrize('damage', ['scores cut', 'scores empty', 'figures cut', 'figures missing', 'no scores'])
def test_what_cannot_be_read_is_not_done(finished, damage):
    file = finished.figures if 'figures' in damage else finished.scores
    if damage in ('figures missing', 'no scores'):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: 300 if 'scores cut' in damage else 1 if 'figures' in damage else 0])
    (finished.folder / 'last_checkpoint').write_text('')  # as a kill while it was written leaves it
    assert finished.state == 'started'
    assert '--resume' in finished.commands(1)[0]


@pytest.mark.parametrize(('kept', 'state'), [(['epoch_2.pth'], 'started'), ([], 'open')])
def test_what_can_go_on(finished, kept, state):
    """A checkpoint that is cut short, or a pointer to it, is nothing to go on from."""
    finished.scores.unlink()
    (finished.folder / 'last_checkpoint').write_text(str(finished.folder / 'epoch_3.pth'))
    for path in finished.folder.glob('epoch_*.pth'):
        if path.name not in kept:
            path.write_bytes(path.read_bytes()[:1000])
    assert finished.state == state


@pytest.mark.process
def test_a_damaged_result_is_made_again(handover, capsys):
    run = handover('first')
    run.bring(None, 1)
    whole = ScoreDump.load(run.scores).scores
    run.scores.write_bytes(run.scores.read_bytes()[:500])
    (run.folder / 'last_checkpoint').write_text('')
    handover('first').bring(None, 1)
    assert 'first seed 0: goes on' in capsys.readouterr().out
    assert np.array_equal(ScoreDump.load(run.scores).scores, whole)
    assert (run.folder / 'scores_incomplete.npz').stat().st_size == 500


LONG = BRING.replace("'1/student'", "'1/first'").replace('.bring(None, 1)', ".bring({'train_cfg.max_epochs': 9999}, 1)")


@pytest.mark.process
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_does_not_leave_a_training_that_nobody_knows_of(handover, capsys, tmp_path, number):
    code = LONG.replace('\nRun(', '\nfrom mlic_mm.cli.command import command\ncommand(lambda _: Run(') + ')()'
    env = dict(os.environ, PYTHONPATH=str(REPO))
    process = subprocess.Popen(
        [sys.executable, '-c', code.replace('\n)()', ')()'), str(tmp_path)], env=env, start_new_session=True
    )
    run = handover('first')
    try:
        while not (run.log.exists() and 'Epoch(train)' in run.log.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        process.wait(90)
        with run.lock() as mine:
            assert mine == (number == signal.SIGTERM)
        if number == signal.SIGKILL:
            handover('first').bring(None, 1)
            assert 'first seed 0: another process is at it' in capsys.readouterr().out
            assert run.log.read_text().count('tools/train.py') == 1
        else:
            assert process.returncode == 128 + number
            assert 'To continue:' in run.log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.process
def test_what_a_row_needs_is_run_first_and_once(handover, capsys, tmp_path):
    """One process is at the teacher; another, asked for the student, waits for it and goes on with its result."""
    teacher, student = handover('first'), handover('student')
    with teacher.lock() as mine:
        assert mine
        handover('first').bring(None, 1)
        assert 'first seed 0: another process is at it' in capsys.readouterr().out
        command = [sys.executable, '-uc', BRING, str(tmp_path)]
        env = dict(os.environ, PYTHONPATH=str(REPO))
        other = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        said = (line for line in other.stdout if line.startswith('mine/'))
        assert next(said) == 'mine/1/first seed 0: waiting for another process to end with it\n'
        teacher.prepare(None, 1)
        teacher.execute(1)
    assert next(said).startswith('mine/1/student seed 0: starts')
    assert other.wait(400) == 0
    assert teacher.log.read_text().count('tools/train.py') == 1
    assert (teacher.folder / 'plain.pth').stat().st_size < (teacher.folder / 'epoch_1.pth').stat().st_size
    assert Config.fromfile(student.config).load_from == str(teacher.folder / 'plain.pth')
    log = student.log.read_text()
    assert f'export_student.py {teacher.folder}/epoch_1.pth --out {teacher.folder}/plain.pth --force' in log
    assert f'Load checkpoint from {teacher.folder}/plain.pth' in log
    before = (teacher.folder / 'plain.pth').stat()
    student.bring(None, 1)
    assert capsys.readouterr().out == 'mine/1/student seed 0: done\n'
    assert (teacher.folder / 'plain.pth').stat() == before


def test_commands_in_their_order(handover, capsys):
    show_plan([handover('student'), handover('first')], None, 1)
    out = capsys.readouterr().out
    assert re.findall(r'mine/1/(\w+) seed 0: open|tools/(\w+)\.py', out) == [
        *[('first', ''), ('', 'train'), ('', 'test')],
        *[('student', ''), ('', 'export_student'), ('', 'train'), ('', 'test')],
    ]


def test_a_folder_that_nothing_names(handover):
    with pytest.raises(ValueError, match=r"'1/first', but neither configs/mine/config\.py nor .* 'work_dirs/nobody'"):
        handover('lost').bring(None, 1)


def test_a_failing_teacher_ends_its_student(handover):
    # The reason is the one line of the command that failed.
    with (
        one_process(),
        pytest.raises(ValueError, match=r'mine/1/first seed 0 failed with exit status 2: .*; all output: .*log\.txt'),
    ):
        handover('student').bring({'model.head.in_channels': 7}, 1)
    assert handover('student').state == 'open'


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('work_dirs/a', '/runs/a'),
        ('work_dirs/a/cache', '/runs/a/cache'),
        ('work_dirs/a/a.py', '/runs/a/given/config.py'),
        ('work_dirs/a/epoch_20.pth', '/runs/a/epoch_2.pth'),
        ('tool.py work_dirs/a/a.py work_dirs/a/epoch_9.pth --out work_dirs/a', None),
        ('work_dirs/ab/epoch_20.pth', 'work_dirs/ab/epoch_20.pth'),
        ('work_dirs/a-b', 'work_dirs/a-b'),
        ('old/work_dirs/a', 'old/work_dirs/a'),
        ('work_dirs/a/best_mAP_epoch_3.pth', '/runs/a/best_mAP_epoch_3.pth'),
    ],
)
def test_folders_of_other_rows_are_replaced(text, expected):
    places = {'work_dirs/a': Place(*map(Path, ('/runs/a', '/runs/a/given/config.py', '/runs/a/epoch_2.pth')))}
    expected = expected or 'tool.py /runs/a/given/config.py /runs/a/epoch_2.pth --out /runs/a'
    assert hand_over(dict(x=[(text, 1)]), places) == dict(x=[(expected, 1)])
