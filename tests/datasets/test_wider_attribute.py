"""WIDER Attribute: a miniature in the published layout, with real photographs, and the crop of each person."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_helpers import REPO, Log
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from run_tool import call_tool

from mlic_mm.datasets import CropBox, LoadImage, WIDERAttribute
from mlic_mm.datasets.transforms import image_io
from mlic_mm.datasets.wider_attribute.annotation import ATTRIBUTES
from mlic_mm.registry import DATASETS

PUBLISHED = [1, 0, -1, 1, -1, -1, 0, 1, -1, -1, -1, -1, 1, -1]
OURS = [1, -1, 0, 1, 0, 0, -1, 1, 0, 0, 0, 0, 1, 0]
NOTHING, UNKNOWN = [-1] * 14, [0] * 14
PIPELINE = [dict(type='mlic_mm.LoadImage'), dict(type='mlic_mm.CropBox')]

PERSONS = {  # width and height are those of the pictures below, 60 × 40
    'train/0--Parade/0_Parade_marchingband_1_5.jpg': [
        ([10.0, 4.0, 20.0, 30.0], PUBLISHED),
        ([-5.5, -2.0, 20.0, 30.0], NOTHING),
        ([40.2, 10.7, 30.0, 30.0], UNKNOWN),
    ],
    'train/1--Handshaking/1_Handshaking_2.jpg': [],
    'val/1--Handshaking/1_Handshaking_9.jpg': [([0, 0, 60, 40], PUBLISHED)],
}
TEST = {'test/0--Parade/0_Parade_3.jpg': [([5.0, 5.0, 10.0, 10.0], NOTHING), ([5.0, 5.0, 10.0, 10.0], NOTHING)]}


def content(persons: dict) -> dict:
    """Persons in the published form."""
    images = [
        dict(file_name=name, scene_id=0, targets=[dict(attribute=values, bbox=box) for box, values in targets])
        for name, targets in persons.items()
    ]
    names = {str(i): name for i, name in enumerate(ATTRIBUTES)}
    return dict(images=images, attribute_id_map=names, scene_id_map={'0': 'Parade'})


def picture(path: Path) -> None:
    """60 × 40: red is the column, green the row."""
    rows, columns = np.mgrid[:40, :60]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([columns, rows, 0 * rows], 2).astype(np.uint8)).save(
        path, 'PNG'
    )  # exact, whatever its name


def miniature(
    root: Path, annotations: str = 'Annotations', image: str = 'Image', trainval: object = None, test: object = None
) -> str:
    """Write the published layout with five persons in four photographs; return the root."""
    (root / annotations).mkdir(parents=True, exist_ok=True)
    for name, default, other in (('trainval', PERSONS, trainval), ('test', TEST, test)):
        text = json.dumps(content(default) if other is None else other)
        (root / annotations / f'wider_attribute_{name}.json').write_text(text)
    for name in PERSONS | TEST:
        picture(root / image / name)
    return str(root)


def build(*args: object, **options: object) -> WIDERAttribute:
    """Unserialised, which saves mmengine's collection of garbage for each of these many data sets."""
    return WIDERAttribute(*args, **{'serialize_data': False, **options})


def test_values_become_ours(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path), split='train')
    np.testing.assert_array_equal(dataset.targets(), [OURS, [0] * 14, [-1] * 14])
    info = dataset.get_data_info(0)
    assert info['img_id'] == 'train/0--Parade/0_Parade_marchingband_1_5.jpg#0'
    assert Path(info['img_path']) == tmp_path / 'Image/train/0--Parade/0_Parade_marchingband_1_5.jpg'
    assert info['box'] == [10, 4, 30, 34]
    assert info['gt_label'] == [0, 3, 7, 12]
    assert info['gt_score'].dtype == np.float32
    assert dataset.metainfo['classes'] == ATTRIBUTES


def test_splits(tmp_path: Path) -> None:
    root = miniature(tmp_path)
    ids = {split: [i['img_id'] for i in build(root, split=split).data_list] for split in ('train', 'val', 'test')}
    assert [len(ids[split]) for split in ('train', 'val', 'test')] == [3, 1, 2]
    assert [i['img_id'] for i in build(root).data_list] == ids['train'] + ids['val']
    assert len({name for names in ids.values() for name in names}) == 6  # also where one person is listed twice


