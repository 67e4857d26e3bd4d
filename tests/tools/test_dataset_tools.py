"""tools/browse_dataset.py and tools/dataset_stats.py on real configs and data sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from run_tool import call_tool

from mlic_mm.apis.statistics import conditional, statistics_text

pytestmark = pytest.mark.integration

REPO = Path(__file__).resolve().parents[2]


CONFIG = """
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)
default_scope = 'mmpretrain'
train_dataloader = dict(dataset=dict(
    type='mlic_mm.CSVMultiLabel', ann_file='labels.csv', data_root={root!r},
    pipeline=[dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(30, 30)), dict(type='PackInputs')],
))
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Four images: red with cat and dog, green with cat, blue with nothing, and one that is cut short."""
    for name, colour in (('a', 'red'), ('b', 'lime'), ('c', 'blue')):
        Image.new('RGB', (40, 20), colour).save(tmp_path / f'{name}.png')
    (tmp_path / 'd.png').write_bytes((tmp_path / 'a.png').read_bytes()[:60])
    (tmp_path / 'labels.csv').write_text(
        'path,cat,dog,Gürteltier\na.png,1,1,0\nb.png,1,-1,0\nc.png,0,0,0\nd.png,0,1,0\n'
    )
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=str(tmp_path)), encoding='utf-8')
    return str(path)


def test_sheet_shows_every_picture_in_order(config: str, tmp_path: Path) -> None:
    out = tmp_path / 'new folder' / 'sheet.png'
    call_tool('browse_dataset', config, '--out', str(out))
    sheet = np.asarray(Image.open(out).convert('RGB'))
    width, middle = 224 + 8, 8 + 112
    assert sheet.shape[1] == 4 * width + 8
    centres = [tuple(sheet[middle, 8 + 112 + k * width].tolist()) for k in range(3)]
    assert centres == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    broken = sheet[8:232, 8 + 3 * width : 8 + 3 * width + 224].astype(int)
    assert ((broken[..., 0] > 120) & (broken[..., 1] < 60)).sum() > 50  # the reason, in red letters
    assert not [path for path in out.parent.iterdir() if path != out]


def test_labels_are_written_below_the_picture(config: str, tmp_path: Path) -> None:
    out = tmp_path / 'sheet.png'
    call_tool('browse_dataset', config, '--out', str(out))
    below = np.asarray(Image.open(out).convert('RGB')).astype(int)[8 + 224 + 15 : 8 + 224 + 75]
    tiles = [below[:, 8 + k * 232 : 232 + k * 232] for k in range(4)]
    green = [((t[..., 1] - t[..., 0] > 40) & (t[..., 1] - t[..., 2] > 40)).sum() for t in tiles]
    gray = [((np.ptp(t, axis=2) < 5) & (t[..., 0] < 190)).sum() for t in tiles]
    red = [((t[..., 0] - t[..., 1]) > 60).sum() for t in tiles]
    assert green[0] > green[1] > 0  # two labels, one label
    assert green[2] == 0
    assert [count > 0 for count in gray] == [False, True, False, False]  # the ignored dog
    assert [count > 0 for count in red] == [False, False, True, False]  # 'no label'


def test_after_the_pipeline(config: str, tmp_path: Path) -> None:
    out = tmp_path / 'sheet.jpg'
    call_tool('browse_dataset', config, '--out', str(out), '--stage', 'after', '--number', '2')
    sheet = np.asarray(Image.open(out).convert('RGB')).astype(int)
    # 40 × 20 was squished to a square, which fills its tile up to the upper edge.
    assert np.abs(sheet[12, 120] - (255, 0, 0)).max() < 12
    assert np.abs(sheet[12, 120 + 232] - (0, 255, 0)).max() < 12


def test_boxes_are_drawn_where_asked(tmp_path: Path) -> None:
    words = [str(REPO / 'configs/_base_/datasets/digits_96.py'), '--number', '1', '--cfg-options']
    words += [f'train_dataloader.dataset.data_root={tmp_path / "digits"}']
    words += ['train_dataloader.dataset.num_train=2', 'train_dataloader.dataset.num_val=1']
    call_tool('browse_dataset', '--out', tmp_path / 'a.png', *words)
    call_tool('browse_dataset', '--out', tmp_path / 'b.png', *words, 'train_dataloader.dataset.with_boxes=True')
    plain, boxed = (np.asarray(Image.open(tmp_path / name).convert('RGB')) for name in ('a.png', 'b.png'))
    changed = (plain != boxed).any(2)
    assert (boxed[changed] == (0, 255, 0)).all()
    annotations = json.loads((tmp_path / 'digits/annotations/instances_train.json').read_text())['annotations']
    x, y, w, _ = next(a['bbox'] for a in annotations if a['image_id'] == 0)
    assert changed[8 + 2 * y, 8 + 2 * x : 8 + 2 * (x + w)].all()  # drawn at twice the size


def test_stats_worked_by_hand(config: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / 'stats.png'
    call_tool('dataset_stats', config, '--out', str(out))
    text = capsys.readouterr().out
    assert 'CSVMultiLabel (train): 4 images, 3 labels' in text
    assert 'mean 1.00, median 1, most 2; 1 images without labels' in text
    assert 'histogram: 0: 1, 1: 2, 2: 1' in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line[:3] in ('cat', 'dog', 'Gür')}
    assert rows == {
        'cat': ['2', '50.0%', '0', 'dog', '(0.50)'],
        'dog': ['2', '50.0%', '1', 'cat', '(0.50)'],
        'Gürteltier': ['0', '0.0%', '0', '-'],
    }
    assert 'never present: Gürteltier' in text
    picture = np.asarray(Image.open(out).convert('RGB'))
    assert min(picture.shape[:2]) > 400
    assert np.ptp(picture) == 255


def test_labels_that_are_never_absent_are_named() -> None:
    targets = np.array([[1, -1, 1], [-1, 0, 1], [1, 1, 1]])
    text = statistics_text('title', targets, ('cat', 'dog', 'person'))
    assert 'never absent, present or ignored in all images: cat (training' in text


def test_names_that_would_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Of a data set of another package."""
    samples = [dict(img_path='a.jpg', gt_label=[0]), dict(img_path='b.jpg', gt_label=[])]
    content = dict(metainfo=dict(classes=['\x1b[2Jcat', 'G\x07']), data_list=samples)
    (tmp_path / 'train.json').write_text(json.dumps(content))
    dataset = dict(type='mmpretrain.MultiLabelDataset', ann_file=str(tmp_path / 'train.json'), pipeline=[])
    (tmp_path / 'config.py').write_text(f'train_dataloader = dict(dataset={dataset})')
    call_tool('dataset_stats', str(tmp_path / 'config.py'))
    text = capsys.readouterr().out
    assert r'\x1b[2Jcat' in text
    assert r'never present: G\x07' in text
    assert all(letter == '\n' or letter.isprintable() for letter in text)


