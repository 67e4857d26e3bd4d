import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch

from mlic_mm.evaluation import PRESETS, Protocol, ScoreDump, evaluate_scores, get_protocol
from mlic_mm.visualization import write_report

DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
EVIL = ('<script>alert(1)</script>', '</script><img src=x onerror=alert(2)>', '"><b>&amp;', "';--{{ 7*7 }}")
VOID = {'meta', 'link', 'img', 'path', 'br'}
INLINE = {'b', 'span', 'small', 'i'}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ''
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += '' if tag in INLINE else ' '
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f'</{tag}> closes nothing'

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (['script'], ['style']):
            self.text += data

    def data(self) -> dict:
        return json.loads(re.search(r'id="report-data">(.*?)</script>', self.source, re.DOTALL)[1])

    def has(self, words: str) -> bool:
        return words in ' '.join(self.text.split())


@pytest.mark.parametrize('preset', [*PRESETS, Protocol(threshold=(0.25,) * 10), Protocol(topk=None, unlabelled='drop')])
def test_figures_of_every_preset(preset, tmp_path: Path, make_dump) -> None:
    dump = make_dump(30, DIGITS)
    page = Page(write_report(dump, tmp_path, preset=preset))
    result = evaluate_scores(dump.scores, dump.targets, preset=preset)
    for name in ('mAP', 'CF1', 'OF1', 'mA'):
        assert page.has(f'{name} {result[name]:.1f}'), name
    assert ('top 3' in page.text.replace('\u00a0', ' ')) == ('OF1_top3' in result)
    assert page.has(f'preset {preset if isinstance(preset, str) else "custom"}')
    assert page.has('30 images 10 labels')


def test_protocol_is_explained(tmp_path: Path, make_dump) -> None:
    dump = make_dump(30, DIGITS)
    srn = Page(write_report(dump, tmp_path, preset='srn'))
    assert srn.has('one: its precision is 1')
    assert srn.has('k = 3, pure: the k best labels of every image')
    assert srn.has('mean: the mean of the F1 of the classes')
    tuned = evaluate_scores(dump.scores, dump.targets, preset='liu')['threshold_tuned_here']
    assert Page(write_report(dump, tmp_path, preset='liu')).has(
        f'{tuned:.4g}: tuned for the best OF1 on the same scores'
    )
    assert Page(write_report(dump, tmp_path, preset='wang')).has('none: all metrics are those of the 3 best labels')


def test_options_of_the_metric_reach_the_page(tmp_path: Path, make_dump) -> None:
    dump = make_dump(30, DIGITS)
    protocol = get_protocol('asl', threshold=0.3, topk=1, no_positives='skip')
    result = evaluate_scores(dump.scores, dump.targets, protocol)
    page = Page(write_report(dump, tmp_path, preset=protocol))
    assert page.has('preset asl, threshold=0.3, topk=1, no_positives=skip')
    assert page.has('0.3: a label is predicted if its score is greater')
    assert page.has(f'OF1 top 1 {result["OF1_top1"]:.1f}')
    assert result['OF1'] != evaluate_scores(dump.scores, dump.targets, 'asl')['OF1']
    assert page.has(f'OF1 {result["OF1"]:.1f}')


@pytest.mark.parametrize('preset', ['mlgcn', 'liu', 'wang'])
def test_both_definitions_of_cf1_and_auroc(preset: str, tmp_path: Path, make_dump) -> None:
    dump = make_dump(30, DIGITS)
    page = Page(write_report(dump, tmp_path, preset=preset))
    own = evaluate_scores(dump.scores, dump.targets, preset)
    threshold = own.get('threshold_tuned_here', get_protocol(preset).threshold)
    both = [
        evaluate_scores(dump.scores, dump.targets, preset, class_f1=k, threshold=threshold)
        for k in ('harmonic', 'mean')
    ]
    for name, words in (('CF1', 'CF1'), ('CF1_top3', 'CF1 top 3')):
        assert page.has(f'{words} {both[0][name]:.1f} {both[1][name]:.1f}')
        assert own[name] == both[preset != 'mlgcn'][name]
    assert page.has(f'AUROC: {own["AUROC"]:.1f} is the mean over 10 classes. {own["AUROC_micro"]:.1f} is the area')
    area = evaluate_scores(dump.scores, dump.targets, preset, per_class=True)['per_class']['AUROC'][3]
    row = re.search(r'data-class="3">three</button></th>(.*?)</tr>', page.source, re.DOTALL)[1]
    assert re.findall(r'<span>([^<]*)</span>', row)[1] == f'{area:.1f}'