@pytest.mark.parametrize('annotations', ['Annotations', 'Anno', 'annotations', 'wider_attribute_annotation', '.'])
@pytest.mark.parametrize('image', ['Image', 'images', 'wider_attribute_image/Image', '.'])
def test_where_archives_are_unpacked(tmp_path: Path, annotations: str, image: str) -> None:
    dataset = build(miniature(tmp_path, annotations, image), split='test')
    assert os.path.samefile(dataset.get_data_info(0)['img_path'], tmp_path / image / next(iter(TEST)))
    again = build(str(tmp_path), split='test', data_prefix=image, ann_file=f'{annotations}/wider_attribute_test.json')
    assert os.path.samefile(again.get_data_info(0)['img_path'], dataset.get_data_info(0)['img_path'])


def test_subset_and_order_of_classes(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path), metainfo=dict(classes=['logo', 'longHair', 'jeans']))
    np.testing.assert_array_equal(dataset.targets(), [[1, -1, 0], [0, 0, 0], [-1, -1, -1], [1, -1, 0]])


def crop(dataset: WIDERAttribute, i: int) -> list[int]:
    """First and last column and row of a person's crop, read from the colours."""
    img = dataset[i]['img']
    assert img.shape[:2] == dataset[i]['img_shape']
    left, right, top, bottom = (int(v) for v in (img[0, 0, 2], img[-1, -1, 2], img[0, 0, 1], img[-1, -1, 1]))
    assert img.shape[:2] == (bottom - top + 1, right - left + 1)
    return [left, right, top, bottom]


def test_persons_are_cropped(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path), pipeline=PIPELINE)
    assert crop(dataset, 0) == [10, 29, 4, 33]
    assert crop(dataset, 1) == [0, 14, 0, 27]  # begins outside and ends at 14.5
    assert crop(dataset, 2) == [40, 59, 10, 39]  # ends outside
    assert crop(dataset, 3) == [0, 59, 0, 39]
    assert dataset[0]['ori_shape'] == (40, 60)


def test_context_on_each_side(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path), pipeline=[PIPELINE[0], dict(type='mlic_mm.CropBox', context=0.1)])
    assert crop(dataset, 0) == [8, 31, 1, 36]  # 2 columns and 3 rows
    assert crop(dataset, 3) == [0, 59, 0, 39]


def test_a_shrunk_photograph_is_cropped_at_the_same_place(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path), pipeline=[dict(type='mlic_mm.LoadImage', short_side=20), PIPELINE[1]])
    img = dataset[0]['img']
    assert img.shape == (15, 10, 3)
    assert dataset[0]['ori_shape'] == (40, 60)
    assert abs(int(img[0, 0, 2]) - 10.5) <= 1  # two columns of 10 and 11 became one
    assert abs(int(img[-1, -1, 1]) - 32.5) <= 1


