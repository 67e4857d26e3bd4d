"""The file of proposals: what is written comes back, and what is wrong with a file is said."""

import hashlib
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from mlic_mm.datasets import LoadProposals, ProposalFile
from mlic_mm.datasets.proposals.proposal_file import Entry, _Opened, write_proposal_file

GENERATOR, DATASET = dict(type='mlic_mm.X', num=5), dict(type='VOCMultiLabel', id_type='str', splits=['train'])
ENTRIES: list[Entry] = [
    ('a', (100, 200), np.array([[0, 0, 200, 100], [20, 10, 60.5, 50]]), np.array([0.5, 0.25])),
    ('b/ü.jpg', (30, 40), np.zeros((0, 4)), np.zeros(0)),
    ('7', (30, 40), np.array([[1, 2, 3, 4]]), np.array([0.125])),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_proposal_file(tmp_path / 'file.st', ENTRIES, GENERATOR, DATASET)
    return tmp_path / 'file.st'


def test_what_is_written_comes_back(path: Path) -> None:
    file = ProposalFile(path)
    assert len(file) == 3
    assert file.ids == ['a', 'b/ü.jpg', '7']
    boxes, scores = file['a']
    assert boxes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(boxes, ENTRIES[0][2], atol=200 / 131070)
    np.testing.assert_array_equal(scores, [0.5, 0.25])
    assert file.size('a') == (100, 200)
    assert [part.shape for part in file['b/ü.jpg']] == [(0, 4), (0,)]
    np.testing.assert_allclose(file[7][0], [[1, 2, 3, 4]], atol=40 / 131070)
    assert 7 in file
    assert 'c' not in file
    assert file.metadata['generator'] == GENERATOR
    assert file.metadata['dataset'] == DATASET
    assert file.metadata['fallback_score'] == (0.5 + 0.125) / 2  # of those that have any, by hand


def test_boxes_come_in_pixels_of_the_size_asked_for_and_the_best_first(path: Path) -> None:
    boxes, scores = ProposalFile(path).read('a', (50, 20), num=1)
    np.testing.assert_allclose(boxes, [[0, 0, 20, 50]])
    assert scores.tolist() == [0.5]


def test_the_file_is_readable_by_others_as_the_umask_says(path: Path) -> None:
    other = path.with_name('other')
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
    assert sorted(file.name for file in path.parent.iterdir()) == ['file.st', 'other']


def _read(file: ProposalFile) -> list[float]:
    return file['a'][1].tolist()


@pytest.mark.process
def test_a_pickled_object_opens_the_file_anew_in_another_process(path: Path) -> None:
    file = ProposalFile(path)
    assert _read(file) == [0.5, 0.25]
    assert len(pickle.dumps(file)) < 1000
    with multiprocessing.get_context('fork').Pool(1) as pool:
        assert pool.apply(_read, (file,)) == [0.5, 0.25]


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    corners=st.lists(st.tuples(*[st.floats(-0.5, 1.5, width=32)] * 4), max_size=20),
)
def test_rounding_clipping_and_dropping(tmp_path_factory, size: tuple[int, int], corners: list) -> None:
    """Every box that comes back has an area, lies in the image, and is the clipped one within half a step."""
    height, width = size
    relative = np.array(corners).reshape(-1, 4)
    boxes = relative * [width, height, width, height]
    path = tmp_path_factory.mktemp('h') / 'f.st'
    write_proposal_file(path, [('x', size, boxes, np.arange(len(boxes)))], GENERATOR, DATASET)
    found, scores = ProposalFile(path)['x']
    assert (found[:, 2:] > found[:, :2]).all()
    assert (found >= 0).all()
    assert (found <= [width, height, width, height]).all()
    clipped = np.clip(relative, 0, 1)[scores.astype(int)] * [width, height, width, height]
    step = np.array([width, height, width, height]) / 65535
    assert (np.abs(found - clipped) <= step / 2 + 1e-3 * step + 1e-6 * max(size)).all()
    left_out = np.delete(np.clip(relative, 0, 1), scores.astype(int), 0)
    assert (np.minimum(left_out[:, 2] - left_out[:, 0], left_out[:, 3] - left_out[:, 1]) <= 1 / 65535).all()
    # What was read rounds to itself.
    write_proposal_file(path, [('x', size, found, scores)], GENERATOR, DATASET)
    np.testing.assert_array_equal(ProposalFile(path)['x'][0], found)


