import subprocess
import sys
from pathlib import Path

import pytest

from mlic_mm.visualization.report.__main__ import main

REPO = Path(__file__).resolve().parents[3]


def test_rebuilds_the_page_from_a_dump(tmp_path: Path, make_dump, capsys) -> None:
    scores = make_dump(12, ('a', 'b', 'c'), tmp_path).save(tmp_path / 'scores.npz')
    (tmp_path / 'scalars.json').write_text('{"loss": 1, "step": 1}\n')
    options = [
        '--preset',
        'q2l',
        '--scalars',
        str(tmp_path / 'scalars.json'),
        '--title',
        'Three',
        '--num-mistakes',
        '2',
        '--protocol',
        'threshold=0.6',
        'class_f1=mean',
    ]
    assert main([str(scores), '--out', str(tmp_path / 'out'), *options]) == 0
    page = tmp_path / 'out/index.html'
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text()
    assert '<h1>Three</h1>' in text
    assert 'preset <b>q2l, threshold=0.6, class_f1=mean</b>' in text
    assert text.count('is only named by the scores') == 2
    assert 'id="chart-loss"' in text
    assert text.count('<li class="panel">') == 2
    assert main([str(scores), '--out', str(tmp_path / 'out'), *options, '--images', str(tmp_path)]) == 0
    assert page.read_text().count('data:image/jpeg') == 2


def test_errors_of_the_user_end_with_a_message(tmp_path: Path, make_dump, capsys) -> None:
    scores = make_dump(3, ('a', 'b')).save(tmp_path / 'scores.npz')
    for words, message in (
        ([tmp_path / 'none.npz'], 'none.npz'),
        ([scores, '--scalars', tmp_path / 'none.json'], 'none.json'),
        ([scores, '--images', tmp_path / 'none'], "none' must be a folder"),
        ([scores, '--preset', 'mlgnc'], "did you mean 'mlgcn'?"),
        ([scores, '--protocol', 'treshold=0.3'], "did you mean 'threshold'?"),
        ([scores, '--protocol', 'threshold'], 'write OPTION=VALUE'),
        ([scores, '--protocol', 'topk=0.5'], 'topk=0.5 must be a whole number at least 1'),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, words), '--out', str(tmp_path)])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'index.html').exists()


@pytest.mark.process
def test_runs_as_a_module(tmp_path: Path) -> None:
    command = [
        sys.executable,
        '-m',
        'mlic_mm.visualization.report',
        str(tmp_path / 'none.npz'),
        '--out',
        str(tmp_path),
    ]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert 'error: ' in run.stderr
    assert 'none.npz' in run.stderr
    assert 'Traceback' not in run.stderr
    assert 'RuntimeWarning' not in run.stderr
