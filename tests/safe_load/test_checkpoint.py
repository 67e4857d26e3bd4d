"""Checkpoints are read as data; everything else is refused with a message that names file and cure."""

import os
import pickle
import shutil
import struct
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mlic_mm.safe_load.checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
    find_resumable,
    load_checkpoint,
    plain_data_only,
)
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.safe_load.torch_data import read_torch_data


def checkpoint(iteration: int = 4) -> dict[str, Any]:
    """What mmengine saves, in kind: tensors, history buffers, NumPy scalars."""
    buffer = HistoryBuffer()
    buffer.update(0.5)
    return dict(
        meta=dict(epoch=1, iter=iteration, best=np.float64(71.5)),
        state_dict={'fc.weight': torch.arange(4000.0)},
        message_hub=dict(log_scalars={'loss': buffer}, runtime_info={'mAP': np.float32(3)}),
        optimizer=dict(state={0: dict(momentum_buffer=torch.ones(3))}),
    )


@pytest.fixture(params=[True, False], ids=['allow-lists', 'before-torch-2.6'], autouse=True)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read, of which an installation uses one."""
    monkeypatch.setattr(
        'mlic_mm.safe_load.checkpoint.read_torch_data', partial(read_torch_data, allow_lists=request.param)
    )


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def test_what_mmengine_saves_is_read_whole(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / 'epoch_1.pth')
    for mmap in (False, True):
        found = load_checkpoint(tmp_path / 'epoch_1.pth', mmap=mmap)
        assert torch.equal(found['state_dict']['fc.weight'], torch.arange(4000.0))
        assert found['meta']['best'] == 71.5
        assert found['message_hub']['log_scalars']['loss'].mean() == 0.5


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_code_is_refused_and_named(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(x=Calls(os.system, f'touch {tmp_path}/executed')), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpointError, match=r'epoch_1\.pth carries .*system.*nothing of it was executed'):
        load_checkpoint(path)
    with pytest.raises(UnsafeCheckpointError):
        find_resumable(tmp_path)
    assert not (tmp_path / 'executed').exists()


def test_plain_pickle_with_code_is_not_executed(tmp_path: Path) -> None:
    (tmp_path / 'x.pth').write_bytes(pickle.dumps(Calls(os.system, f'touch {tmp_path}/executed')))
    with pytest.raises(CheckpointError, match=r'x\.pth'):
        load_checkpoint(tmp_path / 'x.pth')
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize('name', ['__init__', '__globals__', '_statistics_methods'])
def test_attributes_beyond_the_four_statistics_are_refused(tmp_path: Path, name: str) -> None:
    """History buffers pickle ``getattr``, which mmengine allows for every object; functions lead to their globals."""
    torch.save(dict(x=Calls(getattr, HistoryBuffer, name)), tmp_path / 'x.pth')
    with pytest.raises(UnsafeCheckpointError, match='getattr'):
        load_checkpoint(tmp_path / 'x.pth')


def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / 'x.pth')
    with pytest.raises(UnsafeCheckpointError, match='TorchScript'):
        load_checkpoint(tmp_path / 'x.pth')


REMEMBERED = b'q\x01h\x01h\x01\x86'  # (x, x) of the x on top
LARGE = b''.join(b'\x8a\x0a' + (k * (2**61 - 1)).to_bytes(10, 'little') for k in range(1, 12_000))  # all of one hash
BOMBS = {
    'one hash of keys': b'}(' + b''.join(b'G%sN' % struct.pack('>d', k * 2.0**61) for k in range(1, 12_000)) + b'u.',
    'one hash in a set': b'cbuiltins\nset\n](' + LARGE + b'e\x85R.',
    'one hash in pairs': b'ccollections\nOrderedDict\n]('
    + LARGE.replace(b'\x8a\x0a', b'N\x86\x8a\x0a')[2:]
    + b'N\x86e\x85R.',
    'one hash in a counter': b'\x8c\x0bcollections\x8c\x07Counter\x93](' + LARGE + b'e\x85R.',
    'hash': b'}K\x01' + REMEMBERED * 60 + b'K\x01s.',
    'hash of a set': b'cbuiltins\nset\n](K\x01' + REMEMBERED * 60 + b'e\x85R.',
    'hash of a storage': b'(X\x07\x00\x00\x00storageK\x01' + REMEMBERED * 60 + b'tQ.',
    'message': b'K\x01' + REMEMBERED * 60 + b')R.',
    'sharing': b'}X\x04\x00\x00\x00metaK\x01' + REMEMBERED * 60 + b's.',
    'nesting': b'}X\x04\x00\x00\x00meta' + b'](' * 300 + b'e' * 300 + b's.',
    'memory': b'cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R.',
    'time': b'c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00idna\x86R.',
}


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('name', BOMBS)
def test_bombs_are_refused_at_once(tmp_path: Path, name: str, zipped: bool) -> None:
    """A file of a few hundred bytes that would take for ever to hash, print or read."""
    path = tmp_path / 'epoch_1.pth'
    torch.save({}, path, _use_new_zipfile_serialization=zipped)
    if zipped:
        with zipfile.ZipFile(path) as old:
            parts = {entry: old.read(entry) for entry in old.namelist()}
        with zipfile.ZipFile(path, 'w') as new:
            for entry, content in parts.items():
                new.writestr(entry, b'\x80\x02' + BOMBS[name] if entry.endswith('data.pkl') else content)
    else:
        assert b'\x80\x02}q\x00.' in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(b'\x80\x02}q\x00.', b'\x80\x02' + BOMBS[name]))
    start = time.process_time()
    with pytest.raises(DamagedCheckpointError, match='PickleBombError'):
        load_checkpoint(path)
    assert time.process_time() - start < 2


def test_config_source_is_dropped(tmp_path: Path) -> None:
    torch.save(dict(meta=dict(config='import os', iter=3)), tmp_path / 'x.pth')
    assert load_checkpoint(tmp_path / 'x.pth')['meta'] == dict(iter=3)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(part=st.floats(0, 0.999), zipped=st.booleans())
def test_any_cut_is_noticed(tmp_path: Path, part: float, zipped: bool) -> None:
    path = tmp_path / 'epoch_2.pth'
    torch.save(checkpoint(), path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    # The format before torch 1.6 may end inside a name, which then is an unknown one: refused, if for another reason.
    with pytest.raises(DamagedCheckpointError if zipped else CheckpointError, match=r'epoch_2\.pth'):
        load_checkpoint(path)


def test_a_length_beyond_the_file_is_damage(tmp_path: Path) -> None:
    """Not a lack of memory."""
    path = tmp_path / 'last.pth'
    path.write_bytes(b'\x80\x04\x8e' + (1 << 60).to_bytes(8, 'little') + b'.')
    with pytest.raises(DamagedCheckpointError, match=r'checkpoint .*last\.pth cannot be read'):
        load_checkpoint(path)


def test_other_contents_are_named(tmp_path: Path) -> None:
    (tmp_path / 'notes.pth').write_text('not weights')
    with pytest.raises(DamagedCheckpointError, match=r'notes\.pth cannot be read'):
        load_checkpoint(tmp_path / 'notes.pth')
    torch.save(torch.zeros(2), tmp_path / 'tensor.pth')
    with pytest.raises(CheckpointError, match='holds a Tensor, not a dict'):
        load_checkpoint(tmp_path / 'tensor.pth')


def test_missing_file_lists_neighbours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'has no \*\.pth file; tools/train\.py writes them'):
        load_checkpoint(tmp_path / 'a/b/epoch_1.pth')
    (tmp_path / 'run').mkdir()
    torch.save({}, tmp_path / 'run/best_mAP_epoch_3.pth')
    with pytest.raises(FileNotFoundError, match=r'run/best_mAP_epoch_3\.pth'):
        load_checkpoint(tmp_path / 'best.pth')


def test_most_iterations_win_whatever_the_name_or_date(tmp_path: Path) -> None:
    assert find_resumable(tmp_path) == (None, [])
    for name, iteration in {'epoch_9.pth': 90, 'epoch_10.pth': 100, 'iter_95.pth': 95}.items():
        torch.save(checkpoint(iteration), tmp_path / name)
    torch.save({'state_dict': {}, 'meta': {'iter': 120}}, tmp_path / 'epoch_12.pth')  # published: no optimiser
    shutil.copy(tmp_path / 'epoch_10.pth', tmp_path / 'best_mAP_epoch_11.pth')
    os.utime(tmp_path / 'epoch_10.pth', (0, 0))
    assert find_resumable(tmp_path) == (tmp_path / 'epoch_10.pth', [])

    (tmp_path / 'epoch_10.pth').write_bytes(b'')
    found, damage = find_resumable(tmp_path)
    assert found == tmp_path / 'iter_95.pth'
    assert len(damage) == 1
    assert 'epoch_10.pth is cut short at 0 bytes' in damage[0]


def test_where_nothing_is_whole_there_is_nothing_to_resume(tmp_path: Path) -> None:
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    found, (damage,) = find_resumable(tmp_path)
    assert found is None
    assert 'epoch_1.pth is cut short at 2 bytes' in damage


class Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)
        self.layer = torch.nn.Linear(3, 2)


def weights(**change: object) -> dict:
    return {'state_dict': {**Tiny().state_dict(), **change}}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'layer.weight': torch.zeros(2, 4)}, r'layer\.weight of shape \(2, 4\), the model of the config has \(2, 3\)'),
        ({'layer.weight': torch.zeros(2, 3).to_sparse()}, r'layer\.weight as torch\.sparse_coo: save .* dense'),
        ({'layer.weight': torch.zeros(2, 3, device='meta')}, r'layer\.weight as no numbers'),
        (
            {'layer.weight': torch.zeros(2, 3, dtype=torch.int8)},
            r'layer\.weight as torch\.int8, the model as torch\.float32',
        ),
        ({'layer.weight': torch.zeros(2, 3, dtype=torch.cfloat)}, r'layer\.weight as torch\.complex64'),
        ({'layer.weight': 3}, r'lacks 1 of the 7 tensors of the model, the first is layer\.weight'),
    ],
)
def test_weights_that_would_not_be_copied(change: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        StoredWeights.of(weights(**change), 'checkpoint c.pth').check_fit(Tiny())


def test_weights_that_fit() -> None:
    half = {key: value.half() for key, value in Tiny().state_dict().items() if value.is_floating_point()}
    old = weights(**half)
    del old['state_dict']['norm.num_batches_tracked']  # as before PyTorch 0.4.1
    old['state_dict'][7] = torch.zeros(1)
    StoredWeights.of(old, 'checkpoint c.pth').check_fit(Tiny())
    wrapped = {'state_dict': {f'module.{key}': value for key, value in weights()['state_dict'].items()}}
    assert StoredWeights.of(wrapped, 'checkpoint c.pth').load_into(Tiny()) == []


def test_weights_of_some_parts() -> None:
    """As of a detector whose proposals alone are wanted; the other parts stay as they are."""
    tiny = Tiny()
    before = tiny.norm.weight.clone()
    stored = StoredWeights.of({'state_dict': {'layer.weight': torch.ones(2, 3), 'layer.bias': torch.ones(2)}}, 'c.pth')
    stored.load_into(tiny, ['layer'])
    assert torch.equal(tiny.layer.weight, torch.ones(2, 3))
    assert torch.equal(tiny.norm.weight, before)
    with pytest.raises(CheckpointError, match=r'c\.pth lacks 4 of the 5 tensors of the model, the first is norm'):
        stored.check_fit(tiny, ['norm'])


def test_no_weights() -> None:
    with pytest.raises(CheckpointError, match=r'c\.pth holds no weights, but meta, optimizer'):
        StoredWeights.of({'meta': {}, 'optimizer': {}}, 'c.pth')


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    """torch itself does not look at the sums that it writes."""
    for number in (1, 2):
        whole = {'state_dict': {'a': torch.zeros(1000)}, 'optimizer': {}, 'meta': {'iter': number}}
        torch.save(whole, tmp_path / f'epoch_{number}.pth')
    data = bytearray((tmp_path / 'epoch_2.pth').read_bytes())
    data[data.index(bytes(2000)) + 1000] ^= 1
    (tmp_path / 'epoch_2.pth').write_bytes(data)
    assert torch.load(tmp_path / 'epoch_2.pth')['state_dict']['a'].abs().sum() > 0
    with pytest.raises(DamagedCheckpointError, match=r'epoch_2\.pth does not have the checksum that it was saved with'):
        load_checkpoint(tmp_path / 'epoch_2.pth')
    found, (damage,) = find_resumable(tmp_path)
    assert found == tmp_path / 'epoch_1.pth'
    assert 'epoch_2.pth does not have the checksum' in damage


@pytest.mark.parametrize('meta', [None, 5, {}, {'dataset_meta': 5}, {'dataset_meta': {'classes': None}}])
def test_label_names_that_are_not_stated(meta: Any) -> None:
    assert StoredWeights.of(weights() | dict(meta=meta), 'c.pth').classes is None


def test_label_names() -> None:
    for meta in (dict(dataset_meta=dict(classes=['a', 'b'])), dict(CLASSES=('a', 'b'))):
        assert StoredWeights.of(weights() | dict(meta=meta), 'c.pth').classes == ('a', 'b')
    for wrong in (5, 'ab', [1, 2]):
        with pytest.raises(
            CheckpointError, match=r'c\.pth: meta\.dataset_meta\.classes is .*, not a list of label names'
        ):
            StoredWeights.of(weights() | dict(meta=dict(dataset_meta=dict(classes=wrong))), 'c.pth')


def test_what_is_no_checkpoint_is_passed_over(tmp_path: Path) -> None:
    torch.save([1], tmp_path / 'epoch_3.pth')
    torch.save({'optimizer': {}, 'meta': 5}, tmp_path / 'epoch_4.pth')
    (tmp_path / 'epoch_5.pth').mkdir()
    found, damage = find_resumable(tmp_path)
    assert found is None
    assert len(damage) == 2


def test_a_job_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    """What a user loads after a job from Python is the user's business."""
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    file = tmp_path / 'own.pth'
    torch.save({'path': Path('x')}, file)

    @plain_data_only()
    def job():
        with pytest.raises(pickle.UnpicklingError):
            torch.load(file, weights_only=False)
        raise KeyError

    loaders = dict(CheckpointLoader._schemes)
    with pytest.raises(KeyError):
        job()
    assert torch.load(file, weights_only=False) == {'path': Path('x')}
    assert CheckpointLoader._schemes == loaders
