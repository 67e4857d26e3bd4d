import csv
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from run_tool import call_tool

from mlic_mm.apis.label_graph import centered
from mlic_mm.label_graphs.data import LabelGraphData

pytestmark = pytest.mark.integration

REPO = Path(__file__).resolve().parents[2]
NAMES = ['dog', 'cat', 'cell phone']  # neither alphabetical nor by frequency
LABELS = [[0, 1], [0, 1, 2], [1], [0]]
DATASET = (
    "dict(type='MultiLabelDataset', ann_file={ann!r}, serialize_data=False, pipeline=[dict(type='LoadImageFromFile')])"
)


def build(*words: object) -> None:
    call_tool('build_label_graph', *words)


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """An empty working folder with a small annotation file and word vectors; no image exists."""
    monkeypatch.chdir(tmp_path)
    annotate(tmp_path / 'train.json', LABELS)
    (tmp_path / 'vectors.txt').write_text('dog 1 0 0\ncat 0 1 0\ncell 0 0 1\nphone 0 0 3\n')
    return tmp_path


def annotate(path: Path, labels: list[list[int]], names: list[str] = NAMES) -> str:
    samples = [{'img_path': f'{i}.jpg', 'gt_label': row} for i, row in enumerate(labels)]
    path.write_text(json.dumps({'metainfo': {'classes': names}, 'data_list': samples}))
    return str(path)


def config(folder: Path, dataset: str | None = None, model: str = '', name: str = 'my_config.py') -> str:
    dataset = dataset or DATASET.format(ann=str(folder / 'train.json'))
    (folder / name).write_text(f"default_scope = 'mmpretrain'\ntrain_dataloader = dict(dataset={dataset})\n{model}\n")
    return str(folder / name)


def check_counts(graph: LabelGraphData, times: int = 1) -> None:
    """Worked by hand from LABELS."""
    assert graph.classes == tuple(NAMES)
    assert graph.num_images == 4 * times
    assert graph.counts.tolist() == [3 * times, 3 * times, times]
    assert graph.cooccurrence.toarray().tolist() == [[0, 2 * times, times], [2 * times, 0, times], [times, times, 0]]


@pytest.mark.parametrize('suffix', ['npz', 'json'])
def test_counts_embeddings_and_summary(work, capsys, suffix):
    out = work / 'made' / f'g.{suffix}'
    build(config(work), '--out', str(out), '--threshold', '0.7', '--word-vectors', 'vectors.txt')
    graph = LabelGraphData.load(out)
    check_counts(graph)
    assert graph.threshold == 0.7
    assert graph.edges().T.tolist() == [[2, 0], [2, 1]]
    assert graph.embeddings.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 2]]
    printed = capsys.readouterr().out
    assert '3 labels in 4 images, 2 edges at P(j given i) ≥ 0.7, word vectors: 3-d' in printed
    assert 'labels without an edge: 0' in printed
    assert 'cell phone → dog: 1.00 (1 of 1)' in printed
    assert printed.index('cell phone → dog') < printed.index('dog → cat: 0.67 (2 of 3)')


def test_centering_leaves_what_differs():
    vectors = np.array([[3.0, 4.0], [5.0, 4.0]])  # mean (4, 4), rests (∓1, 0), mean length (5 + √41) / 2
    length = (5 + 41**0.5) / 2
    np.testing.assert_allclose(centered(vectors), [[-length, 0], [length, 0]])
    with pytest.raises(ValueError, match='same word vector'):
        centered(np.ones((3, 2)))


def test_writes_where_the_model_looks(work):
    model = "model = dict(head=dict(label_graph=dict(graph='data/label_graphs/mine.npz')))"
    build(config(work, model=model))
    check_counts(LabelGraphData.load('data/label_graphs/mine.npz'))
    build(config(work))
    check_counts(LabelGraphData.load('data/label_graphs/my_config.npz'))


def test_an_existing_file_is_kept_unless_forced(work):
    path = config(work)
    build(path, '--out', 'g.npz')
    before = Path('g.npz').read_bytes()
    with pytest.raises(SystemExit, match=r'g\.npz exists and is kept; --force replaces it'):
        build(path, '--out', 'g.npz', '--threshold', '0.9')
    assert Path('g.npz').read_bytes() == before
    build(path, '--out', 'g.npz', '--threshold', '0.9', '--force')
    assert LabelGraphData.load('g.npz').threshold == 0.9