def test_only_images_below_the_given_folder_are_read(tmp_path: Path) -> None:
    """A score file may name anything: here a secret, one with the name of an image, links to both, and an image."""
    images, outside = tmp_path / 'images', tmp_path / 'outside'
    for folder in (images, outside):
        folder.mkdir()
        cv2.imwrite(str(folder / 'a.png'), np.full((8, 8, 3), 200, np.uint8))
    (images / 'secret.txt').write_text('root:x:0:0')
    (outside / 'secret.jpg').write_text('root:x:0:0')
    (images / 'link.jpg').symlink_to(outside / 'secret.jpg')
    (images / 'link.png').symlink_to(outside / 'a.png')
    os.mkfifo(images / 'pipe.jpg')
    named = ['a.png', 'secret.txt', 'link.jpg', 'link.png', 'pipe.jpg', '../outside/a.png', 'none.jpg', 'null\0.jpg']
    paths = [*(f'{images}/{name}' for name in named), f'{outside}/a.png', '/etc/passwd', 'a.png', '']
    n = len(paths)
    dump = ScoreDump(np.linspace(0.6, 0.9, n)[:, None], np.zeros((n, 1)), np.arange(n).astype(str), paths, ('cat',))

    def shown(**options: object) -> tuple[int, str]:
        page = Page(write_report(dump, tmp_path / 'report', num_mistakes=2 * n, **options))
        assert 'x:0' not in page.source
        return page.source.count('data:image/jpeg'), page.text

    assert shown()[0] == 0
    count, text = shown(images=images)
    assert count == 2  # a.png by its whole path and by that below the folder
    assert text.count('is no file below the folder of the images') == 6
    assert text.count('is no image by its name') == 1
    assert 'image not found' in text
    with pytest.raises(NotADirectoryError, match="none' must be a folder"):
        write_report(dump, tmp_path / 'report', images=tmp_path / 'none')

    class Known:
        metainfo: ClassVar[dict] = dict(classes=('cat',))

        def __len__(self) -> int:
            return n

        def get_data_info(self, i: int) -> dict:
            return dict(img_id=str(i), img_path=f'{images}/a.png')

    assert shown(dataset=Known())[0] == n  # the data set's own paths, whatever the scores say


def test_ids_that_repeat_show_their_own_images(tmp_path: Path) -> None:
    """Two folders with an image 1: the scores are in another order than the data set."""
    for shade, folder in enumerate('ab'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / '1.png'), np.full((8, 8, 3), 250 * shade, np.uint8))
    paths = [str(tmp_path / folder / '1.png') for folder in 'ab']

    class Folders:
        metainfo: ClassVar[dict] = dict(classes=('cat',))

        def __len__(self) -> int:
            return 2

        def get_data_info(self, i: int) -> dict:
            return dict(img_id='1', img_path=paths[i])

    scores = np.array([[0.9], [0.8]])
    dump = ScoreDump(scores, np.zeros((2, 1)), np.array(['1', '1']), np.array(paths[::-1]), ('cat',))
    page = write_report(dump, tmp_path / 'report', dataset=Folders()).read_text()
    pictures = [base64.b64decode(uri) for uri in re.findall(r'data:image/jpeg;base64,([^"]+)', page)]
    assert [int(cv2.imdecode(np.frombuffer(p, np.uint8), 0).mean()) for p in pictures] == [250, 0]
    assert all(f'<dd class="id">{path}</dd>' in page for path in paths)


def test_half_a_character_in_a_name(tmp_path: Path, make_dump) -> None:
    dump = make_dump(4, ('a\ud800', 'b$\\frac{a}$\n', 'c\u202e😀', 'd\x00\x1b[2J\x9b'))
    page = Page(write_report(dump, tmp_path, title='\x1b]0;owned\x07'))
    assert page.has('c\u202e😀')
    assert page.has(r'd\x00\x1b[2J\x9b')
    assert not re.search('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]', page.source)


