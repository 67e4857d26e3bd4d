"""NUS-WIDE: miniatures in the published layout worked by hand, every way to get it wrong, the cache, the real lists."""

import gzip
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from PIL import Image

from mlic_mm.datasets import NUSWIDE
from mlic_mm.datasets.find_images import find_images
from mlic_mm.datasets.from_config import dataset_from_config
from mlic_mm.datasets.label_cache import SETTLED, cached_labels
from mlic_mm.datasets.nus_wide_lists import CONCEPTS, parse_flags, parse_list, parse_names

REPO = Path(__file__).resolve().parents[2]

LABELS = {
    'train': {
        'actor/0001_2124494179.jpg': 'person',
        'actor/0002_174174086.jpg': '',
        'zoos/0003_702409954.jpg': 'animal zebra',
        'close-up/0004_12345.jpg': 'flowers',
    },
    'test': {
        'actor/0005_262041423.jpg': 'airport person zebra',
        'zoos/0006_702409954.jpg': 'animal',  # the same photograph again, as in the published lists
        'zoos/0007_391097803.jpg': '',
    },
}
ALL = LABELS['train'] | LABELS['test']
ORDER = sorted(ALL)  # Imagelist.txt goes by folder, through both splits


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache goes to a folder of the test."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'mlic_mm' / 'labels'


def build(*args: object, **options: object) -> NUSWIDE:
    """Unserialised, which saves mmengine's collection of garbage for each of these many data sets."""
    return NUSWIDE(*args, **{'serialize_data': False, **options})


def miniature(root: Path, newline: str = '\n') -> str:
    """Write the published layout with the seven images above; return the root."""
    (root / 'ImageList').mkdir(parents=True)
    lists = {'TrainImagelist': list(LABELS['train']), 'TestImagelist': list(LABELS['test']), 'Imagelist': ORDER}
    for name, entries in lists.items():
        text = ''.join(entry.replace('/', '\\') + newline for entry in entries)
        (root / 'ImageList' / f'{name}.txt').write_bytes(text.encode())
    for folder in ('TrainTestLabels', 'AllLabels'):
        (root / 'Groundtruth' / folder).mkdir(parents=True)
    for concept in CONCEPTS:
        files = {
            f'TrainTestLabels/Labels_{concept}_Train.txt': list(LABELS['train']),
            f'TrainTestLabels/Labels_{concept}_Test.txt': list(LABELS['test']),
            f'AllLabels/Labels_{concept}.txt': ORDER,
        }
        for name, entries in files.items():
            text = ''.join(f'{int(concept in ALL[entry].split())}{newline}' for entry in entries)
            (root / 'Groundtruth' / name).write_bytes(text.encode())
    for entry in ALL:
        picture(root / 'Flickr' / entry)
    return str(root)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (8, 6), 'red').save(path)


def lines(entries: dict[str, str]) -> list[str]:
    """Return the list form of ``entries``."""
    return [
        ' '.join([f'Flickr/{entry}', *(str(int(concept in labels.split())) for concept in CONCEPTS)])
        for entry, labels in entries.items()
    ]


def contents(dataset: NUSWIDE) -> dict[str, str]:
    classes = dataset.metainfo['classes']
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {info['img_id']: ' '.join(classes[k] for k in info['gt_label']) for info in infos}


def settle(root: str | Path) -> None:
    """Wait until the files below ``root`` are old enough for the cache."""
    newest = max(path.stat().st_ctime for path in Path(root).rglob('*'))
    time.sleep(max(0.0, newest + SETTLED + 0.1 - time.time()))


class Log:
    """The messages of mmengine's current logger."""

    def __enter__(self) -> list[str]:
        messages: list[str] = []
        self.handler = logging.Handler(logging.INFO)
        self.handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
        MMLogger.get_current_instance().addHandler(self.handler)
        return messages

    def __exit__(self, *exc: object) -> None:
        MMLogger.get_current_instance().removeHandler(self.handler)