@pytest.mark.parametrize(
    ('wrapper', 'times'),
    [
        ("dict(type='RepeatDataset', times=5, dataset={one})", 1),
        ("dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset={one})", 1),
        ("dict(type='ConcatDataset', datasets=[{one}, {one}])", 2),
        ("dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=({one}, {one}, {one})))", 3),
    ],
)
def test_wrappers_count_every_image_once(work, wrapper, times):
    one = DATASET.format(ann=str(work / 'train.json'))
    build(config(work, wrapper.format(one=one)), '--out', 'g.npz')
    check_counts(LabelGraphData.load('g.npz'), times)


def test_fold_and_subset_are_respected(work):
    one = DATASET.format(ann=str(work / 'train.json'))
    fold = f"dict(type='KFoldDataset', num_splits=2, fold=0, seed=None, dataset={one})"
    build(config(work, fold), '--out', 'g.npz')
    assert LabelGraphData.load('g.npz').counts.tolist() == [1, 1, 0]  # the last two images
    build(config(work), '--out', 'h.npz', '--cfg-options', 'train_dataloader.dataset.indices=2')
    assert LabelGraphData.load('h.npz').counts.tolist() == [2, 2, 1]


def test_concatenated_data_sets_must_agree_on_names(work):
    two = [
        DATASET.format(ann=annotate(work / f'{i}.json', LABELS, names))
        for i, names in enumerate((NAMES, ['dog', 'cat', 'cow']))
    ]
    # mmengine compares all of the metainfo unless told to ignore a key, and then nobody would notice.
    wrapper = f"dict(type='ConcatDataset', ignore_keys='classes', datasets=[{', '.join(two)}])"
    with pytest.raises(SystemExit, match=r"index 2: .* 'cow' where .* 'cell phone'"):
        build(config(work, wrapper), '--out', 'g.npz')
    assert not Path('g.npz').exists()


def test_ignored_targets_count_as_absent(work):
    """gt_score is preferred to gt_label, and −1 in it is no label."""
    (work / 'scored.py').write_text(
        'import numpy as np\n'
        'from mmpretrain.datasets import MultiLabelDataset\n'
        'from mlic_mm.registry import DATASETS\n\n\n'
        '@DATASETS.register_module(force=True)\nclass Scored(MultiLabelDataset):\n'
        '    def get_data_info(self, idx):\n'
        '        info = super().get_data_info(idx)\n'
        '        info["gt_score"] = np.array([[1, 0, -1], [-1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=np.float32)[idx]\n'
        '        return info\n'
    )
    dataset = DATASET.format(ann=str(work / 'train.json')).replace('MultiLabelDataset', 'mlic_mm.Scored')
    path = config(work, dataset, "custom_imports = dict(imports=['scored'])")
    sys.path.insert(0, str(work))
    try:
        build(path, '--out', 'g.npz')
    finally:
        sys.path.remove(str(work))
    graph = LabelGraphData.load('g.npz')
    assert graph.counts.tolist() == [2, 2, 1]
    assert graph.cooccurrence.toarray().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_names_that_would_steer_the_terminal(work, capsys):
    names = ['\x1b[2Jdog', 'cat', 'phone\x07']
    build(config(work, DATASET.format(ann=annotate(work / 'train.json', [[0, 1]], names))), '--out', 'g.npz')
    text = capsys.readouterr().out
    assert r'labels never seen: 1 (phone\x07)' in text
    assert r'\x1b[2Jdog → cat: 1.00' in text
    assert LabelGraphData.load('g.npz').classes == tuple(names)


@pytest.mark.parametrize('more', [[], ['--word-vectors', 'vectors.txt']])
@pytest.mark.parametrize(
    ('alias', 'cure'), [('Dogs', "; did you mean 'dog'"), ('foo', '; choose from dog, cat, cell phone')]
)
def test_alias_of_no_label(work, more, alias, cure):
    with pytest.raises(SystemExit, match=f"--alias {alias}=bar: there is no label '{alias}'{cure}"):
        build(config(work), '--out', 'g.npz', '--alias', f'{alias}=bar', *more)
    assert not Path('g.npz').exists()