@settings(deadline=None)
@given(
    box=st.tuples(*[st.floats(-50, 150, width=32)] * 2, *[st.floats(0.5, 100, width=32)] * 2),
    context=st.floats(0, 2),
    shrink=st.integers(1, 4),
)
def test_crops_are_never_empty_and_hold_the_box(box: tuple, context: float, shrink: int) -> None:
    x, y, width, height = box
    size, shape = (80, 100), (80 // shrink, 100 // shrink, 3)
    sample = dict(img=np.zeros(shape, np.uint8), ori_shape=size, img_path='a.jpg', box=[x, y, x + width, y + height])
    if not (x < 100 and y < 80 and x + width > 0 and y + height > 0):
        with pytest.raises(ValueError, match=r'a\.jpg: box .* has no area inside the image of 100 × 80'):
            CropBox(context).transform(sample)
        return
    rows, columns = CropBox(context).transform(sample)['img'].shape[:2]
    wanted_rows = (min(y + height * (1 + context), 80) - max(y - height * context, 0)) * shape[0] / 80
    wanted_columns = (min(x + width * (1 + context), 100) - max(x - width * context, 0)) * shape[1] / 100
    assert max(1, wanted_rows - 1e-6) <= rows < wanted_rows + 2
    assert max(1, wanted_columns - 1e-6) <= columns < wanted_columns + 2


def test_crop_box_leaves_other_samples_alone() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert CropBox().transform(dict(img=image))['img'] is image
    for context in (-0.1, float('nan'), float('inf')):
        with pytest.raises(ValueError, match=r'context=.* must be a number at least 0'):
            CropBox(context)


def test_a_pipeline_that_does_not_crop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not crop.*add dict\(type='mlic_mm\.CropBox'\) after"):
        build(miniature(tmp_path), pipeline=PIPELINE[:1])


def test_cache_reads_a_photograph_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    real = image_io.read_image

    def counted(path: str, *args: object) -> tuple:
        reads.append(path)
        return real(path, *args)

    monkeypatch.setattr('mlic_mm.datasets.transforms.load_image.read_image', counted)
    dataset = build(miniature(tmp_path), pipeline=[dict(type='mlic_mm.LoadImage', cache_mb=1), PIPELINE[1]])
    crops = [dataset[i]['img'] for i in (0, 1, 2, 3, 0)]
    assert sorted(reads) == sorted({info['img_path'] for info in dataset.data_list})
    crops[0][:] = 99  # does not reach the cache
    assert crop(dataset, 0) == [10, 29, 4, 33]


@pytest.mark.integration
@pytest.mark.parametrize('num_workers', [0, 2])
def test_unreadable_photographs_are_left_out_with_all_their_persons(tmp_path: Path, num_workers: int) -> None:
    root = miniature(tmp_path)
    (tmp_path / 'Image' / next(iter(PERSONS))).write_bytes(b'')
    pipeline = [dict(type='mlic_mm.LoadImage', on_error='skip'), PIPELINE[1], dict(type='PackInputs')]
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=num_workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='mlic_mm.WIDERAttribute', data_root=root, pipeline=pipeline),
        )
    )
    assert [len(batch['inputs']) for batch in loader] == [1]
    assert len(loader.dataset.skipped) == 1


def test_missing_photographs(tmp_path: Path) -> None:
    root = miniature(tmp_path)
    gone = next(iter(PERSONS))
    (tmp_path / 'Image' / gone).unlink()
    (tmp_path / 'Image/train/1--Handshaking/1_Handshaking_2.jpg').unlink()  # nobody in it
    with pytest.raises(FileNotFoundError, match=rf"(?s)1 of 2 images.*{gone}.*on_missing='skip'.*WIDER_ROOT"):
        build(root)
    dataset = build(root, on_missing='skip')
    assert len(dataset) == 1
    assert dataset.missing == (gone,)
    assert len(build(root, on_missing='keep')) == 4
    with pytest.raises(FileNotFoundError, match=r'(?s)none of the 1 images.*mmlab\.ie\.cuhk'):
        build(root, split='train', on_missing='skip')
    with pytest.raises(FileNotFoundError, match=r'(?s)wider_attribute_trainval\.json not found.*Image/train'):
        build(str(tmp_path / 'nowhere'))


def changed(**change: object) -> dict:
    """The published content with another first person."""
    result = content(PERSONS)
    result['images'][0]['targets'][1].update(change)
    return result


def doubled() -> dict:
    result = content(PERSONS)
    result['images'].append(result['images'][0])
    return result


PERSON = r'0_Parade_marchingband_1_5\.jpg#1'