# The official layout


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
@pytest.mark.parametrize('split', ['train', 'test', 'all'])
def test_official_layout(tmp_path: Path, split: str, newline: str) -> None:
    root = miniature(tmp_path / 'nus', newline)
    dataset = build(root, split, data_prefix='Flickr', pipeline=[dict(type='mlic_mm.LoadImage')])
    expected = {entry: ALL[entry] for entry in ORDER} if split == 'all' else LABELS[split]
    assert contents(dataset) == expected
    assert list(contents(dataset)) == list(expected)  # and in the order of the list
    assert dataset.metainfo['classes'] == CONCEPTS
    assert dataset.missing == ()
    sample = dataset[0]
    assert sample['img'].shape == (6, 8, 3)
    assert sample['gt_score'].shape == (81,)
    assert sample['gt_score'].dtype == np.float32
    targets = dataset.targets()
    assert [[CONCEPTS[k] for k in np.flatnonzero(row)] for row in targets] == [v.split() for v in expected.values()]


@pytest.mark.parametrize('split', ['train', 'test'])
def test_labels_of_a_split_from_alllabels(tmp_path: Path, split: str) -> None:
    root = miniature(tmp_path / 'nus')
    shutil.rmtree(tmp_path / 'nus' / 'Groundtruth' / 'TrainTestLabels')
    assert list(contents(build(root, split)).items()) == list(LABELS[split].items())


def test_images_without_labels_can_be_dropped(tmp_path: Path) -> None:
    root = miniature(tmp_path / 'nus')
    dataset = build(root, 'train', drop_empty=True)
    assert contents(dataset) == {entry: labels for entry, labels in LABELS['train'].items() if labels}
    dataset = build(root, 'train', drop_empty=True, metainfo=dict(classes=['zebra', 'animal']))
    assert contents(dataset) == {'zoos/0003_702409954.jpg': 'zebra animal'}
    with pytest.raises(ValueError, match='no image has one of the 1 classes'):
        build(root, 'train', drop_empty=True, metainfo=dict(classes=['whales']))


def test_classes_are_known_before_anything_is_read() -> None:
    assert build('nowhere', 'train', lazy_init=True).metainfo['classes'] == CONCEPTS


# List files


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
@pytest.mark.parametrize('spaces', [' ', '\t', '   '])
def test_list_file(tmp_path: Path, newline: str, spaces: str) -> None:
    root = miniature(tmp_path / 'nus')
    text = newline.join(lines(LABELS['test'])).replace(' ', spaces)
    (tmp_path / 'nus' / 'list.txt').write_bytes(text.encode())
    dataset = build(root, ann_file='list.txt')
    assert contents(dataset) == {f'Flickr/{entry}': labels for entry, labels in LABELS['test'].items()}
    assert dataset.missing == ()


NAMES = st.lists(
    st.text('abc0127_/ ä', min_size=1, max_size=12).map(lambda s: f'x{s}x.jpg'), min_size=1, max_size=8, unique=True
)


@settings(deadline=None, max_examples=60)
@given(NAMES, st.integers(0, 2**32 - 1), st.sampled_from([' ', '\t', '  ']), st.sampled_from(['\n', '\r\n', ' \n']))
def test_any_labels_survive_both_forms(names: list[str], seed: int, space: str, newline: str) -> None:
    labels = np.random.default_rng(seed).random((len(names), 81)) < 0.5
    rows = [space.join([name, *row]) for name, row in zip(names, labels.astype(int).astype(str), strict=True)]
    parsed, flags = parse_list(newline.join(rows).encode(), 'list.txt')
    assert parsed == names
    np.testing.assert_array_equal(flags, labels)
    for column in labels.T[:3]:
        text = newline.join(column.astype(int).astype(str)) + newline
        np.testing.assert_array_equal(parse_flags(text.encode(), 'f', len(names), 'l'), column)