def test_unknown_word_alias_and_random(work, capsys):
    path = config(work, DATASET.format(ann=annotate(work / 'train.json', LABELS, ['dog', 'cat', 'pheasant'])))
    arguments = [path, '--out', 'g.npz', '--word-vectors', 'vectors.txt']
    with pytest.raises(SystemExit, match=r"'pheasant' of label 'pheasant' is not in vectors\.txt"):
        build(*arguments)
    assert not Path('g.npz').exists()
    build(*arguments, '--alias', 'pheasant=dog cat')
    assert LabelGraphData.load('g.npz').embeddings[2].tolist() == [0.5, 0.5, 0]
    build(*arguments, '--on-missing', 'random', '--force')
    assert np.abs(LabelGraphData.load('g.npz').embeddings[2]).min() > 0


def mlgcn_pickle(path: Path, names: list[str], protocol: int = 2) -> None:
    """The counts of LABELS as ML-GCN stores them, rows in the order of ``names``."""
    order = [NAMES.index(name) for name in names]
    together = np.array([[0, 2, 1], [2, 0, 1], [1, 1, 0]])[np.ix_(order, order)]
    content = {'adj': together.astype(np.float64), 'nums': np.array([3, 3, 1])[order]}
    path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.mark.parametrize('protocol', [2, 4])
def test_pickle_in_alphabetical_order(work, capsys, protocol):
    mlgcn_pickle(work / 'adj.pkl', sorted(NAMES), protocol)
    vectors = np.arange(6, dtype=np.float64).reshape(3, 2)  # cat, cell phone, dog
    (work / 'words.pkl').write_bytes(pickle.dumps(vectors, protocol=protocol))
    arguments = [config(work), '--from-pickle', 'adj.pkl', '--classes-order', 'alphabetical', '--out', 'g.npz']
    build(*arguments, '--word-vectors', 'words.pkl')
    graph = LabelGraphData.load('g.npz')
    assert graph.classes == tuple(NAMES)
    assert graph.counts.tolist() == [3, 3, 1]
    assert graph.cooccurrence.toarray().tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    assert graph.num_images == 0
    assert graph.embeddings.tolist() == [[4, 5], [0, 1], [2, 3]]
    captured = capsys.readouterr()
    assert 'an unknown number of images' in captured.out
    assert 'warning' not in captured.err


def test_wrong_order_is_noticed(work, capsys):
    """Alphabetical rows read as data set order: the counts sit on other labels than in the training data."""
    mlgcn_pickle(work / 'adj.pkl', sorted(NAMES))
    build(config(work), '--from-pickle', 'adj.pkl', '--classes-order', 'dataset', '--out', 'g.npz')
    assert 'are its rows in another order?' in capsys.readouterr().err


@pytest.mark.parametrize('listing', ['names.txt', 'names.json'])
def test_pickle_without_a_config(work, listing):
    names = ['cell phone', 'dog', 'cat']
    mlgcn_pickle(work / 'adj.pkl', names)
    (work / listing).write_text(json.dumps(names) if listing.endswith('json') else '\n'.join(names) + '\n')
    build('--from-pickle', 'adj.pkl', '--classes', listing, '--out', 'g.json', '--word-vectors', 'vectors.txt')
    graph = LabelGraphData.load('g.json')
    assert graph.classes == tuple(names)
    assert graph.counts.tolist() == [1, 3, 3]
    assert graph.edges().T.tolist() == [[0, 1], [0, 2], [1, 2], [2, 1]]
    assert graph.embeddings.tolist() == [[0, 0, 2], [1, 0, 0], [0, 1, 0]]


