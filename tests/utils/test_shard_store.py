"""Shards that a stopped run goes on with: proposals, and folders that earlier versions have begun."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlic_mm.datasets.proposals.proposal_parts import ProposalParts
from mlic_mm.datasets.teacher_cache.writer import TeacherShards

GENERATOR, DATASET = dict(type='Corners', num=4), dict(type='CSVMultiLabel', id_type='str', splits=['train'])
IDS = [f'{number}.png' for number in range(40)]
# As the first version of the tool wrote it for these images.
SETTINGS = (
    '{"generator": {"type": "Corners", "num": 4}, "dataset": {"type": "CSVMultiLabel", "id_type": "str", "splits": '
    '["train"]}, "images": "%s", "part": 32, "version": 1}'
)


def parts(folder: Path, ids: list[str] = IDS, **changes: object) -> ProposalParts:
    return ProposalParts(folder, GENERATOR | changes, DATASET, ids)


def write(store: ProposalParts, number: int) -> None:
    boxes, scores = np.array([[0, 0, 10, 10]]), np.array([0.5])
    store.write(number, [(img_id, (20, 20), boxes, scores) for img_id in store.ids_of(number)])


def test_a_run_goes_on(tmp_path: Path) -> None:
    store = parts(tmp_path / 'out.part')
    store.begin()
    assert (len(store), store.missing()) == (2, [0, 1])
    write(store, 1)
    again = parts(tmp_path / 'out.part')
    again.begin()
    assert again.missing() == [0]
    write(again, 0)
    assert [entry[0] for entry in again.entries()] == IDS
    path = again.path_of(1)
    path.write_bytes(path.read_bytes()[:100])
    assert again.missing() == [1]


def test_a_folder_of_an_earlier_version_is_known(tmp_path: Path) -> None:
    store = parts(tmp_path)
    (tmp_path / 'settings.json').write_text(SETTINGS % store.index['images'])
    assert json.loads(SETTINGS % store.index['images']) == store.index
    assert [store.path_of(number).name for number in range(2)] == ['00000000.st', '00000032.st']
    store.begin()
    with pytest.raises(ValueError, match=r'begun with other generator: .*, now .*; go on with the same, .*--force'):
        parts(tmp_path, num=5).begin()
    with pytest.raises(ValueError, match='begun with other images'):
        parts(tmp_path, IDS[:3]).begin()


def test_force_deletes_shards_and_nothing_else(tmp_path: Path) -> None:
    store = parts(tmp_path)
    store.begin()
    write(store, 0)
    (tmp_path / 'notes.txt').write_text('mine')
    parts(tmp_path, num=5).begin(force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['notes.txt', 'settings.json']


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / 'settings.json').write_text('{"mine": 1}')
    (tmp_path / '00000000.st').write_text('mine')
    for force in (False, True):
        with pytest.raises(FileExistsError, match='is no folder of unfinished proposals; it is left alone'):
            parts(tmp_path).begin(force)
        with pytest.raises(FileExistsError, match='is no teacher cache; it is left alone'):
            TeacherShards(tmp_path, {}, ['a']).begin(force)
    assert (tmp_path / '00000000.st').read_text() == 'mine'
