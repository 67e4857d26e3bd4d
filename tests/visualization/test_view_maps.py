import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmpretrain.models import ImageClassifier
from torch import nn

from mlic_mm.evaluation import ScoreDump
from mlic_mm.models import MultiLabelClassifier
from mlic_mm.models.view_transforms import FlipView, ScaleView, TranslateView
from mlic_mm.visualization import write_report
from mlic_mm.visualization.inputs import NoFeatureMapError, before_preprocessing
from mlic_mm.visualization.view_maps import PHOTOGRAPH, view_maps, views_of

NAMES = ('red', 'green', 'blue')
MEAN, STD = 100.0, 50.0


class Pool(nn.Module):
    """Mean colours of cells of 16 pixels: a map that moves exactly as mirror images do."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (nn.functional.avg_pool2d(images, 16),)


class OneSize(Pool):
    """As networks with a table of positions are."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        if images.shape[-2:] != (64, 64):
            raise AssertionError('made for 64 × 64\nand for no other size')
        return super().forward(images)


class Flat(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images.mean((2, 3)),)


def _classifier(
    backbone: nn.Module, views: list | None = None, head: dict | None = None, neck: str | None = 'GlobalAveragePooling'
):
    init_default_scope('mmpretrain')
    kwargs = dict(
        backbone=backbone,
        neck=dict(type=neck) if neck else None,
        head=head or dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=3),
        data_preprocessor=dict(mean=[MEAN] * 3, std=[STD] * 3, to_rgb=True),
    )
    if views is None:
        model = ImageClassifier(**kwargs)
    else:
        objective = dict(type='mlic_mm.AttentionConsistency', views=views, loss=False)
        model = MultiLabelClassifier(objectives=dict(consistency=objective) if views else None, **kwargs)
    if hasattr(model.head, 'fc'):
        with torch.no_grad():
            model.head.fc.weight.copy_(2 * torch.eye(3))
            model.head.fc.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    return model.eval()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory, build_dataset) -> object:
    """Discs on a background that is brighter on the right, so that a mirror image is another image."""
    folder = tmp_path_factory.mktemp('scenes')
    rng = np.random.default_rng(0)
    shade = np.linspace(20, 255, 64)[None, :, None] * np.array([0.3, 0.6, 1.0])  # blue, green, red
    lines = ['path,red,green,blue']
    for i in range(12):
        image = np.broadcast_to(shade, (64, 64, 3)).round().astype(np.uint8).copy()
        cv2.circle(image, rng.integers(0, 64, 2).tolist(), 12, rng.integers(0, 256, 3).tolist(), -1)
        cv2.imwrite(str(folder / f'{i}.png'), image)
        lines.append(f'{i}.png,1,{i % 2},0')
    (folder / 'scenes.csv').write_text('\n'.join(lines))
    return build_dataset(type='mlic_mm.CSVMultiLabel', ann_file='scenes.csv', data_root=str(folder))


@pytest.fixture(scope='module')
def ids(scenes) -> list[str]:
    return [scenes.get_data_info(i)['img_id'] for i in range(len(scenes))]


def _decode(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(',')[1]), np.uint8), cv2.IMREAD_COLOR).astype(int)


def test_of_a_net_that_moves_with_the_image(scenes, ids) -> None:
    views = [dict(type='mlic_mm.FlipView'), dict(type='mlic_mm.Rotate90View')]
    model = _classifier(Pool(), views).train()
    cards = view_maps(model, scenes, [1, 4], ids, 3)
    assert model.training
    assert [card.row for card in cards] == [1, 4]
    for card in cards:
        assert (card.photo.width, card.photo.height, card.frame) == (64, 64, (64, 64))
        assert len(card.rows) == 2
        for photo, flip, turned in (row.cells for row in card.rows):
            assert [photo.name, flip.name, turned.name] == [PHOTOGRAPH, 'flip', 'rotate90']
            assert np.isnan([photo.distance, photo.relative]).all()
            for view in (flip, turned):
                assert view.distance == pytest.approx(0, abs=1e-10)
                assert view.relative == pytest.approx(0, abs=1e-9)
                assert view.score == pytest.approx(photo.score, rel=1e-5)
            seen = _decode(photo.picture.uri)
            for view, moved in ((flip, seen[:, ::-1]), (turned, np.rot90(seen))):
                assert np.abs(_decode(view.picture.uri) - moved).mean() < 1.5  # JPEG
            assert np.abs(seen - seen[:, ::-1]).mean() > 10