def test_counts_on_the_diagonal_are_understood(work):
    """Some codebases count a label with itself."""
    matrix = np.array([[3, 2, 1], [2, 3, 1], [1, 1, 1]])
    (work / 'adj.pkl').write_bytes(pickle.dumps({'adj': matrix, 'nums': [3, 3, 1]}))
    build(config(work), '--from-pickle', 'adj.pkl', '--classes-order', 'dataset', '--out', 'g.npz')
    assert LabelGraphData.load('g.npz').cooccurrence.diagonal().tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'adj': np.eye(3)}, "must hold a dict with 'adj' and 'nums', found dict with .'adj'."),
        (np.eye(3), "must hold a dict with 'adj' and 'nums', found ndarray"),
        ({'adj': np.zeros((2, 2)), 'nums': np.ones(2)}, r'adj \(2, 2\) and nums \(2,\), but 3 class names'),
        ({'adj': np.full((3, 3), 0.4), 'nums': np.ones(3)}, 'no co-occurrence matrix .*whole numbers, found 0.4'),
        ({'adj': np.eye(3, k=1), 'nums': np.ones(3)}, 'not symmetric'),
    ],
)
def test_other_pickles_are_refused(work, content, message):
    (work / 'adj.pkl').write_bytes(pickle.dumps(content))
    with pytest.raises(SystemExit, match=f'adj.pkl.*{message}'):
        build(config(work), '--from-pickle', 'adj.pkl', '--classes-order', 'dataset', '--out', 'g.npz')
    assert not Path('g.npz').exists()


class Writes:
    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return open, (self.target, 'w')


def test_pickle_that_carries_code_is_refused(work):
    (work / 'adj.pkl').write_bytes(pickle.dumps({'adj': np.zeros((3, 3)), 'nums': Writes(work / 'written')}))
    order = ['--classes-order', 'dataset', '--out', 'g.npz']
    for option in ('--from-pickle', '--word-vectors'):
        with pytest.raises(SystemExit, match=r'adj\.pkl was refused: it asks for .*open'):
            build(config(work), option, 'adj.pkl', *order)
    assert not (work / 'written').exists()


def test_rows_named_for_other_labels_are_refused(work):
    mlgcn_pickle(work / 'adj.pkl', NAMES)
    (work / 'names.txt').write_text('dog\ncat\ncow\n')
    with pytest.raises(SystemExit, match=r"'cell phone' is only in .*my_config\.py, names\.txt holds other names"):
        build(config(work), '--from-pickle', 'adj.pkl', '--classes', 'names.txt', '--out', 'g.npz')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--from-pickle, --classes and --out are needed'),
        (['CONFIG', '--from-pickle', 'adj.pkl'], 'say in which order its rows are'),
        (['CONFIG', '--word-vectors', 'words.pkl'], 'say in which order its rows are'),
        (['CONFIG', '--classes-order', 'alphabetical'], 'describe the rows of a pickle, and none is given'),
        (['CONFIG', '--alias', 'dog'], '--alias must read LABEL=WORDS'),
    ],
)
def test_incomplete_command_lines(capsys, arguments, message):
    with pytest.raises(SystemExit):
        build(*arguments)
    assert message in capsys.readouterr().err


def test_user_errors_come_without_traceback(work):
    with pytest.raises(SystemExit, match=r'out=g\.txt must end in \.npz, \.json'):
        build(config(work), '--out', 'g.txt')
    with pytest.raises(SystemExit, match=r'threshold=2\.0 must be a number above 0 and at most 1'):
        build(config(work), '--out', 'g.npz', '--threshold', '2')
    with pytest.raises(SystemExit, match=r'error: .*absent'):
        build(str(work / 'absent.py'), '--out', 'g.npz')
    empty = DATASET.format(ann=annotate(work / 'none.json', []))
    with pytest.raises(SystemExit, match=r'my_config\.py: the training data set is empty'):
        build(config(work, empty), '--out', 'g.npz')
    with pytest.raises(SystemExit, match=r'the training data set of .*my_config\.py cannot be read'):
        build(config(work, empty.replace('serialize_data=False', 'serialize_data=True')), '--out', 'g.npz')
    (work / 'test_only.py').write_text('test_dataloader = dict()')
    with pytest.raises(SystemExit, match=r'test_only\.py has no train_dataloader'):
        build(str(work / 'test_only.py'))


def voc(folder: Path, labels: dict[str, list[tuple[str, int]]]) -> Path:
    """Labels of images as a folder of VOC; an object has a name and whether it is difficult."""
    for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (folder / name).mkdir(parents=True)
    box = '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>'
    thing = f'<object><name>{{}}</name><difficult>{{}}</difficult>{box}</object>'
    for image, objects in labels.items():
        content = ''.join(thing.format(*one) for one in objects)
        (folder / 'Annotations' / f'{image}.xml').write_text(f'<annotation>{content}</annotation>')
    (folder / 'ImageSets/Main/trainval.txt').write_text('\n'.join(labels))
    return folder