def test_nothing_comes_from_elsewhere(tmp_path: Path, make_dump) -> None:
    page = Page(write_report(make_dump(12, DIGITS, tmp_path), tmp_path, images=tmp_path))
    addresses = [a[key] for _, a in page.tags for key in ('src', 'href', 'srcset', 'action', 'data') if key in a]
    assert any(address.startswith('data:image/jpeg') for address in addresses)
    assert all(address.startswith(('data:', '#')) for address in addresses)
    assert 'url(' not in page.source
    assert '@import' not in page.source
    ids = [a['id'] for _, a in page.tags if 'id' in a]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in addresses if address.startswith('#')} <= set(ids)


def test_names_from_files_are_text(tmp_path: Path, make_dump) -> None:
    dump = make_dump(20, EVIL)
    ids = np.array([f'<img src=x onerror=alert({i})>' for i in range(20)])
    dump = ScoreDump(dump.scores, dump.targets, ids, np.array(['/<b>none</b>'] * 20), EVIL)
    log = tmp_path / 'scalars.json'
    log.write_text('{"loss": 1, "loss_<script>alert(3)": 2, "step": 1}\n')
    page = Page(write_report(dump, tmp_path, scalars=log, title='<h1>"title"'))
    assert [tag for tag, _ in page.tags].count('script') == 2
    assert [tag for tag, _ in page.tags].count('h1') == 1
    assert 'img' not in [tag for tag, _ in page.tags]
    assert not any(key.startswith('on') for _, attrs in page.tags for key in attrs)
    assert [c['name'] for c in page.data()['classes']] == list(EVIL)
    for text in (*EVIL, '<img src=x onerror=alert(', '/<b>none</b>', '<h1>"title"', 'loss_<script>alert(3)'):
        assert text in page.text


def test_same_input_same_bytes(tmp_path: Path, make_dump) -> None:
    dump = make_dump(12, DIGITS, tmp_path)
    log = tmp_path / 'scalars.json'
    log.write_text('{"loss": 1, "lr": 0.1, "step": 1}\n{"mAP": 20, "step": 1}\n')
    first = write_report(dump, tmp_path / 'a', scalars=log, images=tmp_path).read_bytes()
    again = write_report(dump, tmp_path / 'b', scalars=log, images=str(tmp_path)).read_bytes()
    assert first == again
    assert sorted(path.name for path in (tmp_path / 'a').iterdir()) == ['index.html']


@pytest.mark.parametrize(
    ('scores', 'targets'),
    [
        ([[0.7]], [[1]]),
        ([[0.7]], [[0]]),
        ([[0.2, 0.9]], [[-1, -1]]),
        ([[0.5, 0.5], [0.5, 0.5]], [[1, 0], [1, 0]]),
        ([[-3.0, 12.0], [4.0, 0.0]], [[0, 1], [0, 0]]),
        ([[np.inf, 12.0], [-np.inf, np.inf]], [[1, 1], [0, 0]]),
        ([[np.inf], [-np.inf]], [[1], [1]]),
    ],
)
def test_degenerate_sizes(scores, targets, tmp_path: Path) -> None:
    n, c = np.shape(scores)
    dump = ScoreDump(np.array(scores), np.array(targets), np.arange(n).astype(str), np.array([''] * n), DIGITS[:c])
    page = Page(write_report(dump, tmp_path))
    assert 'nan' not in page.text.lower()
    assert not re.search('nan|inf', json.dumps(page.data()).lower())
    assert page.has('No class has a positive image') == (1 not in np.ravel(targets))


def test_class_without_positives_has_a_dash_and_sorts_as_missing(tmp_path: Path, make_dump) -> None:
    dump = make_dump(30, DIGITS)
    targets = dump.targets.copy()
    targets[:, 3] = 0
    dump = ScoreDump(dump.scores, targets, dump.image_ids, dump.image_paths, DIGITS)
    page = Page(write_report(dump, tmp_path))
    row = re.search(r'data-class="3">three</button></th>(.*?)</tr>', page.source, re.DOTALL)[1]
    assert row.count('data-value=""') == 5
    assert row.count('–') == 5
    assert page.has('is the mean over 9 classes')
    assert page.has('Without AUROC: three (no positives).')
    assert page.data()['classes'][3]['r'] == []


