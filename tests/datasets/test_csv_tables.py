"""Tables as Kaggle, pandas and published data sets have them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import Log, build_csv

from mlic_mm.datasets import CSVMultiLabel


def rows(dataset: CSVMultiLabel) -> dict[str, str]:
    """Labels of each image, ignored ones in brackets."""
    shown = {1: '{}', -1: '({})'}
    classes = dataset.metainfo['classes']
    return {
        info['img_id']: ' '.join(shown[v].format(c) for c, v in zip(classes, info['gt_score'], strict=True) if v)
        for info in (dataset.get_data_info(i) for i in range(len(dataset)))
    }


PLANET = 'image_name,tags\na,haze primary\nx,agriculture clear primary water\n'
CHEST = 'Image Index,Finding Labels,Patient Age,Width,Height]\na.png,Mass|Edema,58,9,9\nb.png,No Finding,60,9,9\n'
TWO_FLAGS = {'a.jpg': 'cat', 'b.jpg': '', 'c.jpg': '(cat)', 'd.jpg': ''}
CAT_DOG = {'a.jpg': 'cat dog', 'b.jpg': ''}


@pytest.mark.parametrize(
    ('content', 'options', 'expected'),
    [
        (PLANET, {}, {'a': 'haze primary', 'x': 'agriculture clear primary water'}),
        (
            PLANET.replace('primary', 'p q'),
            {'label_delimiter': ';'},
            {'a': 'haze p q', 'x': 'agriculture clear p q water'},
        ),
        (CHEST, {}, {'a.png': 'Edema Mass', 'b.png': 'No Finding'}),
        ('id,labels\na,3 17\nx,3\n', {}, {'a': '17 3', 'x': '3'}),
        ('path,cat\na.jpg,1\nb.jpg,0\nc.jpg,-1\nd.jpg,\n', {}, TWO_FLAGS),
        ('path,cat\na.jpg,True\nb.jpg,false\nc.jpg,-1.0\nd.jpg,nan\n', {}, TWO_FLAGS),
        ('a.jpg,1\nb.jpg,0\nc.jpg,-1\nd.jpg,\n', {'metainfo': {'classes': ['cat']}}, TWO_FLAGS),
        ('id,label\na.jpg,1\nb.jpg,0\n', {}, {'a.jpg': 'label', 'b.jpg': ''}),
        ('path,labels\na.jpg,1\nb.jpg,0\n', {'metainfo': {'classes': ['0', '1']}}, {'a.jpg': '1', 'b.jpg': '0'}),
        # The index of a pandas frame, with and without a header of its own, and an index of paths.
        (',path,labels\n0,a.jpg,cat;dog\n5,b.jpg,\n', {}, CAT_DOG),
        ('Unnamed: 0,path,cat,dog\n0,a.jpg,1,1\n1,b.jpg,0,0\n', {}, CAT_DOG),
        ('Unnamed: 0.1,Unnamed: 0,path,cat,dog\n0,0,a.jpg,1,1\n1,1,b.jpg,0,0\n', {}, CAT_DOG),
        (',cat,dog\na.jpg,1,1\nb.jpg,0,0\n', {}, CAT_DOG),
        ('id,filename,cat,dog\n17,a.jpg,1,1\n18,b.jpg,0,0\n', {}, CAT_DOG),
        ("Id,Genre,cat,dog\na.jpg,\"['cat', 'dog']\",1,1\nb.jpg,[],0,0\n", {}, CAT_DOG),
        # Lists as Python, NumPy and JSON print them.
        ("path,labels\na.jpg,\"['cat', 'dog']\"\nb.jpg,[]\n", {}, CAT_DOG),
        ("path,labels\na.jpg,\"['cat' 'dog']\"\nb.jpg,[]\n", {}, CAT_DOG),
        ('path,labels\na.jpg,"[""cat"", ""dog""]"\nb.jpg,[]\n', {}, CAT_DOG),
        ("path,labels\na.jpg,\"{'cat', 'dog'}\"\nb.jpg,nan\n", {}, CAT_DOG),
        ('path,labels\na.jpg,"[cat, dog]"\nb.jpg,None\n', {}, CAT_DOG),
        ('path,labels\na.jpg,"cat, dog"\nb.jpg,NaN\n', {}, CAT_DOG),
        ('path,labels\na.jpg,"[""dog\'s"", \'it\\\'s\']"\nb.jpg,\n', {}, {'a.jpg': "dog's it's", 'b.jpg': ''}),
        ('path,labels\na.jpg,None\nb.jpg,\n', {'metainfo': {'classes': ['None']}}, {'a.jpg': 'None', 'b.jpg': ''}),
        # Columns in another order, numbers beside the path, columns of other things, a label called image.
        ('cat,dog,filename\n1,1,a.jpg\n0,0,b.jpg\n', {}, CAT_DOG),
        ('id,image,labels\n7,a.jpg,cat dog\n9,b.jpg,dog\n', {}, {'a.jpg': 'cat dog', 'b.jpg': 'dog'}),
        ('age,what,bild\n7,cat|dog,a.jpg\n9,,b.jpg\n', {'path_column': 'bild', 'label_column': 'what'}, CAT_DOG),
        ('what,bild\ncat|dog,a.jpg\n,b.jpg\n', {'label_column': 'what'}, CAT_DOG),
        ('ID,Age,left,cat,dog\na.jpg,7,x,1,1\nb.jpg,8,y,0,\n', {'metainfo': {'classes': ['cat', 'dog']}}, CAT_DOG),
        ('id,cat,image\na.jpg,1,0\nb.jpg,0,1\n', {}, {'a.jpg': 'cat', 'b.jpg': 'image'}),
        ('path,labels\na.jpg,wild dog\n', {'metainfo': {'classes': ['wild dog', 'dog']}}, {'a.jpg': 'wild dog'}),
        # Numbers and words that are labels, as somebody said.
        ('path,labels\na.jpg,yes\nb.jpg,no\n', {}, {'a.jpg': 'yes', 'b.jpg': 'no'}),
        ('path,tag\na.jpg,3\nb.jpg,17\n', {}, {'a.jpg': '3', 'b.jpg': '17'}),
        ('path,cat\na.jpg,x\nb.jpg,\n', {'label_column': 'cat'}, {'a.jpg': 'x', 'b.jpg': ''}),
        ('path,cat\na.jpg,x\nb.jpg,y\n', {'metainfo': {'classes': ['y', 'x', 'z']}}, {'a.jpg': 'x', 'b.jpg': 'y'}),
        ('path,cat\na.jpg,cat;dog\nb.jpg,\n', {}, CAT_DOG),
        ('path,cat\na.jpg,yes\nb.jpg,dog\n', {}, {'a.jpg': 'yes', 'b.jpg': 'dog'}),
        # Columns that say what the images are for.
        ('path,cat,dog,Split,k-fold,is_val\na.jpg,1,1,0,3,1\nb.jpg,0,0,1,1,0\n', {}, CAT_DOG),
        ('path,what,is_valid\na.jpg,cat;dog,True\nb.jpg,,False\n', {}, CAT_DOG),
        (
            'path,cat,group\na.jpg,1,1\nb.jpg,0,1\n',
            {'metainfo': {'classes': ['cat', 'group']}},
            {'a.jpg': 'cat group', 'b.jpg': 'group'},
        ),
        ('path,group\na.jpg,cat;dog\nb.jpg,\n', {'label_column': 'group'}, CAT_DOG),
        ('path,cat,train\na.jpg,1,1\nb.jpg,0,1\n', {}, {'a.jpg': 'cat train', 'b.jpg': 'train'}),
        ('path,labels\na.jpg,"[0, 1]"\nb.jpg,\n', {'metainfo': {'classes': ['0', '1']}}, {'a.jpg': '0 1', 'b.jpg': ''}),
        ("path,labels\na.jpg,\"['cat', 'dog']\"\nb.jpg,[nan]\n", {}, CAT_DOG),
        ('path,labels\na.jpg,[None]\nb.jpg,\n', {'metainfo': {'classes': ['None']}}, {'a.jpg': 'None', 'b.jpg': ''}),
        (
            'path,labels\na.jpg,dog;cafe\u0301\nb.jpg,caf\u00e9\u200b\n',
            {},
            {'a.jpg': 'caf\u00e9 dog', 'b.jpg': 'caf\u00e9'},
        ),
        (
            'path,cafe\u0301\ne\u0301.jpg,1\nb.jpg,0\n',
            {'metainfo': {'classes': ['caf\u00e9']}},
            {'e\u0301.jpg': 'caf\u00e9', 'b.jpg': ''},
        ),
        ('path,labels\na.jpg,"Salmon, smoked;cat"\nb.jpg,cat\n', {}, {'a.jpg': 'Salmon, smoked cat', 'b.jpg': 'cat'}),
        # Other meanings of -1.
        ('path,cat,dog\na.jpg,1,1\nb.jpg,-1,-1\n', {'minus_one': 'absent'}, CAT_DOG),
        ('path,cat\na.jpg,1\nb.jpg,-1\nc.jpg,0\n', {'minus_one': 'absent'}, {**TWO_FLAGS, 'd.jpg': None}),
        ('path,cat\na.jpg,1\nb.jpg,-1\n', {'minus_one': 'ignored'}, {'a.jpg': 'cat', 'b.jpg': '(cat)'}),
        ('a.jpg  1 \nb.jpg -1\n', {'delimiter': ' ', 'minus_one': 'absent', 'metainfo': {'classes': ['cat']}}, None),
    ],
)
def test_tables_as_they_come(tmp_path: Path, content: str, options: dict, expected: dict | None) -> None:
    expected = {'a.jpg': 'cat', 'b.jpg': ''} if expected is None else expected
    assert rows(build_csv(tmp_path, content, **options)) == {k: v for k, v in expected.items() if v is not None}


def test_the_ending_of_a_path_may_be_missing(tmp_path: Path) -> None:
    for name in ('1.JPG', '2.png', '2.txt', 'v1.5.jpg'):
        (tmp_path / name).touch()
    dataset = build_csv(tmp_path, 'id,labels\n1,cat\n2,dog\nv1.5,dog\nnone,dog\n')
    names = [Path(dataset.get_data_info(i)['img_path']).name for i in range(4)]
    assert names == ['1.JPG', '2.png', 'v1.5.jpg', 'none']
    assert rows(build_csv(tmp_path, '1,cat\n2,dog\n')) == {'1': 'cat', '2': 'dog'}
    (tmp_path / '2.gif').touch()
    with pytest.raises(ValueError, match=r"labels\.csv: '2' is 2\.gif or 2\.png in .*; write the ending"):
        build_csv(tmp_path, 'id,labels\n1,cat\n2,dog\n')


def test_labels_without_images_are_read_where_that_is_said(tmp_path: Path) -> None:
    assert rows(build_csv(tmp_path, 'gone.jpg,cat\n', header=False)) == {'gone.jpg': 'cat'}


def test_the_published_table_of_voc(data_root: Path) -> None:
    """1 present, 0 difficult, -1 absent, and names without an ending: refused until it is said what -1 means."""
    folder = data_root / 'voc2007_labels'
    options = dict(data_root=str(folder), data_prefix='../VOCdevkit/VOC2007/JPEGImages')
    with pytest.raises(ValueError, match=r"trainval\.csv: .* -1 \(ignored\).*minus_one='absent'"):
        CSVMultiLabel('trainval.csv', **options)
    with open(folder / 'classification_test.csv', newline='') as file:
        (_, *names), *table = csv.reader(file)
    dataset = CSVMultiLabel('classification_test.csv', minus_one='absent', **options)
    assert list(dataset.metainfo['classes']) == names
    expected = np.array([[{'1': 1, '0': -1, '-1': 0}[flag] for flag in row[1:]] for row in table])
    np.testing.assert_array_equal(dataset.targets(), expected)
    there = [Path(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))]
    assert sum(path.is_file() for path in there) == 3400


def test_what_was_recognised_is_logged(tmp_path: Path) -> None:
    with Log() as messages:
        build_csv(tmp_path, 'path,labels\ngone.jpg,cat\n')
        build_csv(tmp_path, CHEST)
        build_csv(tmp_path, PLANET)
        build_csv(tmp_path, 'path,cat,split,fold\na.jpg,1,0,1\n')
        build_csv(tmp_path, 'path,labels\na.jpg,"Salmon, smoked;cat"\n')
    assert any("labels.csv: not read as labels: 'split', 'fold'; if they are, name them" in text for text in messages)
    assert any("separated by ';': 'Salmon, smoked' is one" in text for text in messages)
    assert any("labels.csv:2: 'gone.jpg' is not in" in text for text in messages)
    assert any("labels are in column 'Finding Labels'; not read: 'Patient Age', 'Width'" in text for text in messages)
    assert any("separated by spaces: 'agriculture clear primary water' is 4 labels" in text for text in messages)