@pytest.mark.parametrize('kind', ["'mlic_mm.VOCMultiLabel', difficult={!r}", "'mmpretrain.VOC'"])
def test_difficult_labels_are_left_out_whatever_training_does(work, capsys, kind):
    """Of cat twice, dog once and twice difficult alone, horse once beside a difficult one."""
    objects = {
        '1': [('cat', 0), ('dog', 1)],
        '2': [('cat', 0), ('dog', 0)],
        '3': [('dog', 1), ('horse', 1), ('horse', 0)],
    }
    root = voc(work / 'VOC2007', objects)
    for difficult in ('positive', 'ignore', 'negative'):
        path = config(work, f'dict(type={kind.format(difficult)}, data_root={str(root)!r}, split="trainval")')
        for option, counts, says in (
            ([], [2, 1, 1], 'counted: 4 labels; left out: 2 difficult, 0 ignored (-1)'),
            (
                ['--difficult', 'count'],
                [2, 3, 1],
                'counted: 6 labels, 2 difficult ones among them; left out: 0 ignored',
            ),
        ):
            build(path, '--out', 'g.npz', '--force', *option)
            graph = LabelGraphData.load('g.npz')
            assert [int(graph.counts[graph.classes.index(name)]) for name in ('cat', 'dog', 'horse')] == counts
            assert says in capsys.readouterr().out


def test_documented_command_of_the_voc_config(tmp_path, data_root, monkeypatch, capsys):
    """All 5,011 images with the official labels: the published graph has four edges at τ = 0.5."""
    with (data_root / 'voc2007_labels' / 'trainval.csv').open() as file:
        (_, *names), *rows = csv.reader(file)
    objects = {
        name: [(label, int(flag == '0')) for label, flag in zip(names, flags, strict=True) if flag != '-1']
        for name, *flags in rows
    }
    monkeypatch.setenv('VOC_ROOT', str(voc(tmp_path / 'VOC2007', objects)))
    monkeypatch.chdir(tmp_path)
    build(str(REPO / 'configs/deeplift_voc07.py'))
    graph = LabelGraphData.load('data/label_graphs/voc2007.npz')
    edges = {(graph.classes[i], graph.classes[j]) for i, j in graph.edges().T.tolist()}
    expected = {('bicycle', 'person'), ('bottle', 'person'), ('horse', 'person'), ('motorbike', 'person')}
    flags = np.array([row[1:] for row in rows]).astype(int) == 1
    assert len(edges) == 4
    assert edges == expected
    assert graph.counts.tolist() == flags.sum(0).tolist()
    together = flags.T.astype(int) @ flags  # worked with NumPy from the published table
    assert ((together / flags.sum(0)[:, None] >= 0.5).sum() - 20) == 4
    difficult = sum(flag == '0' for row in rows for flag in row[1:])
    assert f'counted: {flags.sum()} labels; left out: {difficult} difficult, 0 ignored' in capsys.readouterr().out
    build(str(REPO / 'configs/deeplift_voc07.py'), '--difficult', 'count', '--force')
    assert LabelGraphData.load('data/label_graphs/voc2007.npz').edges().shape[1] == 6


def test_real_voc_labels(work, data_root, capsys):
    """The official VOC07 training labels, difficult ones left out, with real 300-d vectors."""
    with (data_root / 'voc2007_labels' / 'trainval.csv').open() as file:
        header, *rows = csv.reader(file)
    labels = [[c for c, flag in enumerate(row[1:]) if flag == '1'] for row in rows]
    path = config(work, DATASET.format(ann=annotate(work / 'voc.json', labels, header[1:])))
    vectors = data_root / 'embeddings' / 'label_glove_300d.npz'
    build(path, '--out', 'voc.npz', '--word-vectors', f'{vectors}:voc')
    said = capsys.readouterr().out
    assert '20 labels in 5011 images, 4 edges at P(j given i) ≥ 0.5, word vectors: 300-d' in said
    assert 'horse → person' in said
    graph = LabelGraphData.load(work / 'voc.npz')
    assert graph.counts[14] == 2008
    np.testing.assert_array_equal(graph.embeddings, np.load(vectors)['voc'])
