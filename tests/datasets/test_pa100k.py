"""PA-100K: the table of labels, the published annotation, real crops, missing ones, and damaged files."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from dataset_helpers import REPO
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from run_tool import call_tool

from mlic_mm.datasets import PA100K
from mlic_mm.datasets.pa100k.annotation import ATTRIBUTES
from mlic_mm.registry import DATASETS

NUMBERS = dict(train=[1, 2, 3], val=[4], test=[5, 6])
LABELS = np.zeros((6, 26), np.uint8)
LABELS[[0, 0, 1, 3, 4], [0, 25, 3, 7, 25]] = 1  # image 3 and 6 have none


def build(*args: object, **options: object) -> PA100K:
    """Unserialised, which saves mmengine's collection of garbage for each of these many data sets."""
    return PA100K(*args, **{'serialize_data': False, **options})


def cells(names: list[str]) -> np.ndarray:
    """A MATLAB cell array ``(n, 1)`` of strings."""
    column = np.empty((len(names), 1), object)
    column[:, 0] = names
    return column


def content() -> dict:
    """The published fields in small."""
    fields = {'attributes': cells(list(ATTRIBUTES))}
    for split, numbers in NUMBERS.items():
        fields[f'{split}_images_name'] = cells([f'{n:06d}.jpg' for n in numbers])
        fields[f'{split}_label'] = LABELS[np.array(numbers) - 1]
    return fields


