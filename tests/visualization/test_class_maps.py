import shutil
from pathlib import Path

import numpy as np
import pytest

from mlic_mm.visualization.class_maps import choose_images, class_maps


@pytest.fixture(scope='module')
def photos(data_root: Path, build_dataset) -> object:
    root = str(data_root / 'VOCdevkit/VOC2007')
    return build_dataset(type='mlic_mm.VOCMultiLabel', data_root=root, split='test', indices=6)


def test_choose_images_prefers_two_or_three_labels() -> None:
    targets = np.zeros((8, 5), np.int8)
    for row, count in enumerate([0, 1, 2, 5, 3, 2, 1, 3]):
        targets[row, :count] = 1
    targets[0] = -1
    assert choose_images(targets, 2) == [2, 7]
    assert choose_images(targets, 4) == [2, 4, 5, 7]
    assert choose_images(targets, 5) == [1, 2, 4, 5, 7]
    assert choose_images(targets, 7) == [1, 2, 3, 4, 5, 6, 7]
    assert choose_images(targets, 100) == list(range(8))
    assert choose_images(targets, 0) == []


def test_maps_of_photographs(photos, build_model, score) -> None:
    model = build_model(photos.metainfo['classes'])
    dump = score(model, photos)
    model.train()
    cards = class_maps(model, photos, [1, 4], list(dump.image_ids), 20)
    assert model.training
    model.eval()
    assert [card.row for card in cards] == [1, 4]
    for card in cards:
        best = np.argsort(-dump.scores[card.row])[:3]
        assert [column.label for column in card.columns] == best.tolist()
        np.testing.assert_allclose([c.score for c in card.columns], dump.scores[card.row, best], rtol=1e-4)
        assert [len(column.pictures) for column in card.columns] == [3, 3, 3]
        assert (card.photo.width, card.photo.height) == (64, 64)
        assert all(picture.uri for column in card.columns for picture in column.pictures)


def test_rows_are_found_by_id_whatever_the_order(photos, build_model, score) -> None:
    model = build_model(photos.metainfo['classes'], deep_lift=False)
    ids = list(score(model, photos).image_ids)
    plain = class_maps(model, photos, [1, 4], ids, 20)
    turned = class_maps(model, photos, [4, 1], ids[::-1], 20)
    assert [card.photo.uri for card in turned] == [card.photo.uri for card in plain]
    assert [card.columns for card in turned] == [card.columns for card in plain]
    assert len(plain[0].columns[0].pictures) == 1
    (unknown,) = class_maps(model, photos, [0], ['elsewhere'], 20)
    assert unknown.problem == 'elsewhere is not in the data set that was given'


def test_missing_and_damaged_images_are_told_of(photos, data_root: Path, tmp_path: Path, build_dataset, build_model):
    source = data_root / 'VOCdevkit/VOC2007'
    names = [photos.get_data_info(i)['img_id'] for i in range(3)]
    for folder, suffix in (('Annotations', 'xml'), ('JPEGImages', 'jpg')):
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(source / folder / f'{name}.{suffix}', tmp_path / folder)
    (tmp_path / 'ImageSets/Main').mkdir(parents=True)
    (tmp_path / 'ImageSets/Main/test.txt').write_text('\n'.join(names))
    dataset = build_dataset(type='mlic_mm.VOCMultiLabel', data_root=str(tmp_path), split='test')
    (tmp_path / 'JPEGImages' / f'{names[0]}.jpg').unlink()
    cut = tmp_path / 'JPEGImages' / f'{names[1]}.jpg'
    cut.write_bytes(b'')
    model = build_model(dataset.metainfo['classes'])
    gone, empty, fine = class_maps(model, dataset, [0, 1, 2], names, 20)
    assert f'{names[0]}.jpg' in gone.problem
    assert 'empty' in empty.problem
    assert not fine.problem
    assert len(fine.columns) == 3


def test_model_of_another_width_is_refused(photos, build_model) -> None:
    ids = [photos.get_data_info(i)['img_id'] for i in range(len(photos))]
    with pytest.raises(ValueError, match='the model gives 3 labels and the scores have 20'):
        class_maps(build_model(('a', 'b', 'c')), photos, [0], ids, 20)


def test_fewer_labels_than_three(photos, build_model) -> None:
    ids = [photos.get_data_info(i)['img_id'] for i in range(len(photos))]
    (card,) = class_maps(build_model(('a', 'b')), photos, [0], ids, 2)
    assert len(card.columns) == 2
