"""The table that puts our figures beside the paper's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlic_mm.evaluation import ScoreDump, evaluate_scores
from mlic_mm.evaluation.functional import bootstrap_interval
from mlic_mm.reproduction import Paper, Row, Table
from mlic_mm.reproduction.page import Difference, Outcome, cell, write_table
from mlic_mm.reproduction.table_figures import Figure, RowFigures

COLUMNS = {'mAP': 'mAP', 'F1': 'OF1'}


def dump(seed: int, num_images: int = 60, classes: tuple[str, ...] = ('cat', 'dog', 'sofa')) -> ScoreDump:
    """Targets are the same for every seed."""
    targets = (np.random.default_rng(99).random((num_images, len(classes))) < 0.4).astype(np.int8)
    scores = np.random.default_rng(seed).random(targets.shape) * 0.7 + targets * 0.3
    ids = [str(i) for i in range(num_images)]
    return ScoreDump(scores, targets, ids, [''] * num_images, classes)


def test_figures_are_the_mean_over_seeds():
    runs = [dump(0), dump(1), dump(2)]
    each = [evaluate_scores(run.scores, run.targets, 'mlgcn')['mAP'] for run in runs]
    found = RowFigures(runs, COLUMNS, 'mlgcn', 200).figures['mAP']
    assert found.mean == pytest.approx(np.mean(each))
    assert found.spread == pytest.approx(np.std(each, ddof=1))
    assert found.low < found.mean < found.high
    assert math.isnan(RowFigures(runs[:1], COLUMNS, 'mlgcn', 200).figures['mAP'].spread)


def test_average_precisions_of_classes_are_columns_too():
    run = dump(0)
    found = RowFigures([run], {'dog': 'AP/dog', 'mAP': 'mAP'}, 'mlgcn', 100).figures
    expected = evaluate_scores(run.scores, run.targets, 'mlgcn', per_class=True)['per_class']['AP'][1]
    assert found['dog'].mean == pytest.approx(expected)


def test_a_row_does_not_differ_from_itself():
    difference = RowFigures([dump(0)], COLUMNS, 'mlgcn', 100).minus(RowFigures([dump(0)], COLUMNS, 'mlgcn', 100))
    assert all(value == 0 for figure in difference.values() for value in (figure.mean, figure.low, figure.high))


def test_paired_intervals_are_narrower_than_those_of_unrelated_models():
    better = dump(0)
    worse = ScoreDump(
        better.scores * 0.9 + 0.1 * dump(5).scores, better.targets, better.image_ids, better.image_paths, better.classes
    )
    row = RowFigures([better], COLUMNS, 'mlgcn', 200)
    paired = row.minus(RowFigures([worse], COLUMNS, 'mlgcn', 200))['mAP']
    single = row.figures['mAP']
    assert paired.high - paired.low < single.high - single.low


def test_runs_of_different_images_are_an_error():
    with pytest.raises(ValueError, match='different images'):
        RowFigures([dump(0), dump(1, num_images=50)], COLUMNS, 'mlgcn', 100)
    with pytest.raises(ValueError, match="no figure 'XF1': the protocol mlgcn gives mAP"):
        RowFigures([dump(0)], {'x': 'XF1'}, 'mlgcn', 100)
    with pytest.raises(ValueError, match='num_resamples=99 must be a whole number at least 100'):
        RowFigures([dump(0)], COLUMNS, 'mlgcn', 99)


@pytest.mark.parametrize(
    'other', [([dump(1, num_images=50)], COLUMNS, 100), ([dump(1)], {'mAP': 'mAP'}, 100), ([dump(1)], COLUMNS, 101)]
)
def test_rows_that_have_no_difference(other):
    runs, columns, resamples = other
    with pytest.raises(ValueError, match='rows of different images, figures or numbers of resamples'):
        RowFigures([dump(0)], COLUMNS, 'mlgcn', 100).minus(RowFigures(runs, columns, 'mlgcn', resamples))


def test_a_row_drawn_once_gives_to_the_bit_what_drawing_each_pair_does():
    columns = COLUMNS | {'sofa': 'AP/sofa'}
    groups = [[dump(0), dump(1), dump(2)], [dump(3), dump(4), dump(5)]]

    def values(runs, rows):
        found = []
        for run in runs:
            result = evaluate_scores(
                run.scores[rows], run.targets[rows], 'liu', per_class=True, classes=('cat', 'dog', 'sofa')
            )
            found.append([result['mAP'], result['OF1'], result['per_class']['AP'][2]])
        return np.mean(found, axis=0)

    def difference(rows):
        return values(groups[0], rows) - values(groups[1], rows)

    one, other = (RowFigures(runs, columns, 'liu', 100) for runs in groups)
    for found, figures in ((one.figures, lambda rows: values(groups[0], rows)), (one.minus(other), difference)):
        low, high = bootstrap_interval(figures, 60, 100)
        expected = list(zip(figures(slice(None)), low, high, strict=True))
        assert [(figure.mean, figure.low, figure.high) for figure in found.values()] == expected
    assert all(math.isnan(figure.spread) for figure in one.minus(other).values())


def test_cells_worked_by_hand():
    ours = Figure(84.06, 82.96, 85.11, 0.2)
    assert cell(93.4, ours) == {'published': '93.4', 'ours': '84.1', 'interval': '[83.0, 85.1]', 'difference': '−9.3'}
    assert cell(None, ours)['published'] == '–'
    assert cell(None, ours)['difference'] == ''
    assert cell(93.4, None) == {'published': '93.4', 'ours': '', 'interval': '', 'difference': ''}
    assert cell(80.0, Figure(82.0, 1, 2, 3))['difference'] == '+2.0'


@given(st.floats(0, 100), st.floats(0, 100))
def test_differences_have_a_sign(published, ours):
    assert cell(published, Figure(ours, 0, 100, 0))['difference'][0] in '+−'


@pytest.fixture
def written(tmp_path):
    rows = [Row(name='cited', published={'mAP': 50.0}), Row(name='<b>&ours', published={'mAP': 60.0}, fuse=['1/cited'])]
    rows.append(Row(name='open', published={'mAP': 70.0, 'F1': 71.0}, fuse=['1/cited']))
    table = Table(name='1', title='A | title', columns=COLUMNS, preset='mlgcn', rows=rows)
    paper = Paper('p', tmp_path, dict(title='T', authors='A & B', year=2000), {'1': table})
    outcomes = {
        'cited': Outcome(),
        '<b>&ours': Outcome({'mAP': Figure(61.24, 60, 62, 0), 'F1': Figure(50, 49, 51, 0)}, seeds=2),
        'open': Outcome(reason='not run yet'),
    }
    differences = [Difference('x', 'y', {'mAP': Figure(-1.0, -2.0, 0.5, math.nan), 'F1': Figure(0, 0, 0, math.nan)})]
    files = write_table(paper, table, outcomes, differences, tmp_path / 'out', warnings=['Small.'])
    return [file.read_text(encoding='utf-8') for file in files]


def test_markdown(written):
    lines = written[0].splitlines()
    assert '| cited | cited | 50.0 | – |' in lines
    assert '| <b>&ours | 2 | 60.0 → **61.2** [60.0, 62.0] +1.2 | – → **50.0** [49.0, 51.0] |' in lines
    assert '| open | not run yet | 70.0 | 71.0 |' in lines
    assert '| x − y | −1.0 [−2.0, +0.5] | +0.0 [+0.0, +0.0] |' in lines
    assert '**Small.**' in lines


def test_page_escapes_names(written):
    assert '&lt;b&gt;&amp;ours' in written[1]
    assert '<b>&ours' not in written[1]
    assert 'A &amp; B (2000)' in written[1]
    assert '<p class="warning">Small.</p>' in written[1]
    assert 'paper 60.0, +1.2' in written[1]