def test_names_that_look_like_mathematics_and_long_ones(config: str, tmp_path: Path) -> None:
    table = tmp_path / 'labels.csv'
    table.write_text(table.read_text().replace('cat', r'\frac{a}{b}$ $').replace('dog', 'dog ' * 100))
    call_tool('dataset_stats', config, '--out', str(tmp_path / 'stats.png'))
    assert np.ptp(np.asarray(Image.open(tmp_path / 'stats.png').convert('RGB'))) == 255


def test_small_boxes_of_large_photographs_are_drawn(tmp_path: Path) -> None:
    Image.new('RGB', (2000, 1000)).save(tmp_path / 'a.jpg')
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=2000, height=1000)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[9, 9, 3, 3])],
        categories=[dict(id=1, name='ant')],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    dataset = dict(type='mlic_mm.COCOMultiLabel', ann_file='a.json', data_root=str(tmp_path), with_boxes=True)
    (tmp_path / 'c.py').write_text(
        f"custom_imports = dict(imports=['mlic_mm'])\ntrain_dataloader = dict(dataset={dataset})"
    )
    call_tool('browse_dataset', str(tmp_path / 'c.py'), '--out', str(tmp_path / 'sheet.png'))
    assert (np.asarray(Image.open(tmp_path / 'sheet.png').convert('RGB')) == (0, 255, 0)).all(2).any()


