"""tools/fuse_scores.py: what it prints, writes and refuses, with our dumps and with mmengine's."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from run_tool import call_tool, run_tool
from tiny_run import write_config

from mlic_mm.evaluation import ScoreDump, ScoreFiles, evaluate_scores, fuse_scores
from mlic_mm.visualization import write_report

pytestmark = pytest.mark.integration

CLASSES = ('cat', 'dog', 'bird', 'p$x$')
TARGETS = (np.random.default_rng(0).random((60, 4)) < 0.3).astype(np.int8)
IDS = np.array([f'{i:03}' for i in range(60)])


def write(path: Path, seed: int, noise: float = 1.0, logits: bool = False, **changes: object) -> str:
    values = 3 * TARGETS - 2 + noise * np.random.default_rng(seed).normal(size=TARGETS.shape)
    parts = {
        'scores': values if logits else 1 / (1 + np.exp(-values)),
        'targets': TARGETS,
        'image_ids': IDS,
        'image_paths': IDS,
        'classes': CLASSES,
    }
    return str(ScoreDump(**{**parts, **changes}).save(path))


@pytest.fixture
def dumps(tmp_path: Path) -> list[str]:
    return [write(tmp_path / f'{name}.npz', seed) for seed, name in enumerate('abc')]


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        call_tool('fuse_scores', '--resamples', '0', *words)
    assert caught.value.code not in (0, None)
    return f'{caught.value.code}{caught.value}{capsys.readouterr().err}'


def test_prints_models_and_fusion_side_by_side(dumps: list[str], capsys: pytest.CaptureFixture) -> None:
    call_tool('fuse_scores', *dumps, '--weights', '2', '1', '1', '--preset', 'asl', '--resamples', '100')
    output = capsys.readouterr().out
    lines = [line.split() for line in output.splitlines()]
    scores = [ScoreDump.load(path).scores for path in dumps]
    rows = dict(zip([*dumps, 'fusion'], [*scores, fuse_scores(scores, [2, 1, 1])], strict=True))
    expected = {}
    for name, weight in zip(rows, ['0.500', '0.250', '0.250', None], strict=True):
        figures = evaluate_scores(rows[name], TARGETS, 'asl')
        expected[name] = figures['mAP']
        cells = [name, weight, *(f'{figures[key]:.2f}' for key in ('mAP', 'CF1', 'OF1'))]
        assert [cell for cell in cells if cell] in lines
    assert '100 resamples' in output
    for path in dumps:  # each is compared, and the interval holds the difference
        line = next(line for line in lines if line[:1] == [path] and line[1][0] in '+-')
        gain, low, high = (float(cell.strip('[],')) for cell in line[1:4])
        assert gain == pytest.approx(expected['fusion'] - expected[path], abs=0.006)
        assert low <= gain <= high


def test_options_of_the_protocol_reach_every_figure(dumps: list[str], capsys: pytest.CaptureFixture) -> None:
    words = ['--preset', 'asl', '--protocol', 'threshold=0.3', 'no_positives=skip', '--resamples', '100']
    call_tool('fuse_scores', *dumps, *words, '--figures', 'OF1', 'AUROC')
    output = capsys.readouterr().out
    assert 'preset asl, threshold=0.3, no_positives=skip' in output
    scores = [ScoreDump.load(path).scores for path in dumps]
    expected = [evaluate_scores(s, TARGETS, 'asl', threshold=0.3) for s in (*scores, fuse_scores(scores))]
    lines = [line.split() for line in output.splitlines()]
    for name, figures in zip([*dumps, 'fusion'], expected, strict=True):
        cells = [f'{figures["OF1"]:.2f}', f'{figures["AUROC"]:.2f}']
        assert any(line[:1] == [name] and line[-2:] == cells for line in lines)
    call_tool('compare_scores', '--a', dumps[0], '--b', dumps[1], '--figures', 'OF1', *words)
    output = capsys.readouterr().out
    assert 'preset asl, threshold=0.3, no_positives=skip' in output
    row = next(line.split() for line in output.splitlines() if line.startswith('OF1'))
    assert row[1:3] == [f'{figures["OF1"]:.2f}' for figures in expected[:2]]


def test_ids_that_repeat_across_folders_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """60 images in two folders, 30 ids; held-out ones with the same ids in a third folder."""
    ids, paths = np.tile(IDS[:30], 2), np.array([f'{"ab"[i // 30]}/{IDS[i % 30]}' for i in range(60)])
    names = [write(tmp_path / f'{i}.npz', i, image_ids=ids, image_paths=paths) for i in range(2)]
    call_tool('fuse_scores', *names, '--out', str(tmp_path / 'fused.npz'), '--resamples', '0')
    assert ScoreDump.load(tmp_path / 'fused.npz').image_ids.tolist() == paths.tolist()
    call_tool('compare_scores', '--a', names[0], '--b', names[1], '--resamples', '100')
    val, test = (
        [write(tmp_path / f'{part}{i}.npz', i, image_paths=np.char.add(f'{part}/', IDS)) for i in range(2)]
        for part in ('val', 'test')
    )
    capsys.readouterr()
    call_tool('fuse_scores', *test, '--tune', *val, '--resamples', '0')
    note = f'note: 60 ids, such as 000, are in {test[0]} and in {val[0]} with other paths (test/000, val/000)'
    assert note in capsys.readouterr().out


def test_many_models_are_compared_through_the_best(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    paths = [write(tmp_path / f'{seed}.npz', seed, noise=0.5 if seed == 4 else 2) for seed in range(9)]
    call_tool('fuse_scores', *paths, '--resamples', '100', '--figures', 'mAP')
    output = capsys.readouterr().out
    assert 'best single model' in output
    assert [line.split()[0] for line in output.splitlines() if '[' in line] == [paths[4]]


@pytest.mark.parametrize('mode', ['mean', 'rank', 'geometric'])
def test_written_dump_serves_the_other_tools(
    dumps: list[str], mode: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = str(tmp_path / 'new folder' / 'fused.npz')
    call_tool('fuse_scores', *dumps, '--mode', mode, '--out', out, '--resamples', '0')
    dump = ScoreDump.load(out)
    np.testing.assert_array_equal(dump.scores, fuse_scores([ScoreDump.load(path).scores for path in dumps], mode=mode))
    np.testing.assert_array_equal(dump.targets, TARGETS)
    assert (dump.image_ids.tolist(), dump.classes) == (IDS.tolist(), CLASSES)
    call_tool('compare_scores', '--a', dumps[0], '--b', out, '--resamples', '100')
    assert write_report(dump, tmp_path / 'report').is_file()
    call_tool('fuse_scores', dumps[0], out, '--mode', mode, '--resamples', '0')
    before = Path(out).read_bytes()
    assert f'{out} exists and is kept; --force replaces it' in refused(capsys, *dumps, '--out', out)
    assert Path(out).read_bytes() == before
    call_tool('fuse_scores', *dumps[:2], '--out', out, '--resamples', '0', '--force')
    assert Path(out).read_bytes() != before


def test_orders_of_images_and_classes_may_differ(dumps: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    turned = []
    for path in dumps:
        dump, rows, columns = ScoreDump.load(path), rng.permutation(60), rng.permutation(4)
        both, names = np.ix_(rows, columns), np.array(CLASSES)[columns]
        other = ScoreDump(dump.scores[both], dump.targets[both], IDS[rows], IDS[rows], tuple(names))
        turned.append(str(other.save(tmp_path / f'turned {Path(path).name}')))
    call_tool('fuse_scores', *dumps, '--out', str(tmp_path / '1.npz'), '--resamples', '0')
    call_tool('fuse_scores', dumps[0], *turned[1:], '--out', str(tmp_path / '2.npz'), '--resamples', '0')
    assert (tmp_path / '1.npz').read_bytes() == (tmp_path / '2.npz').read_bytes()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(image_ids=np.array([*IDS[:-1], '999'])), 'it lacks 1 image (059) and has besides 1 image (999)'),
        (dict(image_ids=np.array([*IDS[:-1], '000'])), "a.npz does not; test both models on the same images"),
        (dict(classes=('cat', 'dog', 'bird', 'cow')), "label 'p$x$' is only in "),
        (dict(classes=('cat', 'dog', 'bird', 'bird')), "bad.npz holds class 'bird' twice"),
        (dict(targets=1 - TARGETS), 'disagree about the labels of the same images: image 000'),
        (dict(scores=np.where(np.arange(240).reshape(60, 4) == 42, np.nan, 0.5)), "image 010, class 'bird' is nan"),
        (dict(image_ids=np.array([*IDS[:-1], '\x1b[2J'])), r'has besides 1 image (\x1b[2J)'),
        (dict(logits=True), 'bad.npz scores outside [0, 1]'),
    ],
)  # fmt: skip
def test_mismatches_are_named(dumps: list[str], tmp_path: Path, changes: dict, message: str, capsys) -> None:
    bad = write(tmp_path / 'bad.npz', 5, **changes)
    output = refused(capsys, *dumps, bad, '--out', str(tmp_path / 'fused.npz'))
    assert message in output
    assert 'bad.npz' in output
    assert not (tmp_path / 'fused.npz').exists()


def test_one_sample_missing_is_named(dumps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    dump = ScoreDump.load(dumps[1])
    rows = np.delete(np.arange(60), 17)
    short = ScoreDump(dump.scores[rows], dump.targets[rows], IDS[rows], IDS[rows], CLASSES).save(tmp_path / 'short.npz')
    assert f'short.npz holds different images than {dumps[0]}: it lacks 1 image (017);' in refused(
        capsys, dumps[0], str(short)
    )
    assert f'{dumps[0]} holds different images than {short}: it has besides 1 image (017);' in refused(
        capsys, str(short), dumps[0]
    )


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--weights', '1', '2'], '2 weights for 3 members'),
        (['--weights', '1', '2', '-1'], 'weights[2]=-1 must be finite'),
        (['--weights', '1', 'nan', '1'], 'weights[1]=nan must be finite'),
        (['--weights', '0', '0', '0'], 'all weights are 0'),
        (['--weights', '1', '1', 'x'], 'invalid float value'),
        (['--out', 'fused.pkl'], 'name the file fused.npz'),
        (['--plot', 'gain.gif'], 'must end in .svg, .png, .pdf'),
        (['--figures', 'XX'], "unknown metric 'XX'; preset mlgcn gives mAP"),
        (['--figures', 'XX', '--protocol', 'topk=1'], "unknown metric 'XX'; preset mlgcn, topk=1 gives mAP"),
        (['--preset', 'mlgnc'], "did you mean 'mlgcn'?"),
        (['--protocol', 'threshold=nan'], "threshold='nan' must be a number"),
        (['--resamples', '20'], 'resamples=20 must be at least 100, or 0'),
        (['--resamples', '-1'], 'resamples=-1 must be at least 100, or 0'),
        (['--protocol', 'topk'], 'write OPTION=VALUE'),
        (['--tune', 'a.npz'], '--tune needs one held-out dump per model: 1 for 3'),
        (['--classes', 'names.txt'], '--classes names the classes of pickles'),
        (['none.npz'], 'no score file at none.npz'),
    ],
)
def test_bad_options(dumps: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert message in refused(capsys, *dumps, *words)


def test_same_file_twice_and_logits_in_a_geometric_mean(dumps: list[str], tmp_path: Path, capsys) -> None:
    assert 'are one file' in refused(capsys, dumps[0], dumps[0])
    logits = [write(tmp_path / f'logits{i}.npz', i, logits=True) for i in range(2)]
    assert 'not logits' in refused(capsys, *logits, '--mode', 'geometric')
    call_tool('fuse_scores', *logits, '--resamples', '0')
    call_tool('fuse_scores', dumps[0], logits[1], '--mode', 'rank', '--resamples', '0')


def held_out(folder: Path, seeds: range, noises: list[float], prefix: str) -> list[str]:
    ids = np.array([f'{prefix}{i}' for i in range(60)])
    return [
        write(folder / f'{prefix}{seed}.npz', seed, noise, image_ids=ids)
        for seed, noise in zip(seeds, noises, strict=True)
    ]


@pytest.mark.parametrize('mode', ['mean', 'rank', 'geometric'])
def test_weights_are_tuned_on_held_out_images(tmp_path: Path, mode: str, capsys: pytest.CaptureFixture) -> None:
    noises = [1, 1, 40]
    test = held_out(tmp_path, range(3), noises, 'test')
    val = held_out(tmp_path, range(10, 13), noises, 'val')
    common = ['--mode', mode, '--resamples', '0', '--out']
    call_tool('fuse_scores', *test, '--tune', *val, *common, str(tmp_path / '1.npz'))
    output = capsys.readouterr().out
    weights = next(line for line in output.splitlines() if line.startswith('--weights ')).split()
    assert float(weights[3]) < 0.1 < float(weights[1])
    call_tool('fuse_scores', *test, *weights, *common, str(tmp_path / '2.npz'))
    first, second = (ScoreDump.load(tmp_path / f'{i}.npz').scores for i in (1, 2))
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_tuning_on_the_images_that_are_fused_is_refused(dumps: list[str], tmp_path: Path, capsys) -> None:
    assert f'{dumps[0]} is not held out: 60 of its images, such as 000, are in {dumps[0]}' in refused(
        capsys, *dumps, '--tune', *dumps
    )
    one = np.array([*(f'v{i}' for i in range(59)), '007'])
    val = [write(tmp_path / f'v{i}.npz', i, image_ids=one) for i in range(3)]
    assert f'{val[0]} is not held out: 1 of its images, such as 007, are in' in refused(capsys, *dumps, '--tune', *val)
    other = [write(tmp_path / f'o{i}.npz', i, image_ids=np.char.add('o', IDS), classes='abcd') for i in range(3)]
    assert "label 'cat' is only in" in refused(capsys, *dumps, '--tune', *other)


def test_names_that_no_plot_can_hold(tmp_path: Path) -> None:
    names = ('$\\frac{a}{b}$ $', 'bell\x07', 'half\ud800', '--><script>')
    dumps = [write(tmp_path / f'{i}.npz', i, classes=names) for i in range(2)]
    call_tool('fuse_scores', *dumps, '--plot', str(tmp_path / 'fuse.svg'), '--resamples', '0')
    call_tool(
        'compare_scores',
        '--a',
        dumps[0],
        '--b',
        dumps[1],
        '--plot',
        str(tmp_path / 'compare.svg'),
        '--resamples',
        '100',
    )
    for plot in ('fuse.svg', 'compare.svg'):
        text = (tmp_path / plot).read_text(encoding='utf-8')
        assert ElementTree.fromstring(text).tag.endswith('svg')
        assert 'bell\\x07' in text
        assert 'half\\ud800' in text


def test_unreadable_class_names_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, content in (('a.txt', b'caf\xe9'), ('b.json', b'[' * 100_000), ('c.json', b'{"a": 1}')):
        (tmp_path / name).write_bytes(content)
        assert name in refused(capsys, 'x.pkl', '--classes', str(tmp_path / name))


@pytest.mark.parametrize('suffix', ['svg', 'png', 'pdf'])
def test_plot_of_the_gain(dumps: list[str], tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture) -> None:
    targets = TARGETS.copy()
    targets[:, 1] = 0  # a class without positives has no bar
    dumps = [write(tmp_path / f'p{i}.npz', i, targets=targets) for i in range(2)]
    plot = tmp_path / 'plots' / f'gain.{suffix}'
    call_tool('fuse_scores', *dumps, '--plot', str(plot), '--resamples', '0')
    assert [file.name for file in plot.parent.iterdir()] == [plot.name]
    if suffix == 'svg':
        text = plot.read_text()
        assert all(f'<!-- {name} (' in text for name in ('cat', 'bird', 'p$x$'))
        assert '<!-- dog' not in text
        assert 'exists and is kept' in refused(capsys, *dumps, '--plot', str(plot))
    elif suffix == 'png':
        assert np.asarray(Image.open(plot).convert('L')).std() > 10


DUMP_BOTH = """
test_evaluator = [
    dict(type='mmengine.DumpResults', out_file_path='res.pkl'),
    dict(type='mlic_mm.DumpScores', out_file='own.npz'),
]
"""


def test_result_pickle_of_a_real_run(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = write_config(tmp_path / 'data', extra=DUMP_BOTH)
    run_tool('test', config, trained / 'full/epoch_3.pth', '--no-report', cwd=tmp_path)
    own, pickled = str(tmp_path / 'own.npz'), str(tmp_path / 'res.pkl')
    expected = ScoreDump.load(own)
    call_tool('fuse_scores', own, pickled, '--out', str(tmp_path / 'fused.npz'), '--resamples', '0')
    np.testing.assert_array_equal(ScoreDump.load(tmp_path / 'fused.npz').scores, expected.scores)
    assert 'holds no class names' in refused(capsys, pickled)
    (tmp_path / 'names.txt').write_text('\n'.join(expected.classes) + '\n')
    call_tool(
        'fuse_scores',
        pickled,
        '--classes',
        str(tmp_path / 'names.txt'),
        '--out',
        str(tmp_path / 'as.npz'),
        '--resamples',
        '0',
    )
    assert (tmp_path / 'as.npz').read_bytes() == Path(own).read_bytes()
    assert len(ScoreFiles([tmp_path / 'as.npz', own])) == 2
