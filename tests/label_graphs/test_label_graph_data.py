import csv
import gzip
import json
import pickle
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlic_mm.label_graphs import file_format
from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.label_graphs.word_vectors import open_word_vectors

NAMES = ('cat', 'dog', 'cell phone', 'Ærø')
# Four images: {cat, dog}, {cat, dog, phone}, {cat}, {dog, phone ignored}; nobody has seen Ærø.
TARGETS = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0, 1, -1, 0]])


@pytest.fixture
def graph() -> LabelGraphData:
    return LabelGraphData.from_targets(TARGETS, NAMES)


def same(a: LabelGraphData, b: LabelGraphData) -> None:
    assert a.cooccurrence.shape == b.cooccurrence.shape
    assert (a.classes, a.num_images, a.threshold) == (b.classes, b.num_images, b.threshold)
    np.testing.assert_array_equal(a.counts, b.counts)
    assert (a.cooccurrence != b.cooccurrence).nnz == 0
    np.testing.assert_array_equal(a.edges(), b.edges())
    assert (a.embeddings is None) == (b.embeddings is None)
    if a.embeddings is not None:
        np.testing.assert_array_equal(a.embeddings, b.embeddings)


def test_worked_by_hand(graph):
    assert graph.num_images == 4
    assert graph.counts.tolist() == [3, 3, 1, 0]
    assert graph.cooccurrence.toarray().tolist() == [[0, 2, 1, 0], [2, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    # P(dog|cat) = P(cat|dog) = 2/3, P(phone|cat) = P(phone|dog) = 1/3, P(cat|phone) = P(dog|phone) = 1.
    assert graph.edges().T.tolist() == [[0, 1], [1, 0], [2, 0], [2, 1]]
    assert graph.edges(0.7).T.tolist() == [[2, 0], [2, 1]]
    assert graph.edges(1 / 3).T.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert graph.adjacency.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert graph.counts.dtype == graph.cooccurrence.dtype == graph.edges().dtype == np.int64


def test_threshold_is_met_exactly():
    """7 of 100 is 0.07, although 0.07 · 100 > 7 in floating point."""
    targets = np.zeros((100, 2), dtype=int)
    targets[:, 0] = 1
    targets[:7, 1] = 1
    assert 0.07 * 100 > 7
    assert [0, 1] in LabelGraphData.from_targets(targets, ('a', 'b')).edges(0.07).T.tolist()


targets_of_any_size = st.tuples(st.integers(1, 12), st.integers(1, 7)).flatmap(
    lambda shape: hnp.arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1]))
)
thresholds = st.floats(0.01, 1)


@settings(deadline=None)
@given(targets_of_any_size, thresholds)
def test_agrees_with_dense_definition(targets, threshold):
    graph = LabelGraphData.from_targets(targets, [f'label {i}' for i in range(targets.shape[1])], threshold)
    present = targets == 1
    together = (present[:, :, None] & present[:, None, :]).sum(axis=0)  # (C, C)
    counts = present.sum(axis=0)
    edges = [
        [i, j]
        for i in range(len(counts))
        for j in range(len(counts))
        if i != j and together[i, j] and together[i, j] / counts[i] >= threshold
    ]
    assert graph.counts.tolist() == counts.tolist()
    np.testing.assert_array_equal(graph.cooccurrence.toarray(), together - np.diag(counts))
    assert graph.edges().T.tolist() == edges
    assert graph.adjacency.sum() == len(edges)
    same(graph, LabelGraphData.from_targets(sp.csr_array(targets), graph.classes, threshold))


@settings(deadline=None)
@given(targets_of_any_size, thresholds, st.randoms())
def test_permuting_labels_permutes_everything(targets, threshold, random):
    names = [f'label {i}' for i in range(targets.shape[1])]
    graph = replace(
        LabelGraphData.from_targets(targets, names, threshold), embeddings=np.arange(len(names))[:, None] + 0.5
    )
    order = list(range(len(names)))
    random.shuffle(order)
    permuted = LabelGraphData.from_targets(targets[:, order], [names[i] for i in order], threshold)
    permuted = replace(permuted, embeddings=np.array(order)[:, None] + 0.5)
    same(graph.reordered(permuted.classes), permuted)
    same(graph.reordered(permuted.classes).reordered(names), graph)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(targets_of_any_size, thresholds, st.sampled_from(['npz', 'json']), st.booleans(), st.data())
