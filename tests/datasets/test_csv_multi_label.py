"""A user's CSV in every accepted form, every way to get it wrong, and hypothesis for the round trip."""

import contextlib
import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import build_csv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlic_mm.datasets import CSVMultiLabel
from mlic_mm.datasets.csv_multi_label.cells import BLANK, read_labels
from mlic_mm.utils.label_names import clean_name

LISTS = 'a.jpg,dog;cat\nb.jpg,\nc.jpg,cat\n'
COLUMNS = 'path,cat,dog,eel\na.jpg,1,1,0\nb.jpg,,-1,\nc.jpg,1,0,0\n'


@pytest.mark.parametrize(
    'content',
    [
        LISTS,
        'path,labels\n' + LISTS,
        'Filename,whatever\n' + LISTS,
        '\ufeffpath,labels\n' + LISTS,
        LISTS.replace('\n', '\r\n'),
        LISTS.rstrip('\n'),
        '\n\n' + LISTS.replace('\n', '\n\n'),
        ' a.jpg , dog ; cat \n b.jpg, \n"c.jpg","cat"\n',
    ],
)
def test_lists_of_labels(tmp_path: Path, content: str) -> None:
    dataset = build_csv(tmp_path, content)
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    np.testing.assert_array_equal(dataset.targets(), [[1, 1], [0, 0], [1, 0]])
    info = dataset.get_data_info(0)
    assert info['img_id'] == 'a.jpg'
    assert info['img_path'] == str(tmp_path / 'a.jpg')
    assert info['gt_label'] == dataset.get_cat_ids(0) == [0, 1]


def test_columns(tmp_path: Path) -> None:
    dataset = build_csv(tmp_path, COLUMNS)
    assert dataset.metainfo['classes'] == ('cat', 'dog', 'eel')
    np.testing.assert_array_equal(dataset.targets(), [[1, 1, 0], [0, -1, 0], [1, 0, 0]])
    assert dataset.get_data_info(1)['gt_score'].dtype == np.float32


def test_columns_without_header_and_with_a_subset(tmp_path: Path) -> None:
    body = COLUMNS.split('\n', 1)[1]
    dataset = build_csv(tmp_path, body, metainfo=dict(classes=['x', 'y', 'z']))
    np.testing.assert_array_equal(dataset.targets()[0], [1, 1, 0])
    dataset = build_csv(tmp_path, COLUMNS, metainfo=dict(classes=['eel', 'cat']))
    np.testing.assert_array_equal(dataset.targets(), [[0, 1], [0, 0], [0, 1]])


def test_explicit_header_and_delimiters(tmp_path: Path) -> None:
    dataset = build_csv(tmp_path, 'bild\tlabels\na.jpg\tdog|cat\n', header=True, delimiter='\t', label_delimiter='|')
    assert dataset.get_data_info(0)['gt_label'] == [0, 1]
    assert len(build_csv(tmp_path, 'path,dog\na.jpg,dog\n', header=False)) == 2


def test_non_ascii_and_spaced_paths_load(tmp_path: Path) -> None:
    names = ['ein bild.png', 'unter ordner/größe 東京.png', 'comma, and "quote".png']
    rows = io.StringIO()
    csv.writer(rows).writerows([name, 'é;b c'] for name in names)
    for i, name in enumerate(names):
        path = tmp_path / 'bilder ä' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (4, 3), (i, 0, 0)).save(path)
    dataset = build_csv(tmp_path, rows.getvalue(), data_prefix='bilder ä', pipeline=[dict(type='mlic_mm.LoadImage')])
    assert [int(dataset[i]['img'][0, 0, 2]) for i in range(3)] == [0, 1, 2]
    assert [dataset[i]['img_id'] for i in range(3)] == names
    assert dataset.metainfo['classes'] == ('b c', 'é')


