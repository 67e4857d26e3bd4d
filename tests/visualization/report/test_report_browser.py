"""The page in a real headless browser."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlic_mm.evaluation import ScoreDump
from mlic_mm.visualization import write_report

pytestmark = pytest.mark.process

EVIL = '</script><script>window.hacked = 1</script>'


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory, build_dataset, build_model, score) -> Path:
    """A report with every section filled, on the embedded digit scenes; one class without positives, one evil name."""
    folder = tmp_path_factory.mktemp('report')
    scenes = build_dataset(
        type='mlic_mm.DigitScenes', data_root=str(folder / 'digits'), split='val', num_train=1, num_val=24, size=96
    )
    model = build_model(scenes.metainfo['classes'])
    dump = score(model, scenes)
    rng = np.random.default_rng(0)
    # Scores of an untrained model are alike; these have an order, mistakes of both kinds and a class without positives.
    scores = np.clip(0.35 * dump.targets + 0.6 * rng.random(dump.scores.shape), 0, 1)
    targets = dump.targets.copy()
    targets[:, 2] = 0
    classes = ('zero', EVIL, *dump.classes[2:])
    scenes._metainfo['classes'] = classes
    log = folder / 'scalars.json'
    records = [{'loss': 3 / (i + 1), 'lr': 0.1, 'epoch': 1, 'iter': i, 'step': i} for i in range(1, 60)]
    records += [{'mAP': 20.0 + i, 'CF1': 10.0, 'OF1': 12.0, 'step': i} for i in range(1, 4)]
    log.write_text('\n'.join(map(json.dumps, records)) + '\n{"loss": 1, "le')
    dump = ScoreDump(scores, targets, dump.image_ids, dump.image_paths, classes)
    return write_report(dump, folder / 'out', scalars=log, model=model, dataset=scenes, num_maps=2)


def _column(driver, place: int) -> list[str]:
    rows = "[...document.querySelectorAll('#class-table tbody tr')]"
    return driver.execute_script(f'return {rows}.map(row => row.cells[arguments[0]].dataset.value)', place)


def _is_sorted(values: list[str], sign: int) -> bool:
    numbers = [float(value) for value in values if value]
    return numbers == sorted(numbers, reverse=sign < 0) and not any(values[len(numbers) :])


def test_images_load_and_names_stay_text(visit, page: Path) -> None:
    driver = visit(page)
    sizes = driver.execute_script('return [...document.images].map(i => [i.complete, i.naturalWidth])')
    assert len(sizes) > 30  # mistakes of both kinds, and the maps of two images
    assert all(done and width > 0 for done, width in sizes)
    assert driver.execute_script('return window.hacked') is None
    assert driver.find_element('css selector', '[data-class="1"]').text == EVIL


def test_sort_by_click(visit, page: Path) -> None:
    driver = visit(page)
    heads = driver.find_elements('css selector', '#class-table thead th')
    before = _column(driver, 2)
    assert before.count('') == 1
    assert not _is_sorted(before, -1)
    for place in (2, 5, 6):
        button = heads[place].find_element('tag name', 'button')
        for sign, state in ((-1, 'descending'), (1, 'ascending')):
            button.click()
            assert _is_sorted(_column(driver, place), sign)
            assert heads[place].get_attribute('aria-sort') == state
            assert len(driver.find_elements('css selector', '#class-table [aria-sort]')) == 1
    heads[0].find_element('tag name', 'button').click()
    assert _column(driver, 0) == [str(i) for i in range(10)]


def test_sort_by_keyboard(visit, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = visit(page)
    active = driver.switch_to
    driver.find_element('tag name', 'body').send_keys(Keys.TAB)
    assert active.active_element.text == 'Skip to content'
    for _ in range(30):
        if active.active_element.text.startswith('AP'):
            break
        active.active_element.send_keys(Keys.TAB)
    active.active_element.send_keys(Keys.ENTER)
    assert _is_sorted(_column(driver, 2), -1)
    active.active_element.send_keys(Keys.SPACE)
    assert _is_sorted(_column(driver, 2), 1)
    assert 'sorted by AP, ascending' in driver.find_element('id', 'sort-status').get_attribute('textContent')
    outline = driver.execute_script('return getComputedStyle(document.activeElement).outlineStyle')
    assert outline == 'solid'


def test_a_label_shows_its_curves(visit, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = visit(page)
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    line = driver.find_element('css selector', '#chart-pr .line.s1')
    bars = driver.find_element('css selector', '#chart-hist .bar.pos')
    overall = bars.get_attribute('d')
    assert not line.get_attribute('d')
    driver.find_element('css selector', '[data-class="5"]').click()
    assert line.get_attribute('d').count('L') == len(data['classes'][5]['r']) - 1
    assert bars.get_attribute('d') != overall
    assert driver.find_element('id', 'legend-pr').text.splitlines() == ['mean of classes', 'five']

    driver.find_element('id', 'chart-hist').send_keys(Keys.ARROW_LEFT)
    counts = data['classes'][5]
    expected = f'score 0 to 0.04: {counts["pos"][0]} positives, {counts["neg"][0]} negatives'
    assert driver.find_element('id', 'read-hist').text == expected
    chart = driver.find_element('id', 'chart-pr')
    for _ in range(50):
        chart.send_keys(Keys.ARROW_RIGHT)
    assert driver.find_element('id', 'read-pr').text.startswith('recall 1: mean of classes ')
    assert f'five {counts["p"][-1]:.4g} at 1 (score ≥ ' in driver.find_element('id', 'read-pr').text

    driver.find_element('css selector', '[data-class="2"]').click()  # has no positives
    assert driver.find_element('id', 'no-curve').is_displayed()
    assert not line.get_attribute('d')
    driver.execute_script("pick.value = ''; pick.dispatchEvent(new Event('change'))")
    assert bars.get_attribute('d') == overall
    assert not driver.find_element('id', 'no-curve').is_displayed()


def test_pointer_reads_values(visit, page: Path) -> None:
    from selenium.webdriver import ActionChains

    driver = visit(page)
    chart = driver.find_element('id', 'chart-loss')
    ActionChains(driver).scroll_to_element(chart).move_to_element(chart).perform()
    assert re.fullmatch(r'iteration \S+: loss \S+ at \d+', driver.find_element('id', 'read-loss').text)


@pytest.mark.parametrize('width', [375, 768, 1400])
def test_no_sideways_scrolling(visit, page: Path, width: int) -> None:
    driver = visit(page, width)
    assert driver.execute_script('return document.documentElement.scrollWidth') <= width
    cut = """return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"""
    assert driver.execute_script(cut) <= (1 if width == 375 else 0)  # the evil name is wide; plain names fit


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(visit, page: Path, scheme: str) -> None:
    driver = visit(page, scheme=scheme)
    script = """
        const solid = (e) => { for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor; if (!c.startsWith('rgba(0, 0, 0, 0')) return c; } };
        return [...document.querySelectorAll('p, dt, dd, th, td, a, li, button, .negative, .score, .missing, .warning')]
            .filter(e => e.offsetParent && e.textContent.trim() && !e.closest('.hidden, .skip'))
            .map(e => [e.className || e.tagName, getComputedStyle(e).color, solid(e)]);
    """

    def luminance(colour: str) -> float:
        channels = [int(value) / 255 for value in re.findall(r'\d+', colour)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    found = {tuple(entry) for entry in driver.execute_script(script)}
    assert len(found) > 10
    for name, front, back in found:
        low, high = sorted((luminance(front), luminance(back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (name, front, back)
    paper = driver.execute_script('return getComputedStyle(document.body).backgroundColor')
    assert (luminance(paper) > 0.9) == (scheme == 'light')


def test_prints_without_controls(visit, page: Path) -> None:
    driver = visit(page, 794, 'dark', 'print')
    assert not driver.find_element('tag name', 'nav').is_displayed()
    assert not driver.find_element('id', 'pick').is_displayed()
    assert driver.find_element('id', 'class-table').is_displayed()
    assert driver.execute_script('return getComputedStyle(document.body).backgroundColor') == 'rgb(255, 255, 255)'
    pdf = base64.b64decode(driver.execute_cdp_cmd('Page.printToPDF', {})['data'])
    assert pdf.startswith(b'%PDF')


def test_one_image_of_one_label(visit, tmp_path: Path) -> None:
    picture = tmp_path / 'one.png'
    cv2.imwrite(str(picture), np.full((8, 300, 3), 90, np.uint8))
    dump = ScoreDump(np.array([[0.75]]), np.array([[0]]), np.array(['one']), np.array([str(picture)]), ('a' * 200,))
    driver = visit(write_report(dump, tmp_path, images=tmp_path), 375)
    assert driver.execute_script('return document.documentElement.scrollWidth') <= 375
    assert driver.execute_script('return document.images[0].naturalWidth') == 224
    assert 'so there is no curve' in driver.find_element('id', 'curves').text


def test_photographs_with_eighty_labels(visit, data_root: Path, tmp_path: Path, build_dataset, build_model, score):
    photos = build_dataset(
        type='mlic_mm.COCOMultiLabel',
        data_root=str(data_root / 'coco_mini'),
        ann_file='annotations/instances_val2017.json',
        data_prefix='val2017',
        indices=12,
    )
    model = build_model(photos.metainfo['classes'])
    page = write_report(score(model, photos), tmp_path, model=model, dataset=photos, num_maps=3)
    driver = visit(page, 375)
    assert driver.execute_script('return document.documentElement.scrollWidth') <= 375
    widths = driver.execute_script("return [...document.querySelectorAll('.map img')].map(i => i.naturalWidth)")
    assert len(widths) == 3 * (1 + 3 * 3)
    assert min(widths) > 0
    assert len(_column(driver, 0)) == 80