def test_eighty_classes_stay_small(tmp_path: Path, make_dump) -> None:
    dump = make_dump(5000, tuple(f'class {i}' for i in range(80)))
    page = write_report(dump, tmp_path)
    assert page.stat().st_size < 1_500_000
    assert len(Page(page).data()['classes']) == 80


def test_thousands_of_classes_stay_small(tmp_path: Path, make_dump) -> None:
    dump = make_dump(300, tuple(f'class {i}' for i in range(2000)))
    assert write_report(dump, tmp_path, num_mistakes=4).stat().st_size < 4_000_000


def test_missing_inputs_name_the_command(tmp_path: Path, make_dump) -> None:
    page = Page(write_report(make_dump(5, DIGITS), tmp_path))
    assert page.has('python -m mlic_mm.visualization.report scores.npz --out DIR --scalars')
    assert page.has('Maps need the model and the data set.')
    assert page.has('python tools/test.py CONFIG CHECKPOINT')
    assert page.has('the scores do not say where it lies')


def test_mistakes_are_told_with_truth_and_predictions(tmp_path: Path) -> None:
    dump = ScoreDump(
        np.array([[0.9, 0.2, 0.99], [0.1, 0.8, 0.3]]),
        np.array([[0, 1, -1], [0, 1, 0]]),
        np.array(['first', 'second']),
        np.array(['/gone.jpg', '/gone.jpg']),
        ('cat', 'dog', 'bird'),
    )
    page = Page(write_report(dump, tmp_path, images='/'))
    wrong, missed = page.text.split('False positives')[1].split('False negatives')
    # bird, scored highest, is ignored and so no mistake, but it was predicted.
    assert ' '.join(wrong.split()).startswith('1 Labels that are predicted with the highest scores')
    assert 'cat 0.900 true dog predicted bird 0.990, cat 0.900 image first' in ' '.join(wrong.split())
    assert 'dog 0.200 true dog predicted bird 0.990, cat 0.900 image first' in ' '.join(missed.split())
    assert '/gone.jpg: image not found' in wrong
    assert 'second' not in wrong + missed.split('Class maps')[0]


def test_mistakes_of_a_protocol_without_threshold_are_those_of_the_top_k(tmp_path: Path) -> None:
    scores = np.array([[0.9, 0.3, 0.2, 0.1, 0.05]])
    dump = ScoreDump(scores, np.array([[1, 1, 0, 0, 1]]), np.array(['a']), np.array(['']), DIGITS[:5])
    page = Page(write_report(dump, tmp_path, preset='wang'))
    wrong, missed = page.text.split('False positives')[1].split('False negatives')
    assert 'two 0.200' in ' '.join(wrong.split())
    assert 'four 0.050' in ' '.join(missed.split())
    assert 'one 0.300 true' not in ' '.join(missed.split())


def test_number_of_mistakes(tmp_path: Path, make_dump) -> None:
    dump = make_dump(60, DIGITS)
    for asked, shown in ((24, 24), (5, 5), (0, 0)):
        page = Page(write_report(dump, tmp_path, num_mistakes=asked))
        assert page.source.count('class="no-image"') == shown
    with pytest.raises(ValueError, match='num_mistakes=-1'):
        write_report(dump, tmp_path, num_mistakes=-1)