@pytest.mark.parametrize(
    ('content', 'options', 'message'),
    [
        ('', {}, 'the file is empty'),
        ('\n \n', {}, 'the file is empty'),
        ('path,labels\n', {}, 'header and no image'),
        ('a.jpg,dog\nb.jpg,h\xfcnd\n'.encode('latin-1'), {}, r'csv:2: byte 0xfc is not UTF-8.*iconv'),
        ('a.jpg,dog\n'.encode('utf-16'), {}, r'csv:1: byte 0xff is not UTF-8'),
        ('a.jpg;dog\n', {}, 'csv:1: one column.*delimiter'),
        ('a.jpg,dog\nb.jpg\n', {}, 'csv:2: 1 columns where the first line has 2'),
        ('path,a,b\nx.jpg,1\n', {}, 'csv:2: 2 columns where the first line has 3'),
        ('a.jpg,dog\nb.jpg,dog,cat\n', {}, 'csv:2: 3 columns where the first line has 2'),
        ('a.jpg,dog\n\nb.jpg,cat\na.jpg,cat\n', {}, r"csv:4: path 'a\.jpg' is already on line 1"),
        ('a.jpg,dog\n,cat\n', {}, 'csv:2: the path is blank'),
        ('a.jpg,dog;\n', {}, 'csv:1: a blank label'),
        ('a.jpg,dog;cat;dog\n', {}, "csv:1: label 'dog' twice"),
        ('a.jpg,\n', {}, 'no image has a label'),
        ('a.jpg,"dog\nb.jpg,cat\n', {}, 'csv:1: .*quotes'),
        ('a.jpg,dgo\n', {'metainfo': {'classes': ['dog', 'cat']}}, r"csv:1: label 'dgo'.*did you mean 'dog'"),
        ('path,labels\na.jpg,cow\n', {'metainfo': {'classes': ['dog']}}, r"csv:2: label 'cow'.*choose from dog"),
        ('path,a,b\nx.jpg,1,yes\n', {}, "csv:2: 'yes' in column 'b'; write 1"),
        ('bild,a,b\nx.jpg,1,0\n', {'metainfo': {'classes': ['a', 'b']}}, "csv:1: 'bild' is no.*header=True"),
        ('x.jpg,a,b\na.jpg,1,0\n', {'metainfo': {'classes': ['a', 'b']}}, "csv:1: 'a' in column 'a'.*header=True"),
        ('path,a,a\nx.jpg,1,0\n', {}, "class 'a' appears twice"),
        ('path,a,\nx.jpg,1,0\n', {}, 'class 1 is blank'),
        ('path,a,b\nx.jpg,1,0\n', {'metainfo': {'classes': ['a', 'c']}}, "'c' is not a label of"),
        ('x.jpg,1,0\n', {}, '2 label columns without a header, and metainfo.* names none'),
        ('x.jpg,1,0\n', {'metainfo': {'classes': ['a']}}, 'names 1'),
        ('9\n cat dog\na.jpg 1 -1\n', {'delimiter': ' '}, 'csv:1: one column.*remove the number of images'),
        ('a.jpg\tdog\n', {}, r"one column.*set delimiter='\\t', which it has"),
        # A first line that is neither an image nor a header.
        ('bild,wort\na.jpg,dog\n', {}, r"csv:1: 'bild' is no image in .* set header=True"),
        ('gone.jpg,dog\na.jpg,dog\n', {}, r"csv:1: 'gone\.jpg' is no image in .*data_prefix"),
        ('7,a.jpg,dog\n8,x.jpg,cat\n', {}, "csv:1: '7' is no image"),
        # Flags without a name; 0 and 1 are no classes.
        ('a.jpg,1\nx.jpg,0\n', {}, r"second column has only flags \('1' on line 1\).*path,cat.*metainfo"),
        ('path,labels\na.jpg,wild dog\nx.jpg,cat\n', {}, "'wild dog' may be one label or several; set label_deli"),
        ('path,labels\na.jpg,cat;dog\nx.jpg,cat|dog\n', {}, "separated by both ';' and '|'"),
        ("path,labels\na.jpg,\"['cat', 'dog'\"\n", {}, r'csv:2: the list .* does not end'),
        ('path,labels\na.jpg,"[\'cat\' dog]"\n', {}, r'csv:2: .* is no list of labels'),
        ('path,labels\na.jpg,"%s"\n' % ('[' * 100_000), {}, r"csv:2: the list '\[{80}' does not end"),
        ('path,img,labels\na.jpg,b.jpg,cat\n', {'path_column': 'image'}, "no column 'image'; did you mean 'img'"),
        ('who,img,file,labels\nme,a.jpg,b.jpg,cat\n', {}, "'img' and 'file' may be the paths; set path_column"),
        ('path,age,labels\na.jpg,7,cat\n', {'label_column': 'label'}, "no column 'label'; did you mean 'labels'"),
        ('path,age,tag,labels\na.jpg,7,x,cat\n', {}, "csv:2: '7' in column 'age'.*metainfo.*label_column"),
        # CelebA's and VOC's notation: -1 is absent.
        ('path,cat,dog\na.jpg,1,1\nb.jpg,-1,0\n', {}, "column 'cat' has 1 times -1 .*never 0.*minus_one='absent'"),
        ('path,cat\na.jpg,0\n' + ''.join(f'{i}.jpg,-1\n' for i in range(1, 12)), {}, '11 flags are -1 .*only 1 are 0'),
        ('path,cat\na.jpg,1\n', {'minus_one': 0}, 'minus_one=0 must be'),
        # A column that is nearly one of flags.
        *[
            (f'path,cat\na.jpg,{first}\nb.jpg,{second}\nc.jpg,0\n', {}, message)
            for first, second, message in [
                ('yes', 'no', r"csv:2: 'yes' in column 'cat'.*write 1 .*label_column='cat'"),
                ('N', 'Y', "csv:2: 'N' in column 'cat'"),
                ('T', 'F', "csv:2: 'T' in column 'cat'"),
                ('positive', 'Negative', "csv:2: 'positive' in"),
                ('present', 'absent', "csv:2: 'present' in"),
                ('0.9', '0.1', r"csv:2: '0\.9' in"),
                ('1', '3', "csv:3: '3' in"),
                ('1', '?', r"csv:3: '\?' in"),
                ('1', '-9', "csv:3: '-9' in"),
                ('90%', '3e-2', "csv:2: '90%' in"),
                ('', '\u200bx', "csv:3: 'x' in"),
            ]
        ],
        ('path,cat\na.jpg,yes\n', {'metainfo': {'classes': ['cat']}}, "csv:2: 'yes' in column 'cat'"),
        ('a.jpg,yes\nb.jpg,no\n', {}, "csv:1: 'yes' in the second column.*header such as path,cat.*header path,labels"),
        ('a.jpg,1\nx.jpg,3\n', {}, "csv:2: '3' in the second column"),
        # Columns that say what the images are for.
        ('path,split\na.jpg,train\n', {}, "no column of labels, only 'split'; .*label_column"),
        ('path,fold,is_val\na.jpg,1,0\n', {}, "no column of labels, only 'fold', 'is_val'"),
        # Rows of flags in one cell.
        (
            'path,labels\na.jpg,\nb.jpg,[1.0 0.0]\nx.jpg,[0.0 1.0]\n',
            {},
            r"csv:3: '\[1\.0 0\.0\]' is a row of flags.*path,cat",
        ),
        (
            'path,cat\na.jpg,[1. 0. 0.]\n',
            {'metainfo': {'classes': ['cat']}},
            r"csv:2: '\[1\. 0\. 0\.\]' is a row of flags",
        ),
        ('path,labels\na.jpg,"[1, -1]"\nb.jpg,"[0, 1]"\n', {}, r"csv:2: '\[1, -1\]' is a row of flags"),
        ('a.jpg,1;0\nx.jpg,0;1\n', {}, "csv:1: '1;0' is a row of flags"),
        ('path,labels\na.jpg,cat;dog\nx.jpg,"cat,dog"\n', {}, r"separated by both ';' and ',' \('cat,dog'\)"),
        ('path,labels\na.jpg,"[nan, \'cat\']"\n', {}, 'csv:2: .*some labels have quotes'),
        # What looks the same is the same, and what cannot be seen is no name.
        ('path,labels\na.jpg,caf\u00e9;cafe\u0301\n', {}, "csv:2: label 'caf\u00e9' twice"),
        ('path,labels\na.jpg,ca\u200bt;cat\n', {}, "csv:2: label 'cat' twice"),
        ('path,caf\u00e9,cafe\u0301\na.jpg,1,0\n', {}, "class 'caf\u00e9' appears twice"),
        ('path,labels\na.jpg,dog\nb.jpg,c\0at\n', {}, r"csv:3: label 'c\\x00at' has a control character; remove it"),
        ('path,labels\na.jpg,"[""c\\u0000at""]"\n', {}, r"csv:2: label 'c\\x00at' has a control"),
        ('path,c\x1bat,dog\na.jpg,1,1\n', {}, r"class 0, 'c\\x1bat', has a control character"),
    ],
)
def test_wrong_files_name_line_value_and_cure(
    tmp_path: Path, content: str | bytes, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build_csv(tmp_path, content, **options)
    assert 'labels.csv' in str(caught.value) or 'minus_one=0' in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize('options', [{'delimiter': ';'}, {'delimiter': ''}, {'label_delimiter': ''}])
def test_wrong_delimiters(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match='delimiter'):
        build_csv(tmp_path, LISTS, **options)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'(?s)none\.csv not found.*path,cat,dog'):
        CSVMultiLabel('none.csv', data_root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match='images not found'):
        build_csv(tmp_path, LISTS, data_prefix='images')


