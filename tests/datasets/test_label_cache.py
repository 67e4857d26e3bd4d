"""Kept labels of NUS-WIDE: used where nothing changed, parsed again where anything did."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import REPO, Log
from mmengine.logging import MMLogger
from nus_wide_miniature import LABELS, build, contents, lines, miniature, settle

from mlic_mm.datasets.label_cache import cached_labels
from mlic_mm.datasets.nus_wide.lists import CONCEPTS

GOOD = lines(LABELS['train'])


@pytest.fixture(scope='module')
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature and a list file that are old enough for the cache."""
    root = tmp_path_factory.mktemp('settled') / 'nus'
    miniature(root)
    (root / 'list.txt').write_text('\n'.join(GOOD))
    settle(root)
    return root


@pytest.mark.parametrize('source', [{'split': 'train'}, {'split': 'all'}, {'ann_file': 'list.txt'}])
def test_kept_labels_are_used_and_equal(settled: Path, cache: Path, source: dict) -> None:
    first = contents(build(str(settled), **source))
    (entry,) = cache.iterdir()
    assert contents(build(str(settled), **source)) == first
    with np.load(entry, allow_pickle=False) as arrays:
        changed = {**arrays, 'labels': np.zeros_like(arrays['labels'])}
    np.savez(entry, **changed)
    assert set(contents(build(str(settled), **source)).values()) == {''}  # so it was read
    assert contents(build(str(settled), cache=False, **source)) == first


def test_nothing_is_written_beside_the_data(settled: Path) -> None:
    before = sorted(settled.rglob('*'))
    build(str(settled), 'train')
    assert sorted(settled.rglob('*')) == before


def test_a_changed_file_is_noticed(tmp_path: Path, cache: Path) -> None:
    """Also where its size and modification time stay as they were."""
    root = miniature(tmp_path / 'nus')
    flags = tmp_path / 'nus' / 'Groundtruth' / 'TrainTestLabels' / 'Labels_bear_Train.txt'
    assert contents(build(root, 'train')) == LABELS['train']
    assert not cache.exists()  # too young to be kept
    settle(root)
    build(root, 'train')
    assert len(list(cache.iterdir())) == 1
    state = flags.stat()
    flags.write_text('1\n0\n0\n0\n')
    os.utime(flags, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (flags.stat().st_size, flags.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert contents(build(root, 'train'))['actor/0001_2124494179.jpg'] == 'bear person'
    shutil.copytree(tmp_path / 'nus', tmp_path / 'other')
    assert contents(build(str(tmp_path / 'other'), 'train'))['actor/0001_2124494179.jpg'] == 'bear person'
    flags.unlink()
    with pytest.raises(FileNotFoundError, match='Labels_bear_Train'):
        build(root, 'train')


def test_a_damaged_entry_is_parsed_again(settled: Path, cache: Path) -> None:
    result = ['a/1.jpg', 'ü/2.jpg'], np.eye(2, 81) > 0
    sources = [str(settled / 'list.txt')]
    cached_labels(sources, lambda: result)
    (entry,) = cache.iterdir()
    good = entry.read_bytes()
    pickled = cache.parent / 'pickled.npz'
    np.savez(pickled, names=np.array([print], object), labels=np.zeros((2, 11), np.uint8), num_classes=81)
    wrong = cache.parent / 'wrong.npz'
    np.savez(wrong, names=np.frombuffer(b'a', np.uint8), labels=np.zeros((2, 11), np.uint8), num_classes=81)
    damaged = [b'', good[:-1], good[: len(good) // 2], b'x' * len(good), pickled.read_bytes(), wrong.read_bytes()]
    rng = np.random.default_rng(0)
    for position in range(0, len(good), 3):
        damaged.append(good[:position] + bytes([good[position] ^ 1 << int(rng.integers(8))]) + good[position + 1 :])
    reparsed = 0
    for raw in damaged:
        entry.write_bytes(raw)
        parsed: list[int] = []
        names, labels = cached_labels(sources, lambda parsed=parsed: parsed.append(1) or result)
        assert names == result[0]
        np.testing.assert_array_equal(labels, result[1])
        reparsed += len(parsed)
        assert not parsed or entry.read_bytes() == good or len(entry.read_bytes()) == len(good)
    assert reparsed > 0.6 * len(damaged)  # the other bits mean nothing, such as dates
    assert list(cache.iterdir()) == [entry]


def test_damage_is_said(settled: Path, cache: Path) -> None:
    build(str(settled), 'train')
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    with Log() as messages:
        assert contents(build(str(settled), 'train')) == LABELS['train']
    assert any(f'{entry}: damaged' in message and 'again' in message for message in messages)


def test_files_that_change_while_they_are_parsed_are_not_kept(settled: Path, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / 'list.txt'
    shutil.copy(settled / 'list.txt', path)
    settle(tmp_path)

    def parse() -> tuple[list[str], np.ndarray]:
        os.utime(path, (1, 1))
        return ['a'], np.ones((1, 81), bool)

    cached_labels([str(path)], parse)
    assert not cache.exists()


def test_a_folder_that_cannot_be_written_is_said_once(
    settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    before = MMLogger.get_current_instance().instance_name
    MMLogger.get_instance('nuswide', log_file=str(tmp_path / 'log'))
    try:
        for _ in range(3):
            assert contents(build(str(settled), 'train')) == LABELS['train']
    finally:
        MMLogger.get_instance(before)
    assert (tmp_path / 'log').read_text().count('parsed labels cannot be kept') == 1
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')  # to be ignored by the standard, and no such folder is made
    assert contents(build(str(settled), 'train')) == LABELS['train']
    assert not Path('relative').exists()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_read_only_folder(settled: Path, tmp_path: Path) -> None:
    (tmp_path / 'cache').mkdir(mode=0o500)
    assert contents(build(str(settled), 'train')) == LABELS['train']


@pytest.mark.process
def test_processes_share_the_cache(settled: Path, tmp_path: Path, cache: Path) -> None:
    """Two processes build the same data set time and again while the entry is deleted and damaged under them."""
    code = (
        'import sys\n'
        'from mlic_mm.datasets import NUSWIDE\n'
        'print("ready", flush=True)\n'
        'sys.stdin.readline()\n'
        'for _ in range(50):\n'
        '    dataset = NUSWIDE(sys.argv[1], "train", serialize_data=False)\n'
        '    print([dataset.get_data_info(i)["gt_label"] for i in range(len(dataset))])\n'
    )
    errors = (tmp_path / 'errors').open('w')
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', code, str(settled)],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        while process.stdout.readline() not in ('ready\n', ''):
            pass
    for process in processes:
        assert process.stdin is not None
        process.stdin.write('\n')
        process.stdin.flush()
    turn = 0
    while any(process.poll() is None for process in processes):
        for entry in cache.glob('*.npz'):
            entry.unlink() if turn % 2 else entry.write_bytes(b'PK')
        turn += 1
        time.sleep(0.01)
    expected = str([[CONCEPTS.index(name) for name in labels.split()] for labels in LABELS['train'].values()])
    errors.close()
    for process in processes:
        out, _ = process.communicate()
        assert process.returncode == 0, (tmp_path / 'errors').read_text()
        assert [line for line in out.splitlines() if line.startswith('[[')] == [expected] * 50  # others are logs
    assert turn > 1
    assert not list(cache.glob('*.tmp'))