# Images on the disk


@pytest.mark.parametrize(
    ('rename', 'prefix'),
    [
        ('Flickr/{folder}/{name}', ''),
        ('Flickr/{folder}/{name}', 'Flickr'),
        ('{folder}/{name}', ''),
        ('a/b/{folder}/{name}', 'a'),
        ('images/{name}', ''),
        ('images/{number}.jpg', 'images'),
        ('{number}.JPG', ''),
        ('images/{number}_ab0704971e.jpg', ''),
        ('images/{index}_{number}_0123456789_m.jpg', 'images'),
    ],
)
def test_images_are_found_in_other_layouts(tmp_path: Path, rename: str, prefix: str) -> None:
    for index, entry in enumerate(ALL):
        folder, name = entry.split('/')
        number = name[5:-4]
        picture(tmp_path / prefix / 'x' / 'other.jpg')
        picture(tmp_path / rename.format(folder=folder, name=name, number=number, index=36051 + index))
    paths, by_number = find_images(str(tmp_path / prefix), list(ALL))
    assert by_number == (0 if '{folder}' in rename else 7)
    for entry, path in zip(ALL, paths, strict=True):
        assert path is not None
        assert entry[-15:-4].split('_')[-1] in Path(path).name
        assert Path(path).is_file()


def test_two_copies_ask_for_a_choice(tmp_path: Path) -> None:
    root = miniature(tmp_path / 'nus')
    shutil.copytree(tmp_path / 'nus' / 'Flickr', tmp_path / 'nus' / 'small')
    with pytest.raises(ValueError, match=r'nus/: both Flickr/.*jpg and small/.*jpg are .*; set data_prefix'):
        build(root, 'train')
    assert len(build(root, 'train', data_prefix='small')) == 4


def test_links_are_followed_without_end(tmp_path: Path) -> None:
    root = miniature(tmp_path / 'nus')
    shutil.move(tmp_path / 'nus' / 'Flickr', tmp_path / 'disk')
    (tmp_path / 'nus' / 'Flickr').symlink_to(tmp_path / 'disk')
    (tmp_path / 'disk' / 'again').symlink_to(tmp_path / 'disk')
    assert len(build(root, 'train', data_prefix='Flickr')) == 4


def test_images_that_are_gone_are_skipped_and_counted(tmp_path: Path) -> None:
    root = miniature(tmp_path / 'nus')
    for entry in ('actor/0001_2124494179.jpg', 'actor/0002_174174086.jpg'):
        (tmp_path / 'nus' / 'Flickr' / entry).unlink()
    with Log() as messages:
        dataset = build(root, 'train')
    assert list(contents(dataset)) == list(LABELS['train'])[2:]
    assert dataset.missing == ('actor/0001_2124494179.jpg', 'actor/0002_174174086.jpg')
    assert any('2 of 4 images are not below' in message and 'left out' in message for message in messages)
    dropped = build(root, 'train', drop_empty=True)
    assert dropped.missing == ('actor/0001_2124494179.jpg',)  # the other one was not wanted
    assert len(build(root, 'train', on_missing='keep')) == 4
    with pytest.raises(FileNotFoundError, match=r"(?s)2 of 4 images .*0001_2124494179\.jpg.*'skip'.*TrainImagelist"):
        build(root, 'train', on_missing='raise')


def test_labels_without_photographs(tmp_path: Path) -> None:
    root = miniature(tmp_path / 'nus')
    shutil.rmtree(tmp_path / 'nus' / 'Flickr')
    with pytest.raises(FileNotFoundError, match=r'(?s)none of the 4 images is below .*Flickr/actor.*NUSWIDE_ROOT'):
        build(root, 'train')
    with pytest.raises(FileNotFoundError, match=r'(?s)Flickr not found.*TrainImagelist'):
        build(root, 'train', data_prefix='Flickr')
    assert contents(build(root, 'train', on_missing='keep')) == LABELS['train']