def test_the_fingerprint_tells_contents_apart(tmp_path: Path, path: Path) -> None:
    write_proposal_file(tmp_path / 'same.st', ENTRIES, dict(type='other'), DATASET)
    write_proposal_file(tmp_path / 'fewer.st', ENTRIES[:2], GENERATOR, DATASET)
    first, same, fewer = (ProposalFile(tmp_path / name).fingerprint for name in ('file.st', 'same.st', 'fewer.st'))
    assert first == same != fewer


def test_an_unknown_image_and_another_size_are_named(path: Path) -> None:
    file = ProposalFile(path)
    with pytest.raises(ValueError, match=r"file\.st: has no proposals of image '9'; it has 3 images .*--split all"):
        file['9']
    with pytest.raises(ValueError, match=r'found in 200 × 100 pixels, but the image of the data set has 100 × 100'):
        file.read('a', (100, 100), ori_size=(100, 100))
    file.read('a', (10, 20), ori_size=(100, 200))


def test_a_file_of_another_data_set_is_refused(path: Path) -> None:
    ProposalFile(path, 'VOCMultiLabel')['a']
    with pytest.raises(ValueError, match='for the images of VOCMultiLabel, not of COCOMultiLabel'):
        ProposalFile(path, 'COCOMultiLabel')['a']