def test_training_curves(tmp_path: Path, make_dump) -> None:
    log = tmp_path / 'scalars.json'
    log.write_text(
        '{"loss": 2, "lr": 0.1, "epoch": 1, "step": 1}\n{"mAP": 20, "step": 1}\n{"loss": NaN, "step": 2}\n{"lo'
    )
    page = Page(write_report(make_dump(5, DIGITS), tmp_path, scalars=log))
    assert page.data()['charts']['loss']['series'] == [{'name': 'loss', 'x': [1, 2], 'y': [2, None]}]
    assert page.data()['charts']['val']['xLabel'] == 'epoch'
    assert page.has('1 logged loss value is not finite')
    assert page.has('1 line of the log could not be read')
    log.write_text('')
    assert Page(write_report(make_dump(5, DIGITS), tmp_path, scalars=log)).has('no losses, learning rates or')
    with pytest.raises(FileNotFoundError, match='elsewhere'):
        write_report(make_dump(5, DIGITS), tmp_path, scalars=tmp_path / 'elsewhere.json')


def test_a_page_of_the_users_is_not_overwritten(tmp_path: Path, make_dump) -> None:
    page = tmp_path / 'index.html'
    page.write_text('<p>my notes</p>')
    with pytest.raises(FileExistsError, match=r'index\.html'):
        write_report(make_dump(5, DIGITS), tmp_path)
    assert page.read_text() == '<p>my notes</p>'
    page.unlink()
    assert write_report(make_dump(5, DIGITS), tmp_path) == write_report(make_dump(6, DIGITS), tmp_path) == page


def test_maps_of_photographs(data_root: Path, tmp_path: Path, build_dataset, build_model, score) -> None:
    dataset = build_dataset(
        type='mlic_mm.COCOMultiLabel',
        data_root=str(data_root / 'coco_mini'),
        ann_file='annotations/instances_val2017.json',
        data_prefix='val2017',
        indices=6,
    )
    classes = dataset.metainfo['classes']
    model = build_model(classes)
    dump = score(model, dataset)
    page = Page(write_report(dump, tmp_path, model=model, dataset=dataset, num_maps=2))
    maps = [attrs['alt'] for tag, attrs in page.tags if tag == 'img' and ' map' in attrs.get('alt', '')]
    assert len(maps) == 2 * 3 * 2
    assert [tag for tag, _ in page.tags].count('h1') == 1
    assert page.has('COCOMultiLabel')
    assert page.has('Grad-CAM of the three highest-ranked labels at conv5_x, LIFT map, attended map')
    assert not page.has('scores differ')

    plain = Page(write_report(dump, tmp_path, model=build_model(classes, deep_lift=False), dataset=dataset, num_maps=2))
    assert plain.has('no label-specific maps')
    assert plain.has('scores of the model differ from those in the file')  # another model than the one scored
    assert write_report(dump, tmp_path, model=model, dataset=dataset, num_maps=2).read_text() == page.source

    assert Page(write_report(dump, tmp_path, model=torch.nn.Flatten(), dataset=dataset)).has(
        'No maps: class maps need an ImageClassifier of mmpretrain, got Flatten.'
    )
    renamed = ScoreDump(dump.scores, dump.targets, dump.image_ids, dump.image_paths, ('human', *classes[1:]))
    with pytest.raises(ValueError, match='human'):
        write_report(renamed, tmp_path, model=model, dataset=dataset)


def test_mistakes_show_the_person_not_the_photograph(tmp_path: Path) -> None:
    """Two persons of one photograph, the left one white and the right one black."""
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :40] = 255
    cv2.imwrite(str(tmp_path / 'a.png'), image)

    class Persons:
        metainfo: ClassVar[dict] = dict(classes=('hat',))

        def __len__(self) -> int:
            return 2

        def get_data_info(self, i: int) -> dict:
            return dict(img_id=f'a.png#{i}', img_path=str(tmp_path / 'a.png'), box=[40 * i, 0, 40 * i + 40, 40])

    dump = ScoreDump(
        scores=np.array([[0.9], [0.8]], np.float32),
        targets=np.zeros((2, 1), np.int8),
        image_ids=np.array(['a.png#0', 'a.png#1']),
        image_paths=np.array([str(tmp_path / 'a.png')] * 2),
        classes=('hat',),
    )
    page = write_report(dump, tmp_path / 'report', dataset=Persons()).read_text()
    pictures = [base64.b64decode(uri) for uri in re.findall(r'data:image/jpeg;base64,([^"]+)', page)]
    assert [int(cv2.imdecode(np.frombuffer(p, np.uint8), 0).mean()) for p in pictures] == [255, 0]