def test_round_trip(tmp_path, targets, threshold, suffix, with_embeddings, data):
    size = targets.shape[1]
    # npz keeps names as fixed-width text, which cannot end in NUL.
    text = st.text(st.characters(exclude_categories=['Cs', 'Cc']), min_size=1)
    names = data.draw(st.lists(text, min_size=size, max_size=size, unique=True))
    graph = LabelGraphData.from_targets(targets, names, threshold)
    if with_embeddings:
        vectors = data.draw(hnp.arrays(np.float32, (size, 3), elements=st.floats(-1e9, 1e9, width=32)))
        graph = replace(graph, embeddings=vectors)
    graph.save(tmp_path / f'g.{suffix}')
    same(LabelGraphData.load(tmp_path / f'g.{suffix}'), graph)


@pytest.mark.parametrize('suffix', ['npz', 'json'])
def test_file_is_readable_without_us(tmp_path, graph, suffix):
    """Names, counts and the thresholded graph lie in the file itself; the same graph gives the same bytes."""
    path = tmp_path / 'sub' / f'g.{suffix}'
    graph.save(path)
    if suffix == 'npz':
        fields = {key: value.tolist() for key, value in np.load(path, allow_pickle=False).items()}
        assert fields['edges'] == [[0, 1, 2, 2], [1, 0, 0, 1]]
    else:
        fields = json.loads(path.read_text(encoding='utf-8'))
        assert fields['edges'] == [[0, 1], [1, 0], [2, 0], [2, 1]]
        assert '"Ærø"' in path.read_text(encoding='utf-8')
    assert fields['classes'] == list(NAMES)
    assert fields['counts'] == [3, 3, 1, 0]
    assert fields['threshold'] == 0.5
    before = path.read_bytes()
    LabelGraphData.load(path).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == (tmp_path / 'sub').stat().st_mode & 0o666


def test_failed_save_leaves_the_old_file(tmp_path, graph, monkeypatch):
    path = tmp_path / 'g.json'
    graph.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(file_format.json, 'dumps', lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        graph.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(classes=('cat', 'dog')), r'2 classes need counts of shape \(2,\), got \(4,\)'),
        (dict(classes=('cat', 'dog', 'cat', 'x')), "unique, but 'cat'"),
        (dict(classes=('cat', 'dog', '', 'x')), 'class 2 has an empty name'),
        (dict(classes=()), 'at least one class'),
        (dict(counts=np.array([3, 3, -1, 0])), 'negative'),
        (dict(counts=np.array([3.5, 3, 1, 0])), 'whole numbers, found 3.5'),
        (dict(counts=np.array([np.nan, 3, 1, 0])), 'whole numbers, found nan'),
        (dict(counts=np.array(['3', '3', '1', '0'])), 'must be numbers'),
        (dict(counts=np.array([1, 3, 1, 0])), "'cat' is counted less often than one of its pairs"),
        (dict(num_images=2), 'num_images is 2, but a label occurs in 3 images'),
        (dict(cooccurrence=sp.csr_array((4, 3))), r'got \(4, 3\)'),
        (dict(cooccurrence=sp.csr_array(np.eye(4))), 'zero diagonal'),
        (dict(cooccurrence=sp.csr_array(np.eye(4, k=1))), "not symmetric: 'cat' with 'dog' 1×, the other way round 0×"),
        (dict(threshold=0), 'threshold=0 must be a number above 0 and at most 1'),
        (dict(threshold=1.5), 'threshold=1.5 must be'),
        (dict(embeddings=np.zeros((3, 2))), r'embeddings must have shape \(4, d\), got \(3, 2\)'),
        (dict(embeddings=np.zeros(4)), 'embeddings must have shape'),
        (dict(embeddings=np.array([[1], [2], [np.nan], [3]])), "embedding of 'cell phone' holds NaN"),
    ],
)
def test_impossible_numbers_are_refused(graph, change, message):
    with pytest.raises(ValueError, match=message):
        replace(graph, **change)


def test_one_string_is_no_list_of_names(graph):
    with pytest.raises(TypeError, match="'abcd'"):
        replace(graph, classes='abcd')


@pytest.mark.parametrize(
    ('targets', 'message'),
    [
        (np.zeros((3, 2)), r'\(N, 4\) with N ≥ 1, got \(3, 2\)'),
        (np.zeros((0, 4)), r'got \(0, 4\)'),
        (np.zeros(4), r'got \(4,\)'),
        (np.full((2, 4), 0.5), 'found 0.5'),
        (np.full((2, 4), np.nan), 'found nan'),
        (sp.csr_array(np.full((2, 4), 2)), 'found 2'),
    ],
)
def test_wrong_targets_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        LabelGraphData.from_targets(targets, NAMES)


def test_targets_are_left_alone():
    targets = TARGETS.copy()
    LabelGraphData.from_targets(targets, NAMES)
    np.testing.assert_array_equal(targets, TARGETS)