def test_figures_by_hand(scenes, ids) -> None:
    (card,) = view_maps(_classifier(Pool()), scenes, [2], ids, 3, top=3)
    rgb = scenes[2]['inputs'].flip(0).double()
    image = (rgb - MEAN) / STD
    small = nn.functional.interpolate(image[None], size=(32, 32), mode='bilinear', antialias=True)[0]
    maps, small_maps = (
        2 * x.reshape(3, x.size(1) // 16, 16, -1, 16).mean((2, 4)).numpy() for x in (image, small)
    )  # (3, 4, 4) and (3, 2, 2)
    assert small_maps.shape == (3, 2, 2)
    logits = maps.mean((1, 2)) + np.array([0.5, 0, -0.5])
    assert [row.label for row in card.rows] == np.argsort(-logits).tolist()
    for row in card.rows:
        photo, flip, scaled = row.cells
        assert [flip.name, scaled.name] == ['flip', 'scale_32']
        assert (photo.share, flip.share, scaled.share) == (1, 1, 0.5)
        assert (scaled.picture.width, scaled.picture.height) == (32, 32)
        mine, other = maps[row.label], small_maps[row.label]
        assert photo.score == pytest.approx(1 / (1 + np.exp(-logits[row.label])), rel=1e-4)
        assert flip.distance == pytest.approx(0, abs=1e-10)
        distance = np.mean((mine - np.kron(other, np.ones((2, 2)))) ** 2)
        assert scaled.distance == pytest.approx(distance, rel=1e-3)
        pattern = np.mean((mine - mine.mean() - np.kron(other - other.mean(), np.ones((2, 2)))) ** 2)
        assert scaled.relative == pytest.approx(pattern / ((mine.var() + other.var()) / 2), rel=1e-3)
        assert photo.silent == (mine <= 0).all()


def test_labels_together_are_what_the_metric_counts(scenes, ids) -> None:
    model = _classifier(Pool(), [FlipView(), ScaleView(48), TranslateView(16)])
    model.objectives.consistency.measures = True
    sample = scenes[5]
    (found,) = model.test_step({'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]})
    (card,) = view_maps(model, scenes, [5], ids, 3, top=3)
    for place, (name, (distance, *_)) in enumerate(found.attention_inconsistency.items(), 1):
        cells = [row.cells[place] for row in card.rows]
        assert {cell.name for cell in cells} == {name}
        assert np.mean([cell.distance for cell in cells]) == pytest.approx(distance, rel=1e-4, abs=1e-9)


def test_pictures_are_what_was_loaded(scenes) -> None:
    model = _classifier(Pool())
    sample = scenes[0]
    batch = model.data_preprocessor({'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}, False)
    found = before_preprocessing(batch['inputs'][0], model.data_preprocessor, torch.uint8)
    assert torch.equal(found, sample['inputs'])
    # Without normalisation, and of images loaded as floats, nothing is cut off.
    floats = torch.randn(3, 4, 4)
    assert torch.equal(before_preprocessing(floats, nn.Identity(), torch.float32), floats)


def test_one_colour_scale_for_a_row(scenes, ids) -> None:
    """Twice the evidence in another view makes the photograph's own colours weaker."""

    class Twice(FlipView):
        def image(self, images: torch.Tensor) -> torch.Tensor:
            return 2 * images

        def move(self, maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
            return maps

    def rows(view: FlipView) -> list:
        return [row.cells for row in view_maps(_classifier(Pool(), [view]), scenes, [3], ids, 3, top=3)[0].rows]

    spoken = 0
    for (alone, _), (photo, twice) in zip(rows(FlipView()), rows(Twice()), strict=True):
        assert photo.silent == twice.silent == alone.silent
        same = np.abs(_decode(photo.picture.uri) - _decode(alone.picture.uri)).max() == 0
        assert same == photo.silent
        spoken += not same
    assert spoken


def test_views_of() -> None:
    plain = _classifier(Pool())
    for size, scaled in ((128, 96), (448, 320), (224, 160), (256, 192), (64, 32), (96, 64), (100, 64), (20, 32)):
        names = [view.name for view in views_of(plain, (size, size))]
        assert names == ['flip', f'scale_{scaled}'], size
    assert [view.name for view in views_of(plain, (32, 32))] == ['flip']
    assert [view.name for view in views_of(plain, (256, 128))] == ['flip', 'scale_192x96']
    own = _classifier(Pool(), [FlipView('vertical'), ScaleView(80)])
    assert views_of(own, (128, 128)) == own.views
    assert [view.name for view in views_of(_classifier(Pool(), []), (128, 128))] == ['flip', 'scale_96']


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_a_scaled_view_is_always_another_image(height: int, width: int) -> None:
    _, *scaled = views_of(nn.Identity(), (height, width))
    for view in scaled:
        assert view.size != (height, width)
        assert all(side % 32 == 0 for side in view.size)
        assert all(
            side == 32 or abs(side - 0.75 * old) <= 16 for side, old in zip(view.size, (height, width), strict=True)
        )
    assert scaled or (height, width) == (32, 32)


def test_a_view_that_the_model_cannot_see_is_told_of(scenes, ids) -> None:
    (card,) = view_maps(_classifier(OneSize()), scenes, [0], ids, 3)
    for photo, flip, scaled in (row.cells for row in card.rows):
        assert photo.picture.uri
        assert flip.picture.uri
        assert scaled.name == 'scale_32'
        assert scaled.picture.problem == 'made for 64 × 64'
    (card,) = view_maps(_classifier(Pool(), [TranslateView(5), FlipView()]), scenes, [0], ids, 3)
    _, translated, flip = card.rows[0].cells
    assert '5 px is 0.31 cells' in translated.picture.problem
    assert flip.picture.uri


def test_constant_maps_have_no_relative_inconsistency(scenes, ids) -> None:
    model = _classifier(Pool())
    nn.init.zeros_(model.head.fc.weight)
    for _, *views in (row.cells for row in view_maps(model, scenes, [0], ids, 3)[0].rows):
        assert all(view.silent and view.distance == 0 and np.isnan(view.relative) for view in views)


def test_models_without_maps(scenes, ids) -> None:
    with pytest.raises(NoFeatureMapError, match='need an ImageClassifier of mmpretrain, got Flatten'):
        view_maps(nn.Flatten(), scenes, [0], ids, 3)
    csra = dict(type='CSRAClsHead', num_classes=3, in_channels=3, num_heads=1, lam=0.1)
    with pytest.raises(NoFeatureMapError, match='MultiLabelLinearClsHead after neck None has no map per label'):
        view_maps(_classifier(Pool(), neck=None), scenes, [0], ids, 3)
    with pytest.raises(NoFeatureMapError, match='Flat gives'):
        view_maps(_classifier(Flat(), head=csra, neck=None), scenes, [0], ids, 3)
    (card,) = view_maps(_classifier(Pool(), head=csra, neck=None), scenes, [0], ids, 3)
    assert all(cell.picture.uri for row in card.rows for cell in row.cells)


def test_model_of_another_width_and_rows_of_another_data_set(scenes, ids) -> None:
    with pytest.raises(ValueError, match='the model gives 3 labels and the scores have 10'):
        view_maps(_classifier(Pool()), scenes, [0], ids, 10)
    (card,) = view_maps(_classifier(Pool()), scenes, [0], ['elsewhere'], 3)
    assert card.problem == 'elsewhere is not in the data set that was given'
    assert not card.rows


def test_fewer_labels_than_two(scenes, ids, build_model) -> None:
    (card,) = view_maps(build_model(('a',), deep_lift=False), scenes, [0], ids, 1)
    assert len(card.rows) == 1


def test_photographs_with_deep_lift(data_root: Path, tmp_path: Path, build_dataset, build_model, score) -> None:
    """The page of Deep-LIFT on real photographs: its attended maps, six images at most."""
    root = str(data_root / 'VOCdevkit/VOC2007')
    photos = build_dataset(type='mlic_mm.VOCMultiLabel', data_root=root, split='test', indices=8)
    model = build_model(photos.metainfo['classes'])
    dump = score(model, photos)
    page = write_report(dump, tmp_path, model=model, dataset=photos, num_mistakes=0).read_text()
    section = page.split('<section id="views"')[1].split('</section>')[0]
    assert section.count('as the network sees it') == 6
    assert section.count('alt="evidence for ') == 6 * 2 * 3
    best = dump.classes[int(dump.scores[0].argmax())]
    for name in (PHOTOGRAPH, 'flip', 'scale_32'):
        assert f'alt="evidence for {best} in {name}' in section
    assert section.count('<span>inconsistency ') == section.count('<span>relative ') == 6 * 2 * 2
    assert f'score {dump.scores[0].max():.3f}' in section


def test_page_says_what_is_missing(scenes, ids, tmp_path: Path) -> None:
    dump = ScoreDump(np.full((12, 3), 0.5), np.ones((12, 3)), np.array(ids), np.array([''] * 12), NAMES)
    given = dict(dataset=scenes, num_maps=1)

    def section(**options: object) -> str:
        page = write_report(dump, tmp_path, num_mistakes=0, **options).read_text()
        return page.split('<section id="views"')[1].split('</section>')[0]

    assert 'Maps need the model and the data set.' in section()
    assert 'The report was made without them.' in section(model=_classifier(Pool()), dataset=scenes, num_maps=0)
    found = section(model=_classifier(Pool(), neck='GeneralizedMeanPooling'), **given)
    assert 'No maps of views: MultiLabelLinearClsHead after neck GeneralizedMeanPooling has no map per label' in found
    found = section(model=_classifier(OneSize()), **given)
    assert 'The model cannot look at this view: made for 64 × 64' in found
    silent = _classifier(Pool())
    nn.init.zeros_(silent.head.fc.weight)
    found = section(model=silent, **given)
    assert 'no evidence' in found
    assert 'relative –' in found
    path = Path(scenes.get_data_info(0)['img_path'])
    kept = path.read_bytes()
    path.write_bytes(b'')
    try:
        assert f'Image not shown: {path}' in section(model=_classifier(Pool()), dataset=scenes, num_maps=12)
    finally:
        path.write_bytes(kept)