WORDS = st.text(st.characters(exclude_categories=['Cc', 'Cs']), min_size=1, max_size=9)


@given(st.lists(WORDS.filter(lambda text: text == clean_name(text).strip()), max_size=4, unique=True))
@settings(max_examples=200, deadline=None)
def test_printed_lists_are_read_back(labels: list[str]) -> None:
    for printed in (str(labels), json.dumps(labels), json.dumps(labels, ensure_ascii=False)):
        assert read_labels(printed, ';') == labels
    if labels:
        assert sorted(read_labels(str(set(labels)), ';')) == sorted(labels)
        assert read_labels(str(np.array(labels)), ';') == labels
        plain = [label for label in labels if not set(label) & set(';"([{') and label.lower() not in BLANK]
        assert read_labels(';'.join(plain), ';') == plain


@given(st.text(max_size=30), st.sampled_from([None, ';', ' ', '|']))
@settings(max_examples=300, deadline=None)
def test_any_cell_is_read_or_named(cell: str, delimiter: str | None) -> None:
    with contextlib.suppress(ValueError):  # any other exception fails the test
        labels = read_labels(cell.strip(), delimiter)
        assert len(set(labels)) == len(labels)
        assert all(label and label == label.strip() for label in labels)


LABELS = ('cat', 'wild dog', 'Ähre', '鳥')


@given(
    st.lists(st.sets(st.sampled_from(range(4))), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_both_layouts_say_the_same(label_sets: list[set[int]], bom: bool, header: bool) -> None:
    lists, columns = io.StringIO(), io.StringIO()
    writers = csv.writer(lists), csv.writer(columns)
    if header:
        writers[0].writerow(['path', 'labels'])
        writers[1].writerow(['path', *LABELS])
    for i, labels in enumerate(label_sets):
        writers[0].writerow([f'{i}.jpg', ';'.join(LABELS[j] for j in labels)])
        writers[1].writerow([f'{i}.jpg', *(int(j in labels) for j in range(4))])
    with tempfile.TemporaryDirectory() as folder:
        built = [
            build_csv(
                Path(folder),
                ('\ufeff' if bom else '') + text.getvalue(),
                metainfo=dict(classes=LABELS),
            )
            for text in (lists, columns)
        ]
    expected = [[int(j in labels) for j in range(4)] for labels in label_sets]
    np.testing.assert_array_equal(built[0].targets(), expected)
    np.testing.assert_array_equal(built[1].targets(), expected)