def test_reorder_names_what_is_missing(graph):
    with pytest.raises(ValueError, match="'cow'"):
        graph.reordered(('cow', 'dog', 'cell phone', 'Ærø'))


def test_missing_file_says_how_to_build_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.npz not found; build it with: python tools/build'):
        LabelGraphData.load(tmp_path / 'no.npz')


@pytest.mark.parametrize('suffix', ['npz', 'json'])
def test_every_truncation_is_refused(tmp_path, graph, suffix):
    path = tmp_path / f'g.{suffix}'
    replace(graph, embeddings=np.ones((4, 2))).save(path)
    whole = path.read_bytes().rstrip()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf'g\.{suffix} cannot be used: .*rebuild it with'):
            LabelGraphData.load(path)


def test_damaged_bytes_are_refused_or_harmless(tmp_path, graph):
    path = tmp_path / 'g.npz'
    graph.save(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            loaded = LabelGraphData.load(path)
        except ValueError:
            continue
        same(loaded, graph)  # a byte that no reader looks at


@pytest.mark.parametrize('kind', ['raw member', 'encrypted', 'unknown method', 'damaged lzma'])
def test_odd_archives_are_refused(tmp_path, graph, kind):
    path = tmp_path / 'g.npz'
    graph.save(path)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    compression = zipfile.ZIP_LZMA if kind == 'damaged lzma' else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, 'w', compression) as new:
        for name, content in members.items():
            raw = kind == 'raw member' and name == 'classes.npy'
            new.writestr('classes' if raw else name, b'cat, dog' if raw else content)
    data = bytearray(path.read_bytes())
    for signature, flags, method in ((b'PK\x03\x04', 6, 8), (b'PK\x01\x02', 8, 10)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= kind == 'encrypted'
            if kind == 'unknown method':
                data[at + method] = 77
            at = data.find(signature, at + 4)
    if kind == 'damaged lzma':
        data[80:140] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'g\.npz cannot be used: .*rebuild it with'):
        LabelGraphData.load(path)
    with pytest.raises(ValueError, match=r'g\.npz.* cannot be used|embeddings must be floats|must be floats'):
        open_word_vectors(path)


def rewrite(path, **changes):
    with np.load(path, allow_pickle=False) as file:
        fields = {key: file[key] for key in file}
    fields.update(changes)
    np.savez(path, **{key: value for key, value in fields.items() if value is not None})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(classes=None), 'lacks classes'),
        (dict(counts=None, edges=None), 'lacks counts, edges'),
        (dict(format=np.array('other/9')), "has format 'other/9'"),
        (dict(classes=np.array(NAMES, dtype=object)), 'cannot be used.*llow_pickle=False'),
        (dict(classes=np.arange(4)), 'classes must be a list of names'),
        (dict(classes=np.array(['a', 'b', 'b', 'c'])), "unique, but 'b'"),
        (dict(counts=np.arange(3)), r'counts of shape \(4,\)'),
        (dict(pairs=np.array([[0], [9]])), r'pair_counts \(3,\)|pairs int64 \(2, 1\)'),
        (dict(pairs=np.array([[0, 0, 1], [1, 2, 9]])), 'name label 9, but there are 4'),
        (dict(pairs=np.array([[0, 0, 2], [1, 2, 1]])), 'distinct and have the smaller label first'),
        (dict(pairs=np.array([[0, 0, 0], [1, 2, 2]])), 'distinct'),
        (dict(pairs=np.zeros((2, 3))), 'must be integers'),
        (dict(threshold=np.array(0.9)), 'stored edges are not those'),
        (dict(edges=np.zeros((2, 0), dtype=int)), 'stored edges are not those'),
        (dict(threshold=np.array([0.5, 0.5])), 'cannot be used'),
        (dict(num_images=np.array(1)), 'num_images is 1'),
        (dict(embeddings=np.ones((3, 2))), 'embeddings must have shape'),
    ],
)
def test_inconsistent_files_are_refused(tmp_path, graph, changes, message):
    path = tmp_path / 'g.npz'
    graph.save(path)
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=f'g\\.npz.*({message})'):
        LabelGraphData.load(path)


class Writes:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return open, (self.target, 'w')


def test_graph_that_carries_code_is_not_executed(tmp_path, graph):
    target = tmp_path / 'written'
    graph.save(tmp_path / 'a.npz')
    rewrite(tmp_path / 'a.npz', counts=np.array([Writes(target)], dtype=object))
    (tmp_path / 'b.npz').write_bytes(pickle.dumps(Writes(target)))
    (tmp_path / 'c.pkl').write_bytes(pickle.dumps(Writes(target)))
    (tmp_path / 'd.json').write_bytes(pickle.dumps(Writes(target)))
    for name in ('a.npz', 'b.npz', 'c.pkl', 'd.json'):
        with pytest.raises(ValueError, match=name):
            LabelGraphData.load(tmp_path / name)
    assert not target.exists()


