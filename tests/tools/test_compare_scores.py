from pathlib import Path

import numpy as np
import pytest
from run_tool import call_tool

from mlic_mm.evaluation import ScoreDump

pytestmark = pytest.mark.integration

TARGETS = (np.random.default_rng(0).random((40, 3)) < 0.5).astype(np.int8)
IDS = np.array([f'{i:03}' for i in range(40)])


def dump(path: Path, noise: float, ids=IDS, targets=TARGETS, classes=('a', 'b', 'c')) -> str:
    scores = targets + noise * np.random.default_rng(1).normal(size=targets.shape)
    return str(ScoreDump(scores, targets, ids, ids, classes).save(path))


def test_images_are_matched_by_id_and_classes_by_name(tmp_path, capsys):
    a = dump(tmp_path / 'a.npz', 1.0)
    shuffled = np.random.default_rng(2).permutation(40)
    full = ScoreDump.load(a)
    rows, columns = np.ix_(shuffled, [2, 0, 1]), ('c', 'a', 'b')
    other = ScoreDump(full.scores[rows], TARGETS[rows], IDS[shuffled], IDS[shuffled], columns)
    b = str(other.save(tmp_path / 'b.npz'))
    call_tool('compare_scores', '--a', a, '--b', b, '--resamples', '100')
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('mAP'))
    assert line.endswith('+0.00  [+0.00, +0.00]')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(ids=np.array([*IDS[:-1], '999'])), r'b\.npz .* lacks 1 image \(039\) and has besides 1 image \(999\)'),
        (dict(ids=np.array([*IDS[:-1], '000'])), r"b\.npz holds image '000' twice"),
        (dict(targets=1 - TARGETS), 'labels of the same images: image 000'),
        (dict(classes=('a', 'b', 'd')), r"label 'c' is only in .*a\.npz"),
    ],
)
def test_other_images_labels_or_classes_are_refused(tmp_path, change, message):
    a, b = dump(tmp_path / 'a.npz', 1.0), dump(tmp_path / 'b.npz', 1.0, **change)
    with pytest.raises(SystemExit, match=message):
        call_tool('compare_scores', '--a', a, '--b', b)


def test_plot_of_the_gains_is_written_once(tmp_path, capsys):
    a, b = dump(tmp_path / 'a.npz', 1.0), dump(tmp_path / 'b.npz', 0.1)
    plot = tmp_path / 'new' / 'gains.svg'
    words = ['--a', a, '--b', b, '--resamples', '100', '--plot', str(plot)]
    call_tool('compare_scores', *words)
    assert capsys.readouterr().out.endswith(f'plot: {plot}\n')
    first = plot.read_bytes()
    assert first.startswith(b'<?xml')
    with pytest.raises(SystemExit, match=r'gains\.svg exists and is kept; --force'):
        call_tool('compare_scores', *words)
    call_tool('compare_scores', *words, '--force')
    assert plot.read_bytes() == first
    assert [entry.name for entry in plot.parent.iterdir()] == ['gains.svg']


def test_other_kinds_of_plot_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        call_tool('compare_scores', '--a', 'a.npz', '--b', 'b.npz', '--plot', str(tmp_path / 'gains.gif'))
    assert 'must end in .svg, .png, .pdf' in capsys.readouterr().err