@pytest.mark.parametrize(
    ('trainval', 'message'),
    [
        (changed(attribute=[1] * 13), rf'{PERSON} has attribute \[1, .*expected 14 values'),
        (changed(attribute=None), rf'{PERSON} has attribute None'),
        (
            changed(attribute=[*NOTHING[:13], 2]),
            rf'{PERSON} has stripe = 2, expected 1 \(present\), -1',
        ),
        (changed(attribute=['1', *NOTHING[:13]]), rf"{PERSON} has Male = '1'"),
        (changed(bbox=[1, 2, 3]), rf'{PERSON} has bbox \[1, 2, 3\], expected \[x, y, width, height\]'),
        (changed(bbox='10'), rf"{PERSON} has bbox '10', expected"),
        (changed(bbox=None), rf'{PERSON} has bbox None, expected'),
        (changed(bbox=[1, 2, 3, 0]), rf'{PERSON} has bbox \[1, 2, 3, 0\], which has no area inside'),
        (changed(bbox=[1, 2, -3, 4]), rf'{PERSON} .* no area inside'),
        (changed(bbox=[1, 2, 1e300, 4]), rf'{PERSON} .* no area inside'),
        (changed(bbox=[-1e300, 2, 1e301, 4]), rf'{PERSON} .* no area inside'),
        (changed(bbox=[1, 2, 10**400, 4]), rf'{PERSON} has bbox .*, expected'),
        (changed(bbox=[-9, 2, 9, 4]), rf'{PERSON} .* no area inside'),
        (changed(bbox=[1, float('nan'), 3, 4]), rf'{PERSON} .* no area inside'),
        (doubled(), r"images\[3\]: 'train/.*_5\.jpg' is already images\[0\]; merge"),
        ({}, "no list 'images'"),
        ([], "no list 'images'"),
        ({'images': []}, "no person in split='trainval'"),
        (content({'train/a.jpg': []}), "no person in split='trainval'"),
        (content(TEST), r"images\[0\]: 'test/.*' is not in train/ or val/"),
        ({'images': [{'file_name': 'train/a.jpg'}]}, r'images\[0\] = .* lacks'),
        ({'images': ['train/a.jpg']}, r'images\[0\] = .* lacks'),
    ],
)
def test_wrong_entries_name_file_image_and_value(tmp_path: Path, trainval: object, message: str) -> None:
    with pytest.raises(ValueError, match=rf'wider_attribute_trainval\.json: .*{message}'):
        build(miniature(tmp_path, trainval=trainval))


def test_a_box_beyond_the_photograph_names_the_person(tmp_path: Path) -> None:
    dataset = build(miniature(tmp_path, trainval=changed(bbox=[60, 0, 5, 5])), pipeline=PIPELINE)
    with pytest.raises(ValueError, match=rf"{PERSON}' has no area inside the image of 60 × 40 pixels; correct"):
        dataset[1]
    sample = dict(img=np.zeros((40, 60, 3), np.uint8), ori_shape=(40, 60), box=[60.0, 0.0, 65.0, 5.0])
    assert CropBox(outside='whole').transform(sample)['img'].shape == (40, 60, 3)
    with pytest.raises(ValueError, match="outside='skip' must be one of raise, whole"):
        CropBox(outside='skip')


@pytest.mark.parametrize('kept', [0, 1, 100, -1])
def test_half_written_annotation(tmp_path: Path, kept: int) -> None:
    root = miniature(tmp_path)
    path = tmp_path / 'Annotations/wider_attribute_trainval.json'
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r'wider_attribute_trainval\.json: not valid JSON .*download'):
        build(root)