@pytest.mark.parametrize('content', ['', '[1, 2]', '{"classes": ["a"]}', 'null', '{"classes": [["a"], 1]}', '\ufeff{'])
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / 'g.json').write_text(content, encoding='utf-8')
    with pytest.raises(ValueError, match=r'g\.json cannot be used'):
        LabelGraphData.load(tmp_path / 'g.json')


def test_other_suffixes_are_refused(tmp_path, graph):
    with pytest.raises(ValueError, match=r'g\.pkl: a label graph ends in \.npz or \.json'):
        graph.save(tmp_path / 'g.pkl')
    (tmp_path / 'g.pkl').touch()
    with pytest.raises(ValueError, match=r'convert .*--from-pickle'):
        LabelGraphData.load(tmp_path / 'g.pkl')


def test_9605_labels(tmp_path):
    """Cost follows the pairs that occur: a dense matrix of this size would take 740 MB."""
    num_images, num_classes = 60_000, 9_605
    generator = np.random.default_rng(0)
    rows = np.repeat(np.arange(num_images), 6)
    targets = sp.csr_array(
        (np.ones(len(rows), dtype=np.int8), (rows, generator.zipf(1.3, len(rows)) % num_classes)),
        shape=(num_images, num_classes),
    )
    targets.data[:] = 1
    start = time.perf_counter()
    graph = LabelGraphData.from_targets(targets, [f'label {i}' for i in range(num_classes)], threshold=0.3)
    graph.save(tmp_path / 'g.npz')
    loaded = LabelGraphData.load(tmp_path / 'g.npz')
    assert time.perf_counter() - start < 5
    same(loaded, graph)
    i, j = graph.edges()[:, graph.edges().shape[1] // 2]
    both = np.asarray((targets[:, [i]] > 0).toarray() & (targets[:, [j]] > 0).toarray()).sum()
    assert graph.cooccurrence[i, j] == both


def test_voc07_counts_of_real_labels(data_root):
    """Difficult-only labels (0 in the official lists) are ignored ones; figures from the lists by plain Python."""
    with (data_root / 'voc2007_labels' / 'trainval.csv').open() as file:
        header, *rows = csv.reader(file)
    flags = np.array([row[1:] for row in rows]).astype(int)
    targets = np.select([flags == 1, flags == 0], [1, -1], 0)
    graph = LabelGraphData.from_targets(targets, header[1:])
    assert graph.num_images == 5011
    assert graph.counts[header.index('person') - 1] == 2008
    assert graph.counts.tolist() == [sum(row[c] == '1' for row in rows) for c in range(1, 21)]
    table, chair = graph.classes.index('diningtable'), graph.classes.index('chair')
    assert graph.cooccurrence[table, chair] == sum(row[table + 1] == row[chair + 1] == '1' for row in rows)
    # Riders: bicycle, motorbike and horse come with people more often than not; so do bottles.
    pairs = {(graph.classes[i], graph.classes[j]) for i, j in graph.edges().T}
    assert pairs == {(name, 'person') for name in ('bicycle', 'bottle', 'horse', 'motorbike')}
    # As positives, difficult labels change the matrix: the reason why ignored ones must stay out.
    assert LabelGraphData.from_targets((flags >= 0).astype(int), header[1:]).counts.sum() > graph.counts.sum()


def test_coco_at_full_scale(data_root):
    folder = data_root / 'coco2014_labels'
    names = [entry['name'] for entry in json.loads((folder / 'categories_alphabetical.json').read_text())]
    with gzip.open(folder / 'coco2014_multilabel.tsv.gz', 'rt') as file:
        lists = [line.split('\t')[2] for line in file if line.startswith('train2014')]
    labels = [[int(label) for label in line.split(',')] for line in lists]
    columns = np.concatenate(labels)
    targets = np.zeros((len(labels), 80), dtype=np.int8)
    targets[np.repeat(np.arange(len(labels)), [len(row) for row in labels]), columns] = 1
    assert targets.shape == (82_081, 80)
    start = time.perf_counter()
    graph = LabelGraphData.from_targets(targets, names)
    assert time.perf_counter() - start < 2
    np.testing.assert_array_equal(graph.counts, np.bincount(columns, minlength=80))
    dense = targets.astype(np.float64).T @ targets
    np.testing.assert_array_equal(graph.cooccurrence.toarray(), dense - np.diag(graph.counts))
