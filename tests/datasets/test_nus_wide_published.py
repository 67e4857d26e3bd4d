"""The published lists of NUS-WIDE."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from nus_wide_miniature import build
from run_tool import call_tool

from mlic_mm.datasets import NUSWIDE
from mlic_mm.datasets.find_images import find_images
from mlic_mm.datasets.nus_wide.lists import CONCEPTS, parse_list, parse_names


def unzipped(data_root: Path, name: str) -> bytes:
    return gzip.decompress((data_root / 'nuswide' / f'{name}.gz').read_bytes())


def test_concepts_are_the_published_ones(data_root: Path) -> None:
    assert tuple((data_root / 'nuswide' / 'Concepts81.txt').read_text().split()) == CONCEPTS
    assert len(CONCEPTS) == 81


def test_official_test_split_has_the_published_size(data_root: Path, tmp_path: Path) -> None:
    """With the published list, as many lines of flags as it has, and half of its images on the disk."""
    raw = unzipped(data_root, 'TestImagelist.txt')
    folder = tmp_path / 'Groundtruth' / 'TrainTestLabels'
    folder.mkdir(parents=True)
    (tmp_path / 'ImageList').mkdir()
    (tmp_path / 'ImageList' / 'TestImagelist.txt').write_bytes(raw)
    names = raw.decode().replace('\\', '/').split('\n')[:107_859]
    for k, concept in enumerate(CONCEPTS):
        flags = np.frombuffer(b'0\n' * len(names), np.uint8).copy()
        flags[2 * k :: 2 * 81] = ord('1')
        (folder / f'Labels_{concept}_Test.txt').write_bytes(flags.tobytes())
    assert len(parse_names(raw, 'TestImagelist.txt')) == 107_859
    dataset = build(str(tmp_path), 'test', on_missing='keep', cache=False)
    assert len(dataset) == 107_859
    for i in (0, 1, 80, 81, 50_000, 107_858):
        info = dataset.get_data_info(i)
        assert (info['img_id'], info['gt_label']) == (names[i], [i % 81])


def published(data_root: Path, tmp_path: Path, split: str) -> NUSWIDE:
    (tmp_path / f'{split}.txt').write_bytes(unzipped(data_root, f'deephash_{split}.txt'))
    return build(str(tmp_path), ann_file=f'{split}.txt', on_missing='keep')


MOST_FREQUENT = ['sky', 'clouds', 'person', 'water', 'animal', 'grass', 'buildings', 'window', 'plants', 'lake']
"""Of all 269,648 images, in this order (the ten concepts of the usual subset)."""
NEXT = ['ocean', 'road', 'flowers', 'sunset', 'reflection', 'rocks', 'vehicle', 'snow', 'tree', 'beach', 'mountain']
"""With the ten above the 21 concepts of at least 5,000 images, of which another usual subset consists."""


@pytest.mark.parametrize(('split', 'size'), [('train', 10_000), ('test', 5_000)])
def test_published_list_files(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, size: int
) -> None:
    dataset = published(data_root, tmp_path, split)
    targets = dataset.targets()
    assert targets.shape == (size, 81)
    counts = dict(zip(CONCEPTS, targets.sum(0).tolist(), strict=True))
    order = sorted(counts, key=lambda name: -counts[name])
    assert set(order[:21]) == {*MOST_FREQUENT, *NEXT}
    if split == 'train':  # of the 5,000 a sample is too small for the closest pairs
        assert order[:10] == MOST_FREQUENT
    assert targets.any(1).all()
    independent = unzipped(data_root, f'deephash_{split}.txt').decode().split('\n')[17].split()
    assert dataset.get_data_info(17)['img_id'] == independent[0]
    assert targets[17].tolist() == [int(flag) for flag in independent[1:]]
    config = tmp_path / 'config.py'
    config.write_text(
        f"train_dataloader = dict(dataset=dict(type='mlic_mm.NUSWIDE', data_root={str(tmp_path)!r}, "
        f"ann_file='{split}.txt', on_missing='keep', pipeline=[]))\n"
    )
    call_tool('dataset_stats', str(config))
    out = capsys.readouterr().out
    assert f'NUSWIDE (train): {size} images, 81 labels' in out
    assert 'labels per image: mean 2.4' in out
    row = next(line for line in out.splitlines() if line.startswith('sky '))
    assert row.split()[1] == str(counts['sky'])


def test_flags_of_the_list_files_are_in_the_order_of_the_concepts(data_root: Path, tmp_path: Path) -> None:
    """A photograph that the official list keeps under the name of a concept mostly has that concept."""
    official = parse_names(unzipped(data_root, 'TestImagelist.txt'), 'TestImagelist.txt')
    folder_of = {name.rsplit('_', 1)[1][:-4]: name.split('/')[0] for name in official}
    dataset = published(data_root, tmp_path, 'train')
    hits = []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        folder = folder_of.get(info['img_id'].split('_')[1])
        if folder in CONCEPTS:
            hits.append(CONCEPTS.index(folder) in info['gt_label'])
    assert len(hits) > 300
    assert np.mean(hits) > 0.6  # by chance, 0.03


def test_published_names_meet_the_official_ones_by_number(data_root: Path, tmp_path: Path) -> None:
    """Images named as in the list files are found for the entries of the official list."""
    official = parse_names(unzipped(data_root, 'TestImagelist.txt'), 'TestImagelist.txt')
    names, _ = parse_list(unzipped(data_root, 'deephash_test.txt'), 'deephash_test.txt')
    (tmp_path / 'images').mkdir()
    for name in names:
        (tmp_path / name).touch()
    paths, by_number = find_images(str(tmp_path), official)
    assert by_number == sum(path is not None for path in paths) == 2021