def test_files_that_are_none(tmp_path: Path, path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere not found; write it: python tools/generate_proposals\.py'):
        ProposalFile(tmp_path / 'nowhere')
    data = path.read_bytes()
    for length in (0, 4, 100, len(data) // 2, len(data) - 1):
        (tmp_path / 'cut.st').write_bytes(data[:length])
        with pytest.raises(ValueError, match=r'cut\.st: no proposal file, or cut short'):
            len(ProposalFile(tmp_path / 'cut.st'))
    (tmp_path / 'text.st').write_text('a holiday diary, longer than a header of eight bytes')
    with pytest.raises(ValueError, match='no proposal file'):
        len(ProposalFile(tmp_path / 'text.st'))
    save_file({'weight': np.zeros(3)}, tmp_path / 'model.st')
    with pytest.raises(ValueError, match='but not of proposals'):
        len(ProposalFile(tmp_path / 'model.st'))
    save_file({'weight': np.zeros(3)}, tmp_path / 'new.st', {'format': 'mlic_mm.proposals', 'version': '9'})
    with pytest.raises(ValueError, match='version 9 of the format'):
        len(ProposalFile(tmp_path / 'new.st'))
    save_file({'weight': np.zeros(3)}, tmp_path / 'part.st', {'format': 'mlic_mm.proposals', 'version': '1'})
    with pytest.raises(ValueError, match='a part is missing or damaged'):
        len(ProposalFile(tmp_path / 'part.st'))


def tamper(path: Path, sign: bool, metadata: dict | None = None, **tensors: np.ndarray) -> ProposalFile:
    """Put other parts into a file, with a fingerprint of them where asked."""
    with safe_open(path, framework='numpy') as file:
        parts = {key: file.get_tensor(key) for key in ('boxes', 'scores', 'offsets', 'sizes', 'ids')} | tensors
        said = {**file.metadata(), **(metadata or {})}
    if sign:
        content = (f'{name} {part.shape}'.encode() + part.tobytes() for name, part in parts.items())
        said['fingerprint'] = hashlib.sha256(b''.join(content)).hexdigest()
    save_file(parts, path, said)
    return ProposalFile(path)


@pytest.mark.parametrize(
    ('metadata', 'tensors', 'reason'),
    [
        ({'dataset': '["VOC"]'}, {}, r"dataset = \['VOC'\] in its metadata is no dict with a type"),
        ({'dataset': '{"type": 3}'}, {}, 'is no dict with a type'),
        ({'fallback_score': 'null'}, {}, 'fallback_score = None in its metadata is no number'),
        ({'fallback_score': 'NaN'}, {}, 'fallback_score = nan'),
        ({'generator': '[' * 100_000}, {}, 'a part is missing or damaged'),
        ({}, {'boxes': np.full((3, 4), 0.5, np.float32)}, 'its boxes are F32, not U16'),  # fractions: silently no boxes
        ({}, {'scores': np.ones(3, np.float32)}, 'its scores are F32, not F16'),
        ({}, {'offsets': np.array([0, 2.0, 2, 3])}, 'its offsets are float64, not int64'),
        ({}, {'offsets': np.array([1, 2, 2, 3])}, 'do not fit together'),
        ({}, {'offsets': np.array([0, 3, 2, 3])}, 'do not fit together'),
        ({}, {'offsets': np.array([0, 2, 2, 2])}, 'do not fit together'),
        ({}, {'offsets': np.zeros(0, np.int64)}, 'do not fit together'),
        ({}, {'sizes': np.array([[0, 9], [9, 9], [9, 9]], np.int32)}, 'do not fit together'),
        ({}, {'ids': np.frombuffer(b'a\na\nb', np.uint8)}, 'do not fit together'),
    ],
)
def test_parts_of_another_kind_are_refused(path: Path, metadata: dict, tensors: dict, reason: str) -> None:
    assert len(tamper(path, sign=True)) == 3
    file = tamper(path, True, metadata, **tensors)
    with pytest.raises(ValueError, match=rf'file\.st: .*{reason}.*write it again'):
        file['a']


def test_contents_are_compared_with_the_fingerprint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flipped byte of a box is noticed, by whoever opens the file first; reading it once is enough."""
    compared: list[str] = []
    compare = _Opened.compare
    monkeypatch.setattr(_Opened, 'compare', lambda opened: compared.append(opened.path) or compare(opened))
    file = ProposalFile(path)
    file.verify()
    copy = pickle.loads(pickle.dumps(file))
    monkeypatch.setattr(ProposalFile, '_known', set())  # as in another process
    copy['a']
    ProposalFile(path)['a']
    ProposalFile(path)['a']
    assert len(compared) == 2
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    for use in (
        lambda: copy.__class__(path)['a'],
        lambda: LoadProposals(str(path)),
        lambda: ProposalFile(path).verify(),
    ):
        with pytest.raises(
            ValueError, match=r'file\.st: its contents are not those of its fingerprint.*write it again'
        ):
            use()


def test_what_cannot_be_written_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    box = np.array([[0, 0, 1, 1.0]])
    for entry, reason in (
        (('a\nb', (5, 5), box, np.ones(1)), 'line break'),
        (('a', (0, 5), box, np.ones(1)), 'both positive'),
        (('a', (5, 5), box, np.ones(2)), r'boxes \(1, 4\) and scores \(2,\)'),
        (('a', (5, 5), box * np.nan, np.ones(1)), 'not finite'),
        (('a', (5, 5), box, np.full(1, 1e6)), 'float16'),
    ):
        with pytest.raises(ValueError, match=reason):
            write_proposal_file(tmp_path / 'f.st', [entry], GENERATOR, DATASET)
    with pytest.raises(ValueError, match='occurs twice'):
        write_proposal_file(tmp_path / 'f.st', [ENTRIES[0], ENTRIES[0]], GENERATOR, DATASET)
    assert os.listdir(tmp_path) == []


def test_a_file_without_images(tmp_path: Path) -> None:
    write_proposal_file(tmp_path / 'f.st', [], GENERATOR, DATASET)
    assert ProposalFile(tmp_path / 'f.st').ids == []
    with pytest.raises(ValueError, match='it has 0 images'):
        ProposalFile(tmp_path / 'f.st')['a']
