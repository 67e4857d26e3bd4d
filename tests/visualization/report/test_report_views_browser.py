"""The maps of views in a real headless browser, on photographs."""

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mlic_mm.visualization import write_report

pytestmark = pytest.mark.process

FLIP = dict(type='mlic_mm.FlipView')
SCALE = dict(type='mlic_mm.ScaleView', size=32)


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory, data_root: Path, build_dataset, build_model, score) -> Path:
    """Two photographs of the method with four views, one of which cannot be made."""
    root = str(data_root / 'VOCdevkit/VOC2007')
    photos = build_dataset(type='mlic_mm.VOCMultiLabel', data_root=root, split='test', indices=4)
    plain = build_model(photos.metainfo['classes'], deep_lift=False)
    views = [FLIP, SCALE, dict(type='mlic_mm.ComposeView', views=[FLIP, SCALE])]
    views.append(dict(type='mlic_mm.TranslateView', x=5))
    init_default_scope('mmpretrain')
    model = MODELS.build(
        dict(
            type='mlic_mm.MultiLabelClassifier',
            backbone=plain.backbone,
            neck=plain.neck,
            head=plain.head,
            data_preprocessor=plain.data_preprocessor,
            objectives=dict(consistency=dict(type='mlic_mm.AttentionConsistency', views=views)),
        )
    ).eval()
    folder = tmp_path_factory.mktemp('views')
    return write_report(score(model, photos), folder, model=model, dataset=photos, num_maps=2, num_mistakes=2)


def test_rows_of_views(visit, page: Path) -> None:
    driver = visit(page)
    driver.find_element('css selector', 'nav a[href="#views"]').click()
    rows = driver.find_elements('css selector', '#views .view-row')
    assert len(rows) == 2 * 2
    for row in rows:
        cells = [cell.text.replace('\u200b', '').split('\n') for cell in row.find_elements('tag name', 'li')]
        assert [cell[0].removesuffix(' no evidence') for cell in cells[:4]] == [
            'photograph',
            'flip',
            'scale_32',
            'flip+scale_32',
        ]
        assert [len(cell) for cell in cells[:4]] == [2, 4, 4, 4]
        assert all(cell[1].startswith('score 0.') for cell in cells[:4])
        assert all(cell[2].startswith('inconsistency ') and cell[3].startswith('relative ') for cell in cells[1:4])
        assert '5 px is' in cells[4][0]
        # Side by side: one height, and the scaled ones half as wide; every picture has a text of its own.
        images = row.find_elements('tag name', 'img')
        boxes = [image.rect for image in images]
        assert boxes == sorted(boxes, key=lambda box: box['x'])
        assert max(box['y'] + box['height'] for box in boxes) - min(box['y'] + box['height'] for box in boxes) < 2
        assert boxes[2]['width'] == pytest.approx(boxes[0]['width'] / 2, abs=1)
        texts = [image.get_attribute('alt') for image in images]
        assert len(set(texts)) == 4
        label = driver.execute_script('return arguments[0].previousElementSibling.firstChild.textContent', row)
        assert all(text.startswith(f'evidence for {label} in ') for text in texts)


@pytest.mark.parametrize(('width', 'scheme'), [(375, 'light'), (768, 'dark'), (1400, 'light')])
def test_views_fit_every_width(visit, page: Path, width: int, scheme: str) -> None:
    driver = visit(page, width, scheme)
    assert driver.execute_script('return document.documentElement.scrollWidth') <= width
    wide = """return [...document.querySelectorAll('#views figcaption, #views figcaption *, #views .no-image')]
        .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.textContent)"""
    assert driver.execute_script(wide) == []
    sizes = driver.execute_script("return [...document.querySelectorAll('#views img')].map(i => i.naturalWidth)")
    assert len(sizes) == 2 * (1 + 2 * 4)
    assert min(sizes) > 0