@pytest.mark.parametrize(
    'content',
    [
        'bild,schlagwort\na.png,cat\n',  # unknown names
        'gone.png,cat\na.png,dog\n',
        'path,cat\na.png,1\nb.png,-1\n',  # CelebA's notation
    ],
)
def test_tables_that_may_be_misread_are_refused_by_each_tool(config: str, tmp_path: Path, content: str) -> None:
    (tmp_path / 'labels.csv').write_text(content)
    for tool, words in (('dataset_stats', []), ('build_label_graph', ['--out', str(tmp_path / 'g.npz')])):
        with pytest.raises(SystemExit, match=r'labels\.csv:? ?(1: .* is no image|column .*minus_one)'):
            call_tool(tool, config, *words)
    assert not (tmp_path / 'g.npz').exists()


def test_conditional_probabilities() -> None:
    present = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    np.testing.assert_allclose(conditional(present), [[0, 2 / 3, 0], [2 / 3, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize('tool', ['browse_dataset', 'dataset_stats'])
def test_files_are_kept_unless_forced(tool: str, config: str, tmp_path: Path) -> None:
    mine = tmp_path / 'mine.png'
    mine.write_text('my holiday')
    with pytest.raises(SystemExit, match='exists and is kept; --force'):
        call_tool(tool, config, '--out', mine)
    assert mine.read_text() == 'my holiday'
    call_tool(tool, config, '--out', mine, '--force')
    assert Image.open(mine).format == 'PNG'


def test_user_errors_are_one_line(config: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='has no val_dataloader; it has data for: train'):
        call_tool('dataset_stats', config, '--split', 'val')
    with pytest.raises(SystemExit, match=r'(?s)error: .*nowhere.* not found'):
        call_tool(
            'browse_dataset', config, '--cfg-options', f'train_dataloader.dataset.data_root={tmp_path / "nowhere"}'
        )
    for kind, where in (('mlic_mm.CSVMultiLabel', ''), ('MultiLabelDataset', r'train_dataloader\.dataset \(')):
        words = [f'train_dataloader.dataset.type={kind}', 'train_dataloader.dataset.indices=0']
        (tmp_path / 'one.json').write_text(
            json.dumps(dict(metainfo=dict(classes=['cat']), data_list=[dict(img_path='a.png', gt_label=[0])]))
        )
        words += ['train_dataloader.dataset.ann_file=one.json'] * bool(where)
        with pytest.raises(SystemExit, match=rf'error: .*{where}{kind.removeprefix("mlic_mm.")}\)? is empty'):
            call_tool('dataset_stats', config, '--cfg-options', *words)
    for tool, words in (('browse_dataset', ['--out', 'a.txt']), ('browse_dataset', ['--number', '0'])):
        with pytest.raises(SystemExit):
            call_tool(tool, config, *words)


@pytest.mark.parametrize('name', ['coco2017_448', 'voc07_448'])
def test_base_configs_read_the_real_data(
    name: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv('COCO_ROOT', str(data_root / 'coco_mini'))
    monkeypatch.setenv('VOC_ROOT', str(data_root / 'VOCdevkit' / 'VOC2007'))
    config = str(REPO / f'configs/_base_/datasets/{name}.py')
    out = tmp_path / 'sheet.jpg'
    call_tool(
        'browse_dataset',
        config,
        '--split',
        'test',
        '--stage',
        'after',
        '--number',
        '3',
        '--seed',
        '1',
        '--out',
        str(out),
    )
    assert out.stat().st_size > 10_000
    call_tool('dataset_stats', config)
    assert 'person' in capsys.readouterr().out


def test_base_configs_of_absent_data_say_what_to_get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, page in (
        ('coco2014_448', 'cocodataset.org'),
        ('coco2017_448', 'cocodataset.org'),
        ('voc12_448', 'robots'),
    ):
        for variable in ('COCO_ROOT', 'VOC12_ROOT'):
            monkeypatch.delenv(variable, raising=False)
        path = REPO / f'configs/_base_/datasets/{name}.py'
        assert Config.fromfile(path).data_root.startswith('data/')
        with pytest.raises(SystemExit, match=f'(?s)error: .*not found.*{page}'):
            call_tool('dataset_stats', str(path))
