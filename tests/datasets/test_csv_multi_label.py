"""A user's CSV in every accepted form, every way to get it wrong, and hypothesis for the round trip."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlic_mm.datasets import CSVMultiLabel


def build(folder: Path, content: str | bytes, **options: object) -> CSVMultiLabel:
    raw = content.encode() if isinstance(content, str) else content
    (folder / 'labels.csv').write_bytes(raw)
    return CSVMultiLabel('labels.csv', data_root=str(folder), **options)


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
    dataset = build(tmp_path, content)
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    np.testing.assert_array_equal(dataset.targets(), [[1, 1], [0, 0], [1, 0]])
    info = dataset.get_data_info(0)
    assert info['img_id'] == 'a.jpg'
    assert info['img_path'] == str(tmp_path / 'a.jpg')
    assert info['gt_label'] == dataset.get_cat_ids(0) == [0, 1]


def test_columns(tmp_path: Path) -> None:
    dataset = build(tmp_path, COLUMNS)
    assert dataset.metainfo['classes'] == ('cat', 'dog', 'eel')
    np.testing.assert_array_equal(dataset.targets(), [[1, 1, 0], [0, -1, 0], [1, 0, 0]])
    assert dataset.get_data_info(1)['gt_score'].dtype == np.float32


def test_columns_without_header_and_with_a_subset(tmp_path: Path) -> None:
    body = COLUMNS.split('\n', 1)[1]
    dataset = build(tmp_path, body, metainfo=dict(classes=['x', 'y', 'z']))
    np.testing.assert_array_equal(dataset.targets()[0], [1, 1, 0])
    dataset = build(tmp_path, COLUMNS, metainfo=dict(classes=['eel', 'cat']))
    np.testing.assert_array_equal(dataset.targets(), [[0, 1], [0, 0], [0, 1]])


def test_explicit_header_and_delimiters(tmp_path: Path) -> None:
    dataset = build(tmp_path, 'bild\tlabels\na.jpg\tdog|cat\n', header=True, delimiter='\t', label_delimiter='|')
    assert dataset.get_data_info(0)['gt_label'] == [0, 1]
    assert len(build(tmp_path, 'path,dog\na.jpg,dog\n', header=False)) == 2


def test_non_ascii_and_spaced_paths_load(tmp_path: Path) -> None:
    names = ['ein bild.png', 'unter ordner/größe 東京.png', 'comma, and "quote".png']
    rows = io.StringIO()
    csv.writer(rows).writerows([name, 'é;b c'] for name in names)
    for i, name in enumerate(names):
        path = tmp_path / 'bilder ä' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (4, 3), (i, 0, 0)).save(path)
    dataset = build(tmp_path, rows.getvalue(), data_prefix='bilder ä', pipeline=[dict(type='mlic_mm.LoadImage')])
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
        ('path,labels\na.jpg,cow\n', {'metainfo': {'classes': ['dog']}}, r"csv:2: label 'cow'.*knows dog"),
        ('path,a,b\nx.jpg,1,yes\n', {}, "csv:2: 'yes' in column 'b'; write 1"),
        ('bild,a,b\nx.jpg,1,0\n', {'metainfo': {'classes': ['a', 'b']}}, "csv:1: 'a' in column 'a'.*header=True"),
        ('path,a,a\nx.jpg,1,0\n', {}, "class 'a' appears twice"),
        ('path,a,\nx.jpg,1,0\n', {}, 'class 1 is blank'),
        ('path,a,b\nx.jpg,1,0\n', {'metainfo': {'classes': ['a', 'c']}}, "'c' is not a label of"),
        ('x.jpg,1,0\n', {}, '2 label columns without a header, and metainfo.* names none'),
        ('x.jpg,1,0\n', {'metainfo': {'classes': ['a']}}, 'names 1'),
    ],
)
def test_wrong_files_name_line_value_and_cure(
    tmp_path: Path, content: str | bytes, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(tmp_path, content, **options)
    assert 'labels.csv' in str(caught.value)


@pytest.mark.parametrize('options', [{'delimiter': ';'}, {'delimiter': ''}, {'label_delimiter': ''}])
def test_wrong_delimiters(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match='delimiter'):
        build(tmp_path, LISTS, **options)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'(?s)none\.csv not found.*path,cat,dog'):
        CSVMultiLabel('none.csv', data_root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match='images not found'):
        build(tmp_path, LISTS, data_prefix='images')


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
            build(
                Path(folder),
                ('\ufeff' if bom else '') + text.getvalue(),
                metainfo=dict(classes=LABELS),
                serialize_data=False,  # it would collect garbage each time
            )
            for text in (lists, columns)
        ]
    expected = [[int(j in labels) for j in range(4)] for labels in label_sets]
    np.testing.assert_array_equal(built[0].targets(), expected)
    np.testing.assert_array_equal(built[1].targets(), expected)