def test_names_in_the_file_confirm_the_order(tmp_path: Path) -> None:
    fig_4 = (
        'male, long hair, sunglasses, hat, t-shirt, long sleeves, formal, short, jeans, long pants, skirt, face mask'
    )
    names = [*fig_4.split(', '), 'logo', 'Streifen']
    other = content(PERSONS)
    other['attribute_id_map'] = {str(i): name for i, name in enumerate(names)}
    with Log() as said:
        assert len(build(miniature(tmp_path, trainval=other))) == 4
    assert [line.split('json: ')[1] for line in said] == ["attribute 13, 'Streifen', is taken for 'stripe'"]
    other['attribute_id_map'] |= {'3': 'T-Shirt', '4': 'Hat'}
    with pytest.raises(ValueError, match=r"attribute 3 is 'T-Shirt' where WIDER Attribute has 'Hat'"):
        build(miniature(tmp_path, trainval=other))
    other['attribute_id_map'] = {'0': 'Male'}
    with pytest.raises(ValueError, match=r'attribute_id_map = .* must name attributes "0" to "13"'):
        build(miniature(tmp_path, trainval=other))
    del other['attribute_id_map']
    assert len(build(miniature(tmp_path, trainval=other))) == 4


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'split': 'all'}, "split='all' must be"),
        ({'on_missing': 'no'}, "on_missing='no' must be"),
        ({'metainfo': {'classes': ['long hair']}}, r"\[0\] = 'long hair' is not a label.*did you mean 'longHair'"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(miniature(tmp_path), **options)


@pytest.fixture(scope='module')
def real(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list]]:
    """COCO photographs and the boxes of their persons in the layout of WIDER Attribute; attributes at random."""
    source = data_root / 'coco_mini'
    annotation = json.loads((source / 'annotations/instances_val2017.json').read_text())
    person = next(c['id'] for c in annotation['categories'] if c['name'] == 'person')
    boxes: dict[int, list] = {}
    for entry in annotation['annotations']:
        if entry['category_id'] == person and not entry['iscrowd']:
            boxes.setdefault(entry['image_id'], []).append(entry['bbox'])
    root = tmp_path_factory.mktemp('wider')
    rng = np.random.default_rng(0)
    persons: dict[str, list] = {}
    for image in [image for image in annotation['images'] if len(boxes.get(image['id'], ())) > 1][:12]:
        name = f'{"test" if len(persons) % 2 else "train"}/0--Parade/{image["file_name"]}'
        (root / 'Image' / name).parent.mkdir(parents=True, exist_ok=True)
        (root / 'Image' / name).symlink_to(source / 'val2017' / image['file_name'])
        persons[name] = [(box, rng.integers(-1, 2, 14).tolist()) for box in boxes[image['id']]]
    (root / 'Annotations').mkdir()
    for file, split in (('trainval', 'train'), ('test', 'test')):
        chosen = {name: targets for name, targets in persons.items() if name.startswith(split)}
        (root / f'Annotations/wider_attribute_{file}.json').write_text(json.dumps(content(chosen)))
    return root, persons


CONFIG = REPO / 'configs/_base_/datasets/wider_attribute_224.py'


def test_base_config_on_real_photographs(real: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    root, persons = real
    monkeypatch.setenv('WIDER_ROOT', str(root))
    cfg = Config.fromfile(CONFIG)
    init_default_scope('mmpretrain')
    for loader, split in ((cfg.train_dataloader, 'train'), (cfg.test_dataloader, 'test')):
        dataset = DATASETS.build(loader.dataset)
        expected = [(name, k) for name in persons if name.startswith(split) for k in range(len(persons[name]))]
        assert len(dataset) == len(expected) > 12
        for i, (name, k) in list(enumerate(expected))[::4]:
            sample = dataset[i]
            assert sample['data_samples'].img_id == f'{name}#{k}'
            x, y, w, h = persons[name][k][0]
            photo = LoadImage().transform(dict(img_path=str(root / 'Image' / name)))['img']
            part = photo[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))]
            np.testing.assert_array_equal(sample['inputs'].permute(1, 2, 0), cv2.resize(part, (224, 224)))


def test_tools(real: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    root, persons = real
    monkeypatch.setenv('WIDER_ROOT', str(root))
    number = sum(len(targets) for name, targets in persons.items() if name.startswith('train'))
    call_tool('dataset_stats', str(CONFIG), '--out', str(tmp_path / 'stats.png'))
    text = capsys.readouterr().out
    assert f'WIDERAttribute (train): {number} images, 14 labels' in text
    assert 'longHair' in text
    sheets = {}
    for stage in ('before', 'after'):
        out = tmp_path / f'{stage}.png'
        call_tool('browse_dataset', str(CONFIG), '--out', str(out), '--stage', stage, '--number', '2')
        sheets[stage] = np.asarray(Image.open(out).convert('RGB'))
    first, second = (sheets['after'][8:232, 8 + k * 232 : 232 + k * 232] for k in range(2))
    assert (first != second).mean() > 0.5  # two persons of one photograph
