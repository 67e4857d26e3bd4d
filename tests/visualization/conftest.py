"""Small real models, data sets and scores to draw reports from, and a headless browser to look at them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import DATASETS, MODELS

from mlic_mm.evaluation import ScoreDump
from mlic_mm.label_graphs.data import LabelGraphData

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
DRIVER = shutil.which('chromedriver')
_PIPELINE = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape')),
]
_RESNET = dict(type='ResNet', depth=18, out_indices=(3,), init_cfg=None)


@pytest.fixture(scope='session')
def build_dataset() -> Callable:
    """Build a data set config with a 64-pixel test pipeline."""
    import mlic_mm  # noqa: F401  (registers the data sets)

    def build(**config: object) -> object:
        init_default_scope('mmpretrain')
        return DATASETS.build(dict(pipeline=_PIPELINE, test_mode=True, **config))

    return build


@pytest.fixture(scope='session')
def build_model() -> Callable:
    """Build a ResNet-18 with a Deep-LIFT head, or the plain pooled linear head."""
    import mlic_mm  # noqa: F401

    def build(classes: tuple[str, ...], deep_lift: bool = True, **head: object) -> ImageClassifier:
        init_default_scope('mmpretrain')
        torch.manual_seed(0)
        count = len(classes)
        config: dict = dict(type='ImageClassifier', backbone=_RESNET)
        config['data_preprocessor'] = dict(mean=[127] * 3, std=[128] * 3, to_rgb=True)
        if deep_lift:
            targets = np.random.default_rng(0).integers(0, 2, (20, count))
            targets[0] = 1
            graph = LabelGraphData.from_targets(targets, classes)
            embeddings = np.random.default_rng(1).normal(size=(count, 8)).astype(np.float32)
            label_graph = dict(graph=graph, embeddings=embeddings, hidden_channels=(16,))
            config['head'] = dict(
                type='mlic_mm.DeepLIFTHead', num_classes=count, in_channels=512, label_graph=label_graph, **head
            )
        else:
            config['neck'] = dict(type='GlobalAveragePooling')
            config['head'] = dict(type='MultiLabelLinearClsHead', num_classes=count, in_channels=512)
        return MODELS.build(config).eval()

    return build


@pytest.fixture(scope='session')
def score() -> Callable:
    """Score a data set with a model, as testing does."""

    def run(model: ImageClassifier, dataset: object) -> ScoreDump:
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        samples = [dataset[i] for i in range(len(dataset))]
        batch = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
        with torch.no_grad():
            results = model.test_step(batch)
        return ScoreDump(
            np.stack([result.pred_score.numpy() for result in results]),
            np.stack([info['gt_score'] for info in infos]),
            np.array([info['img_id'] for info in infos]),
            np.array([info['img_path'] for info in infos]),
            tuple(dataset.metainfo['classes']),
        )

    return run


@pytest.fixture(scope='session')
def make_dump() -> Callable:
    """Random scores that lean to the truth, ``ignored`` of the targets −1, pictures written where a folder is given."""

    def make(
        num_images: int, classes: tuple[str, ...], folder: Path | None = None, ignored: float = 0.05, seed: int = 0
    ) -> ScoreDump:
        rng = np.random.default_rng(seed)
        shape = (num_images, len(classes))
        targets = (rng.random(shape) < 0.3).astype(np.int8)
        scores = 1 / (1 + np.exp(-(2.0 * targets - 1 + rng.normal(size=shape))))
        targets[rng.random(shape) < ignored] = -1
        paths = [''] * num_images
        if folder is not None:
            for i in range(num_images):
                paths[i] = str(folder / f'image {i}.png')
                cv2.imwrite(paths[i], rng.integers(0, 256, (40 + i % 7, 60, 3), dtype=np.uint8))
        ids = np.array([f'id {i}' for i in range(num_images)])
        return ScoreDump(scores.astype(np.float32), targets, ids, np.array(paths), classes)

    return make


@pytest.fixture(scope='session')
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    webdriver = pytest.importorskip('selenium.webdriver', reason='selenium is missing: pip install selenium')
    if CHROMIUM is None or DRIVER is None:
        pytest.skip('no chromium with chromedriver found: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ('headless', 'no-sandbox', 'disable-gpu', 'disable-quic', 'no-first-run', 'disable-sync'):
        options.add_argument(f'--{flag}')
    options.add_argument('--disable-background-networking')
    options.add_argument('--disable-component-update')
    options.add_argument(f'--user-data-dir={tmp_path_factory.mktemp("chromium")}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser) -> Callable:
    """Open a page at a width, in light or dark; nothing may be logged or fetched by the end of the test."""
    opened = []

    def go(page: Path, width: int = 1400, scheme: str = 'light', media: str = 'screen') -> object:
        browser.get_log('browser')
        browser.get_log('performance')
        metrics = dict(width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
        features = [{'name': 'prefers-color-scheme', 'value': scheme}]
        features.append({'name': 'prefers-reduced-motion', 'value': 'reduce'})  # clicks need a page at rest
        browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'media': media, 'features': features})
        browser.get(page.as_uri())
        opened.append(page.as_uri())
        return browser

    yield go
    assert browser.get_log('browser') == []
    events = [json.loads(entry['message'])['message'] for entry in browser.get_log('performance')]
    urls = [e['params']['request']['url'] for e in events if e['method'] == 'Network.requestWillBeSent']
    assert opened[-1] in urls
    assert [url for url in urls if url != opened[-1] and not url.startswith('data:')] == []