# Bad input


GOOD = lines(LABELS['train'])


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ([], 'the file is empty'),
        ([GOOD[0], GOOD[1][:-2]], r"list\.txt:2: 80 flags in 'Flickr/actor.*' …; expected a path and 81 flags"),
        ([GOOD[0], GOOD[1].split()[0]], r"list\.txt:2: 0 flags in 'Flickr/actor/0002_174174086\.jpg'; expected"),
        ([GOOD[0], '', GOOD[1]], r"list\.txt:2: 0 flags in ''; expected"),
        ([GOOD[0], GOOD[1] + ' 0'], r'list\.txt:2: 82 flags; expected a path and 81'),
        ([GOOD[0], GOOD[1][:-1] + '2'], r"list\.txt:2: flag 81 \(zebra\) is '2'; expected .* 0 or 1"),
        ([GOOD[0], GOOD[1].replace(' 0', ' -1', 1)], r"list\.txt:2: flag 1 \(airport\) is '-1'; expected"),
        ([GOOD[0], GOOD[1].replace(' ', ',')], r'list\.txt:2: 0 flags .*separated by spaces'),
        ([GOOD[0], GOOD[1], GOOD[0]], r"list\.txt:3: 'Flickr/actor/0001_2124494179\.jpg' is already on line 1"),
        ([GOOD[0], GOOD[1].replace('actor', 'caf\xe9')], r'list\.txt:2: byte 0xe9 is not UTF-8; save'),
    ],
)
def test_wrong_lists_name_file_line_value_and_cure(tmp_path: Path, rows: list[str], message: str) -> None:
    (tmp_path / 'list.txt').write_bytes('\n'.join(rows).encode('latin-1'))
    with pytest.raises(ValueError, match=message):
        build(str(tmp_path), ann_file='list.txt', on_missing='keep')


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('ImageList/TrainImagelist.txt', '', r'TrainImagelist\.txt: the file is empty'),
        ('ImageList/TrainImagelist.txt', 'a\\1.jpg\n\nb\\2.jpg\n', r'TrainImagelist\.txt:2: the path is blank'),
        (
            'ImageList/TrainImagelist.txt',
            'a\\1.jpg\na/1.jpg\n',
            r"TrainImagelist\.txt:2: 'a/1\.jpg' is already on line 1",
        ),
        (
            'ImageList/TrainImagelist.txt',
            'a\\1.jpg\n',
            r'Labels_airport_Train\.txt: 4 lines for the 1 images of .*Train',
        ),
        ('{}/Labels_cat_Train.txt', '0\n1\n0\n', r'Labels_cat_Train\.txt: 3 lines for the 4 images of .*same archive'),
        ('{}/Labels_cat_Train.txt', '0\n1\n0\n1\n0\n', r'Labels_cat_Train\.txt: 5 lines for the 4 images'),
        ('{}/Labels_cat_Train.txt', '0\n1\n2\n0\n', r"Labels_cat_Train\.txt:3: '2' is no flag; write 0 .* or 1"),
        ('{}/Labels_cat_Train.txt', '0\n-1\n1\n0\n', r"Labels_cat_Train\.txt:2: '-1' is no flag"),
        ('{}/Labels_cat_Train.txt', '0\n\n1\n0\n', r"Labels_cat_Train\.txt:2: '' is no flag"),
        ('{}/Labels_cat_Train.txt', '', r"Labels_cat_Train\.txt:1: '' is no flag"),
    ],
)
def test_wrong_files_name_file_line_value_and_cure(tmp_path: Path, name: str, text: str, message: str) -> None:
    root = miniature(tmp_path / 'nus')
    (tmp_path / 'nus' / name.format('Groundtruth/TrainTestLabels')).write_text(text)
    with pytest.raises(ValueError, match=message):
        build(root, 'train')


