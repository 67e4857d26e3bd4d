"""NUS-WIDE: miniatures in the published layout worked by hand, and every way to get it wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import REPO, Log
from hypothesis import given, settings
from hypothesis import strategies as st
from nus_wide_miniature import ALL, LABELS, ORDER, build, contents, lines, miniature, picture
from run_tool import call_tool

from mlic_mm.datasets.find_images import find_images
from mlic_mm.datasets.from_config import dataset_from_config
from mlic_mm.datasets.nus_wide.lists import CONCEPTS, parse_flags, parse_list

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
        ({'split': 'val'}, "split='val' must be one of train, test, all"),
        ({'split': 'train', 'on_missing': 'ignore'}, "on_missing='ignore' must be"),
        ({'split': 'train', 'metainfo': {'classes': ['dog', 'car']}}, "'car' is not a label .* did you mean .*'cars'"),
        ({'split': 'train', 'metainfo': {'classes': ['dog', 'dog']}}, "'dog' appears twice"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(miniature(tmp_path / 'nus'), **options)


# Config and tools


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
    call_tool('dataset_stats', config, '--split', 'test')
    out = capsys.readouterr().out
    assert 'NUSWIDE (test): 2 images, 81 labels' in out
    assert 'labels per image: mean 2.00, median 2, most 3; 0 images without labels' in out
    call_tool('browse_dataset', config, '--out', str(tmp_path / 'sheet.jpg'))
    assert (tmp_path / 'sheet.jpg').stat().st_size > 1000
    shutil.rmtree(tmp_path / 'nus' / 'Flickr')
    call_tool('dataset_stats', config, '--cfg-options', 'train_dataloader.dataset.on_missing=keep')
    assert 'NUSWIDE (train): 3 images, 81 labels' in capsys.readouterr().out