def miniature(root: Path, folder: str = 'release_data/release_data', **fields: object) -> str:
    """Write ``annotation.mat`` and six crops; ``fields`` replace the published ones, None leaves one out."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(1, 7):
        Image.new('RGB', (8, 20), (40 * number, 0, 0)).save(root / folder / f'{number:06d}.jpg')
    fields = {key: value for key, value in {**content(), **fields}.items() if value is not None}
    scipy.io.savemat(root / 'annotation.mat', fields)
    return str(root)


@pytest.fixture(scope='module')
def table(data_root: Path) -> str:
    return str(data_root / 'pa100k')


@pytest.mark.parametrize(
    ('split', 'numbers'), [('train', [1, 2, 3]), ('val', [4]), ('trainval', [1, 2, 3, 4]), ('test', [5, 6])]
)
def test_published_annotation(tmp_path: Path, split: str, numbers: list[int]) -> None:
    dataset = build(miniature(tmp_path), split=split)
    np.testing.assert_array_equal(dataset.targets(), LABELS[np.array(numbers) - 1])
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['img_id'] for info in infos] == [f'{n:06d}.jpg' for n in numbers]
    assert all(Path(info['img_path']).is_file() for info in infos)
    assert infos[0]['gt_score'].dtype == np.float32
    assert dataset.metainfo['classes'] == ATTRIBUTES


@pytest.mark.parametrize('folder', ['release_data/release_data', 'release_data', 'data', 'images', '.'])
def test_folders_that_archives_leave(tmp_path: Path, folder: str) -> None:
    dataset = build(miniature(tmp_path, folder), split='test')
    assert Path(dataset.get_data_info(0)['img_path']).resolve() == (tmp_path / folder / '000005.jpg').resolve()


def test_official_split_of_the_table_is_by_order(table: str) -> None:
    with np.load(Path(table) / 'pa100k_labels_100000x26.npz') as archive:
        labels, names = archive['labels'], archive['attributes'].tolist()
    assert tuple(names) == ATTRIBUTES
    for split, start, end in (('train', 0, 80_000), ('val', 80_000, 90_000), ('test', 90_000, 100_000)):
        for images in ((1, 300), (end - start - 300, end - start)):
            dataset = build(table, split=split, on_missing='keep', images=images)
            rows = start + np.arange(images[0] - 1, images[1])
            np.testing.assert_array_equal(dataset.targets(), labels[rows])
            assert [info['img_id'] for info in dataset.data_list] == [f'{row + 1:06d}.jpg' for row in rows]
    assert len(build(table, split='test', on_missing='keep')) == 10_000
    for split, number in (('train', 80_000), ('trainval', 90_000)):
        with pytest.raises(ValueError, match=f'from 1 to {number}'):
            build(table, split=split, on_missing='keep', images=(1, number + 1))


def test_both_annotations_agree(table: str, tmp_path: Path) -> None:
    """The published form of the same labels, 200 of each split."""
    with np.load(Path(table) / 'pa100k_labels_100000x26.npz') as archive:
        labels = archive['labels']
    fields = {'attributes': cells(list(ATTRIBUTES))}
    for split, start in (('train', 0), ('val', 80_000), ('test', 90_000)):
        fields[f'{split}_images_name'] = cells([f'{start + n:06d}.jpg' for n in range(1, 201)])
        fields[f'{split}_label'] = labels[start : start + 200]
    scipy.io.savemat(tmp_path / 'annotation.mat', fields)
    for split in ('train', 'val', 'test'):
        a, b = (build(root, split=split, on_missing='keep', images=(1, 200)) for root in (table, str(tmp_path)))
        np.testing.assert_array_equal(a.targets(), b.targets())
        assert a.targets().any()
        assert [info['img_id'] for info in a.data_list] == [info['img_id'] for info in b.data_list]


def test_missing_images(table: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"(?s)78000 of 80000 .*002001\.jpg.*on_missing='skip'.*HydraPlus"):
        build(table, split='train')
    with pytest.raises(FileNotFoundError, match=r'(?s)none of the 10000 images.*090001\.jpg.*PA100K_ROOT'):
        build(table, split='test', on_missing='skip')
    dataset = build(table, split='train', on_missing='skip')
    assert len(dataset) == 2000
    assert len(dataset.missing) == 78_000
    assert dataset.missing[0] == '002001.jpg'
    assert [len(build(table, split='train', on_missing='skip', indices=n)) for n in (1400, -600)] == [1400, 600]


def test_blocks_need_no_other_images(table: str, tmp_path: Path) -> None:
    dataset = build(table, images=(1401, 2000))
    ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    assert ids == [f'{n:06d}.jpg' for n in range(1401, 2001)]
    assert dataset.missing == ()
    assert Image.open(dataset.get_data_info(0)['img_path']).size[1] > 90
    with pytest.raises(FileNotFoundError, match='1 of 10 images'):
        build(table, images=(1992, 2001))
    for images in ((0, 5), (5, 4), (2, 4), (1, 2, 3), (1.0, 2), 3):
        with pytest.raises(ValueError, match=r'images=.* must be two numbers from 1 to 3'):
            build(miniature(tmp_path), split='train', images=images)


def test_mini_config_is_two_separate_blocks(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PA100K_ROOT', table)
    cfg = Config.fromfile(REPO / 'configs/_base_/datasets/pa100k_128.py')
    init_default_scope('mmpretrain')
    train, test = (DATASETS.build(cfg[f'{name}_dataloader'].dataset) for name in ('train', 'test'))
    ids = [[dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] for dataset in (train, test)]
    assert ids[0] + ids[1] == [f'{n:06d}.jpg' for n in range(1, 2001)]
    assert len(ids[0]) == 1400
    assert train[0]['inputs'].shape == (3, 128, 128)
    assert test[599]['data_samples'].img_id == '002000.jpg'
    # Every attribute can be learnt and tested.
    assert all(dataset.targets().any(0).all() for dataset in (train, test))


def test_subset_and_order_of_classes(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path), metainfo=dict(classes=['boots', 'Female']))
    np.testing.assert_array_equal(dataset.targets(), [[1, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'split': 'tests'}, "split='tests' must be"),
        ({'on_missing': 'ignore'}, "on_missing='ignore' must be"),
        ({'ann_file': 'annotation.txt'}, r'must end in \.mat or \.npz'),
        ({'metainfo': {'classes': ['Boots']}}, r"\[0\] = 'Boots' is not a label of PA-100K; did you mean 'boots'"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, message: str) -> None:
    (tmp_path / 'annotation.txt').touch()
    with pytest.raises(ValueError, match=message):
        build(miniature(tmp_path), **options)


def test_missing_annotation_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'(?s)annotation\.mat not found.*release_data.*PA100K_ROOT'):
        build(str(tmp_path))


TWO = np.zeros((3, 26))
TWO[1, 3] = 2


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(val_label=None), "no 'val_label', only attributes, train_images_name"),
        (dict(attributes=cells(list(ATTRIBUTES[:25]))), '25 attributes, PA-100K has 26'),
        (dict(attributes=cells([*ATTRIBUTES[::-1]])), r"attributes\[0\] = 'boots' where PA-100K has 'Female'"),
        (dict(train_label=TWO), r"train_label: image 2, 'AgeLess18' has 2\.0, expected 0 \(absent\) or 1"),
        (dict(train_label=np.full((3, 26), np.nan)), "image 1, 'Female' has nan"),
        (dict(train_label=np.zeros((2, 26))), r'train_label is .*\(2, 26\), expected numbers \(3, 26\)'),
        (dict(val_label=np.zeros((1, 25))), r'val_label is .*, expected numbers \(1, 26\)'),
        (dict(test_images_name=cells(['000005.jpg', '000003.jpg'])), r"\(2\) = '000003.jpg' is there already as train"),
        (dict(val_images_name=cells([' '])), r"val_images_name\(1\) = '' is blank"),
    ],
)
def test_wrong_annotation_names_file_and_value(tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf'annotation\.mat: .*{message}'):
        build(miniature(tmp_path, **fields))


def test_wrong_tables(tmp_path: Path) -> None:
    path = tmp_path / 'table.npz'
    labels = np.zeros((100_000, 26), np.uint8)
    short = dict(labels=labels[1:], attributes=ATTRIBUTES)
    wrong = {
        "no 'labels', only attributes": dict(attributes=ATTRIBUTES),
        r'labels is uint8 \(99999, 26\), expected numbers \(100000, 26\)': short,
        'not a whole npz file': dict(labels=labels.astype(object)[:1], attributes=ATTRIBUTES),  # would need pickle
    }
    for message, arrays in wrong.items():
        np.savez_compressed(path, **arrays)
        with pytest.raises(ValueError, match=rf'table\.npz: .*{message}'):
            build(str(tmp_path), ann_file='table.npz', on_missing='keep')


@pytest.mark.parametrize('name', ['annotation.mat', 'pa100k_labels_100000x26.npz'])
@pytest.mark.parametrize('kept', [0, 60, 200, -10])
def test_half_written_files(tmp_path: Path, name: str, kept: int) -> None:
    miniature(tmp_path)
    np.savez(tmp_path / 'pa100k_labels_100000x26.npz', labels=np.zeros((100_000, 26), np.uint8), attributes=ATTRIBUTES)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=rf"{name}: (not a|no ')"):
        build(str(tmp_path), ann_file=name, on_missing='keep')


def test_tools(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv('PA100K_ROOT', table)
    config = str(REPO / 'configs/_base_/datasets/pa100k_224.py')
    keep = 'test_dataloader.dataset.on_missing=keep'
    call_tool('dataset_stats', config, '--split', 'test', '--cfg-options', keep)
    text = capsys.readouterr().out
    assert 'PA100K (test): 10000 images, 26 labels' in text
    assert 'never present' not in text
    block = 'train_dataloader.dataset.images=[1401,2000]'
    for stage in ('before', 'after'):
        out = tmp_path / f'{stage}.jpg'
        words = [config, '--out', str(out), '--stage', stage, '--number', '3', '--cfg-options', block]
        call_tool('browse_dataset', *words)
        assert Image.open(out).width == 3 * 232 + 8