def test_a_list_that_does_not_go_with_the_labels(tmp_path: Path) -> None:
    root = miniature(tmp_path / 'nus')
    shutil.rmtree(tmp_path / 'nus' / 'Groundtruth' / 'TrainTestLabels')
    (tmp_path / 'nus' / 'ImageList' / 'TestImagelist.txt').write_text('actor\\0005_262041423.jpg\nzoos\\1.jpg\n')
    with pytest.raises(ValueError, match=r"TestImagelist\.txt:2: 'zoos/1\.jpg' is not in .*Imagelist\.txt; take both"):
        build(root, 'test')


@pytest.mark.parametrize(
    ('gone', 'options'),
    [
        ('ImageList/TrainImagelist.txt', {'split': 'train'}),
        ('Groundtruth/TrainTestLabels/Labels_zebra_Train.txt', {'split': 'train'}),
        ('Groundtruth/AllLabels/Labels_zebra.txt', {'split': 'all'}),
        ('list.txt', {'ann_file': 'list.txt'}),
    ],
)
def test_missing_files_show_the_layout(tmp_path: Path, gone: str, options: dict) -> None:
    root = miniature(tmp_path / 'nus')
    (tmp_path / 'nus' / gone).unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match=rf'(?s){gone} not found.*TrainImagelist.*lms\.comp\.nus\.edu\.sg'):
        build(root, **options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'set one of the two'),
        ({'split': 'train', 'ann_file': 'list.txt'}, 'set one of the two'),
        ({'split': 'val'}, "split='val' must be 'train', 'test' or 'all'"),
        ({'split': 'train', 'on_missing': 'ignore'}, "on_missing='ignore' must be"),
        ({'split': 'train', 'metainfo': {'classes': ['dog', 'car']}}, "'car' is not a label .* did you mean .*'cars'"),
        ({'split': 'train', 'metainfo': {'classes': ['dog', 'dog']}}, "'dog' appears twice"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(miniature(tmp_path / 'nus'), **options)


# The cache


@pytest.fixture(scope='module')
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature and a list file that are old enough for the cache."""
    root = tmp_path_factory.mktemp('settled') / 'nus'
    miniature(root)
    (root / 'list.txt').write_text('\n'.join(GOOD))
    settle(root)
    return root


@pytest.mark.parametrize('source', [{'split': 'train'}, {'split': 'all'}, {'ann_file': 'list.txt'}])
def test_kept_labels_are_used_and_equal(settled: Path, cache: Path, source: dict) -> None:
    first = contents(build(str(settled), **source))
    (entry,) = cache.iterdir()
    assert contents(build(str(settled), **source)) == first
    with np.load(entry, allow_pickle=False) as arrays:
        changed = {**arrays, 'labels': np.zeros_like(arrays['labels'])}
    np.savez(entry, **changed)
    assert set(contents(build(str(settled), **source)).values()) == {''}  # so it was read
    assert contents(build(str(settled), cache=False, **source)) == first


def test_nothing_is_written_beside_the_data(settled: Path) -> None:
    before = sorted(settled.rglob('*'))
    build(str(settled), 'train')
    assert sorted(settled.rglob('*')) == before


def test_a_changed_file_is_noticed(tmp_path: Path, cache: Path) -> None:
    """Also where its size and modification time stay as they were."""
    root = miniature(tmp_path / 'nus')
    flags = tmp_path / 'nus' / 'Groundtruth' / 'TrainTestLabels' / 'Labels_bear_Train.txt'
    assert contents(build(root, 'train')) == LABELS['train']
    assert not cache.exists()  # too young to be kept
    settle(root)
    build(root, 'train')
    assert len(list(cache.iterdir())) == 1
    state = flags.stat()
    flags.write_text('1\n0\n0\n0\n')
    os.utime(flags, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (flags.stat().st_size, flags.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert contents(build(root, 'train'))['actor/0001_2124494179.jpg'] == 'bear person'
    shutil.copytree(tmp_path / 'nus', tmp_path / 'other')
    assert contents(build(str(tmp_path / 'other'), 'train'))['actor/0001_2124494179.jpg'] == 'bear person'
    flags.unlink()
    with pytest.raises(FileNotFoundError, match='Labels_bear_Train'):
        build(root, 'train')


def test_a_damaged_entry_is_parsed_again(settled: Path, cache: Path) -> None:
    result = ['a/1.jpg', 'ü/2.jpg'], np.eye(2, 81) > 0
    sources = [str(settled / 'list.txt')]
    cached_labels(sources, lambda: result)
    (entry,) = cache.iterdir()
    good = entry.read_bytes()
    pickled = cache.parent / 'pickled.npz'
    np.savez(pickled, names=np.array([print], object), labels=np.zeros((2, 11), np.uint8), num_classes=81)
    wrong = cache.parent / 'wrong.npz'
    np.savez(wrong, names=np.frombuffer(b'a', np.uint8), labels=np.zeros((2, 11), np.uint8), num_classes=81)
    damaged = [b'', good[:-1], good[: len(good) // 2], b'x' * len(good), pickled.read_bytes(), wrong.read_bytes()]
    rng = np.random.default_rng(0)
    for position in range(0, len(good), 3):
        damaged.append(good[:position] + bytes([good[position] ^ 1 << int(rng.integers(8))]) + good[position + 1 :])
    reparsed = 0
    for raw in damaged:
        entry.write_bytes(raw)
        parsed: list[int] = []
        names, labels = cached_labels(sources, lambda parsed=parsed: parsed.append(1) or result)
        assert names == result[0]
        np.testing.assert_array_equal(labels, result[1])
        reparsed += len(parsed)
        assert not parsed or entry.read_bytes() == good or len(entry.read_bytes()) == len(good)
    assert reparsed > 0.6 * len(damaged)  # the other bits mean nothing, such as dates
    assert list(cache.iterdir()) == [entry]


def test_damage_is_said(settled: Path, cache: Path) -> None:
    build(str(settled), 'train')
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    with Log() as messages:
        assert contents(build(str(settled), 'train')) == LABELS['train']
    assert any(f'{entry}: damaged' in message and 'again' in message for message in messages)


def test_files_that_change_while_they_are_parsed_are_not_kept(settled: Path, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / 'list.txt'
    shutil.copy(settled / 'list.txt', path)
    settle(tmp_path)

    def parse() -> tuple[list[str], np.ndarray]:
        os.utime(path, (1, 1))
        return ['a'], np.ones((1, 81), bool)

    cached_labels([str(path)], parse)
    assert not cache.exists()


def test_a_folder_that_cannot_be_written_is_said_once(
    settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    before = MMLogger.get_current_instance().instance_name
    MMLogger.get_instance('nuswide', log_file=str(tmp_path / 'log'))
    try:
        for _ in range(3):
            assert contents(build(str(settled), 'train')) == LABELS['train']
    finally:
        MMLogger.get_instance(before)
    assert (tmp_path / 'log').read_text().count('parsed labels cannot be kept') == 1
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')  # to be ignored by the standard, and no such folder is made
    assert contents(build(str(settled), 'train')) == LABELS['train']
    assert not Path('relative').exists()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_read_only_folder(settled: Path, tmp_path: Path) -> None:
    (tmp_path / 'cache').mkdir(mode=0o500)
    assert contents(build(str(settled), 'train')) == LABELS['train']


def test_processes_share_the_cache(settled: Path, tmp_path: Path, cache: Path) -> None:
    """Two processes build the same data set time and again while the entry is deleted and damaged under them."""
    code = (
        'import sys\n'
        'from mlic_mm.datasets import NUSWIDE\n'
        'print("ready", flush=True)\n'
        'sys.stdin.readline()\n'
        'for _ in range(50):\n'
        '    dataset = NUSWIDE(sys.argv[1], "train", serialize_data=False)\n'
        '    print([dataset.get_data_info(i)["gt_label"] for i in range(len(dataset))])\n'
    )
    errors = (tmp_path / 'errors').open('w')
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', code, str(settled)],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        while process.stdout.readline() not in ('ready\n', ''):
            pass
    for process in processes:
        assert process.stdin is not None
        process.stdin.write('\n')
        process.stdin.flush()
    turn = 0
    while any(process.poll() is None for process in processes):
        for entry in cache.glob('*.npz'):
            entry.unlink() if turn % 2 else entry.write_bytes(b'PK')
        turn += 1
        time.sleep(0.01)
    expected = str([[CONCEPTS.index(name) for name in labels.split()] for labels in LABELS['train'].values()])
    errors.close()
    for process in processes:
        out, _ = process.communicate()
        assert process.returncode == 0, (tmp_path / 'errors').read_text()
        assert [line for line in out.splitlines() if line.startswith('[[')] == [expected] * 50  # others are logs
    assert turn > 1
    assert not list(cache.glob('*.tmp'))


# Config and tools


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPO / 'tools' / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_base_config_and_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('NUSWIDE_ROOT', miniature(tmp_path / 'nus'))
    config = str(REPO / 'configs' / '_base_' / 'datasets' / 'nuswide_448.py')
    sizes = {split: len(dataset_from_config(config, split)) for split in ('train', 'val', 'test')}
    assert sizes == dict(train=3, val=2, test=2)
    inputs = dataset_from_config(config, 'train')[0]
    assert inputs['inputs'].shape == (3, 448, 448)
    assert inputs['data_samples'].img_id == 'actor/0001_2124494179.jpg'
    load_tool('dataset_stats').main([config, '--split', 'test'])
    out = capsys.readouterr().out
    assert 'NUSWIDE (test): 2 images, 81 labels' in out
    assert 'labels per image: mean 2.00, median 2, most 3; 0 images without labels' in out
    load_tool('browse_dataset').main([config, '--out', str(tmp_path / 'sheet.jpg')])
    assert (tmp_path / 'sheet.jpg').stat().st_size > 1000
    shutil.rmtree(tmp_path / 'nus' / 'Flickr')
    load_tool('dataset_stats').main([config, '--cfg-options', 'train_dataloader.dataset.on_missing=keep'])
    assert 'NUSWIDE (train): 3 images, 81 labels' in capsys.readouterr().out


# The published lists


def unzipped(data_root: Path, name: str) -> bytes:
    return gzip.decompress((data_root / 'nuswide' / f'{name}.gz').read_bytes())


def test_concepts_are_the_published_ones(data_root: Path) -> None:
    assert tuple((data_root / 'nuswide' / 'Concepts81.txt').read_text().split()) == CONCEPTS
    assert len(CONCEPTS) == 81


def test_official_test_split_has_the_published_size(data_root: Path, tmp_path: Path) -> None:
    """With the published list, as many lines of flags as it has, and half of its images on the disk."""
    raw = unzipped(data_root, 'TestImagelist.txt')
    folder = tmp_path / 'Groundtruth' / 'TrainTestLabels'
    folder.mkdir(parents=True)
    (tmp_path / 'ImageList').mkdir()
    (tmp_path / 'ImageList' / 'TestImagelist.txt').write_bytes(raw)
    names = raw.decode().replace('\\', '/').split('\n')[:107_859]
    for k, concept in enumerate(CONCEPTS):
        flags = np.frombuffer(b'0\n' * len(names), np.uint8).copy()
        flags[2 * k :: 2 * 81] = ord('1')
        (folder / f'Labels_{concept}_Test.txt').write_bytes(flags.tobytes())
    assert len(parse_names(raw, 'TestImagelist.txt')) == 107_859
    dataset = build(str(tmp_path), 'test', on_missing='keep', cache=False)
    assert len(dataset) == 107_859
    for i in (0, 1, 80, 81, 50_000, 107_858):
        info = dataset.get_data_info(i)
        assert (info['img_id'], info['gt_label']) == (names[i], [i % 81])


def published(data_root: Path, tmp_path: Path, split: str) -> NUSWIDE:
    (tmp_path / f'{split}.txt').write_bytes(unzipped(data_root, f'deephash_{split}.txt'))
    return build(str(tmp_path), ann_file=f'{split}.txt', on_missing='keep')


MOST_FREQUENT = ['sky', 'clouds', 'person', 'water', 'animal', 'grass', 'buildings', 'window', 'plants', 'lake']
"""Of all 269,648 images, in this order (the ten concepts of the usual subset)."""
NEXT = ['ocean', 'road', 'flowers', 'sunset', 'reflection', 'rocks', 'vehicle', 'snow', 'tree', 'beach', 'mountain']
"""With the ten above the 21 concepts of at least 5,000 images, of which another usual subset consists."""


@pytest.mark.parametrize(('split', 'size'), [('train', 10_000), ('test', 5_000)])
def test_published_list_files(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, size: int
) -> None:
    dataset = published(data_root, tmp_path, split)
    targets = dataset.targets()
    assert targets.shape == (size, 81)
    counts = dict(zip(CONCEPTS, targets.sum(0).tolist(), strict=True))
    order = sorted(counts, key=lambda name: -counts[name])
    assert set(order[:21]) == {*MOST_FREQUENT, *NEXT}
    if split == 'train':  # of the 5,000 a sample is too small for the closest pairs
        assert order[:10] == MOST_FREQUENT
    assert targets.any(1).all()
    independent = unzipped(data_root, f'deephash_{split}.txt').decode().split('\n')[17].split()
    assert dataset.get_data_info(17)['img_id'] == independent[0]
    assert targets[17].tolist() == [int(flag) for flag in independent[1:]]
    config = tmp_path / 'config.py'
    config.write_text(
        f"train_dataloader = dict(dataset=dict(type='mlic_mm.NUSWIDE', data_root={str(tmp_path)!r}, "
        f"ann_file='{split}.txt', on_missing='keep', pipeline=[]))\n"
    )
    load_tool('dataset_stats').main([str(config)])
    out = capsys.readouterr().out
    assert f'NUSWIDE (train): {size} images, 81 labels' in out
    assert 'labels per image: mean 2.4' in out
    row = next(line for line in out.splitlines() if line.startswith('sky '))
    assert row.split()[1] == str(counts['sky'])


def test_flags_of_the_list_files_are_in_the_order_of_the_concepts(data_root: Path, tmp_path: Path) -> None:
    """A photograph that the official list keeps under the name of a concept mostly has that concept."""
    official = parse_names(unzipped(data_root, 'TestImagelist.txt'), 'TestImagelist.txt')
    folder_of = {name.rsplit('_', 1)[1][:-4]: name.split('/')[0] for name in official}
    dataset = published(data_root, tmp_path, 'train')
    hits = []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        folder = folder_of.get(info['img_id'].split('_')[1])
        if folder in CONCEPTS:
            hits.append(CONCEPTS.index(folder) in info['gt_label'])
    assert len(hits) > 300
    assert np.mean(hits) > 0.6  # by chance, 0.03


def test_published_names_meet_the_official_ones_by_number(data_root: Path, tmp_path: Path) -> None:
    """Images named as in the list files are found for the entries of the official list."""
    official = parse_names(unzipped(data_root, 'TestImagelist.txt'), 'TestImagelist.txt')
    names, _ = parse_list(unzipped(data_root, 'deephash_test.txt'), 'deephash_test.txt')
    (tmp_path / 'images').mkdir()
    for name in names:
        (tmp_path / name).touch()
    paths, by_number = find_images(str(tmp_path), official)
    assert by_number == sum(path is not None for path in paths) == 2021
