"""The embedded data set: golden bytes, rules, safety of what is on disk, and two processes at once."""

import hashlib
import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlic_mm.datasets import DigitScenes
from mlic_mm.datasets.digit_scenes.__main__ import main
from mlic_mm.datasets.digit_scenes.drawing import Random, enlarge
from mlic_mm.datasets.digit_scenes.png import encode_palette_png
from mlic_mm.datasets.digit_scenes.scenes import CLASSES, EXCLUSIONS, RULES, _scans, compose, write_digit_scenes

SMALL = dict(num_train=12, num_val=6)
GOLDEN = {
    'annotations': '23370fa19f7a1a09f663a652e75850588229e24f8bb807061a5a7dcd84849cb3',
    'pixels': 'f2dd05c83d5bdd8ce28168f85043355786429379864f34696cf0723ea2972207',
    'files': 'c95c256ec59ec45e2afa94586f084f9d7412d4ac29f005c6361fdffa1a2928e2',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digit_scenes(tmp_path_factory.mktemp('data') / 'digits', **SMALL)


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of the annotations, of the decoded pixels, and of all files."""
    paths = sorted(path for path in folder.rglob('*') if path.is_file())
    annotations = b''.join(path.read_bytes() for path in paths if path.suffix == '.json')
    pixels = b''.join(np.asarray(Image.open(path).convert('RGB')).tobytes() for path in paths if path.suffix == '.png')
    files = b''.join(path.read_bytes() for path in paths)
    content = dict(annotations=annotations, pixels=pixels, files=files)
    return {name: hashlib.sha256(value).hexdigest() for name, value in content.items()}


def test_a_seed_gives_the_same_bytes_everywhere(folder: Path) -> None:
    assert digest(folder) == GOLDEN


def test_another_seed_gives_other_scenes(folder: Path, tmp_path: Path) -> None:
    other = digest(write_digit_scenes(tmp_path / 'digits', seed=1, **SMALL))
    assert all(other[name] != value for name, value in digest(folder).items())


def test_scenes_do_not_depend_on_how_many_there_are(folder: Path, tmp_path: Path) -> None:
    fewer = write_digit_scenes(tmp_path / 'digits', num_train=3, num_val=2)
    for name in ('train/000002.png', 'val/000001.png'):
        assert (fewer / name).read_bytes() == (folder / name).read_bytes()


def test_read_like_coco(folder: Path) -> None:
    dataset = DigitScenes(str(folder), split='val', with_boxes=True, pipeline=[dict(type='mlic_mm.LoadImage')], **SMALL)
    assert dataset.metainfo['classes'] == CLASSES
    assert len(dataset) == 6
    for i in range(6):
        sample = dataset[i]
        assert sample['img'].shape == (112, 112, 3)
        assert sample['gt_label'] == sorted({instance['bbox_label'] for instance in sample['instances']})
        assert sample['gt_label']
        boxes = np.array([instance['bbox'] for instance in sample['instances']])
        assert boxes.min() >= 0
        assert boxes.max() <= 112
        assert ((boxes[:, 2:] - boxes[:, :2]).min(1) >= 3).all()


def test_boxes_hold_the_ink(folder: Path) -> None:
    """Where a scene is drawn again without its digits, it differs inside the boxes only."""
    from mlic_mm.datasets.digit_scenes.drawing import background
    from mlic_mm.datasets.digit_scenes.scenes import draw_scene

    for index in range(12):
        pixels, _, digits = draw_scene(Random([0, 0, index]), _scans('train'), 112)
        plain = background(Random([0, 0, index]), 112)
        changed = pixels != plain
        inside = np.zeros_like(changed)
        for _, (x, y, w, h) in digits:
            inside[y : y + h, x : x + w] = True
            assert changed[y : y + h, x : x + w].mean() > 0.15
        assert not (changed & ~inside).any()


def test_rules_make_directed_edges_at_the_threshold() -> None:
    targets = np.zeros((3000, 10), int)
    faint = {True: [0, 0], False: [0, 0]}  # company or not: how many are not and are faint
    for i in range(3000):
        scene = compose(Random([9, i]))
        assert scene
        targets[i, [digit for digit, _ in scene]] = 1
        for digit, is_faint in scene:
            faint[digit in (6, 7, 8, 9)][is_faint] += 1
    for pair in EXCLUSIONS:
        assert not targets[:, pair].all(1).any()
    conditional = targets.T @ targets / targets.sum(0)[:, None]
    np.fill_diagonal(conditional, 0)
    edges = {(int(i), int(j)) for i, j in np.argwhere(conditional >= 0.5)}
    assert edges == {(i, j) for i, (j, percent) in RULES.items() if percent > 50}
    assert all(conditional[j, i] < 0.45 for i, j in edges)
    share = {company: counts[1] / sum(counts) for company, counts in faint.items()}
    assert share[True] > share[False] + 0.05  # those that company brings are harder to see


def test_scans_of_train_and_val_are_disjoint() -> None:
    train = {scan.tobytes() for scans in _scans('train') for scan in scans}
    val = {scan.tobytes() for scans in _scans('val') for scan in scans}
    assert not train & val
    assert len(train) + len(val) > 1780  # a few of the 1,797 may be equal within a part
    assert all(len(scans) >= 30 for scans in _scans('val'))


def test_written_once(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
    write_digit_scenes(folder, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*')} == before
    assert not [path for path in folder.parent.iterdir() if path != folder]


def test_nothing_of_the_users_is_overwritten(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=r"'seed': 0.*asked for.*'seed': 5.*another folder"):
        write_digit_scenes(folder, seed=5, **SMALL)
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'thesis.txt').write_text('three years')
    with pytest.raises(FileExistsError, match='is not a folder of digit scenes'):
        write_digit_scenes(mine, **SMALL)
    assert [path.name for path in mine.iterdir()] == ['thesis.txt']
    a_file = tmp_path / 'file'
    a_file.write_text('x')
    with pytest.raises(FileExistsError, match='is not a folder of digit scenes'):
        write_digit_scenes(a_file, **SMALL)
    empty = tmp_path / 'empty'
    empty.mkdir()
    write_digit_scenes(empty, num_train=1, num_val=1)
    assert (empty / 'val' / '000000.png').is_file()


@pytest.mark.parametrize('options', [{'seed': -1}, {'seed': 2**32}, {'num_train': 0}, {'num_val': 0}, {'size': 32}])
def test_options_are_checked(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        write_digit_scenes(tmp_path / 'digits', **options)
    with pytest.raises(ValueError, match='split'):
        DigitScenes(str(tmp_path), split='test')
    assert not list(tmp_path.iterdir())


def _build(root: str, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    DigitScenes(root, **SMALL)


@pytest.mark.process
def test_two_processes_at_once(folder: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    processes = [context.Process(target=_build, args=(str(tmp_path / 'digits'), barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert digest(tmp_path / 'digits') == digest(folder)
    assert [path.name for path in tmp_path.iterdir()] == ['digits']


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = [
        '--out',
        str(tmp_path / 'neue ziffern'),
        '--num-train',
        '2',
        '--num-val',
        '1',
        '--size',
        '64',
        '--seed',
        '7',
    ]
    main(words)
    assert json.loads((tmp_path / 'neue ziffern' / 'digit_scenes.json').read_text())['size'] == 64
    with pytest.raises(SystemExit):
        main([*words, '--seed', '8'])
    assert 'another folder' in capsys.readouterr().err


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_png_is_read_by_others(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 256, (height, width), dtype=np.uint8)
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    png = encode_palette_png(indices, palette)
    read = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read[..., ::-1], palette[indices])


def test_png_of_several_blocks() -> None:
    indices = np.arange(300 * 700, dtype=np.uint32).reshape(300, 700).astype(np.uint8)  # 210 kB: four stored blocks
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    read = cv2.imdecode(np.frombuffer(encode_palette_png(indices, grey), np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read, indices)


def test_enlarging_agrees_with_opencv() -> None:
    scan = _scans('train')[5][0]
    for height, width in ((8, 8), (40, 31), (23, 50)):
        ours = enlarge(scan, height, width) / 2**16
        theirs = cv2.resize(scan.astype(np.float64), (width, height), interpolation=cv2.INTER_LINEAR)
        assert np.abs(ours - theirs).max() < 0.15  # its weights are in 1/256
