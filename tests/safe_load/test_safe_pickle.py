import contextlib
import os
import pickle
import struct
import time
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlic_mm.safe_load.safe_pickle import load_pickle

# What Python 2.7 with numpy 1.16 writes for {'nums': array([1., -2.])} in protocol 2: byte strings, no bytes type.
PYTHON2 = (
    b'\x80\x02}q\x01U\x04numsq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05'
    b'(K\x01K\x02\x85cnumpy\ndtype\nq\x06U\x02f8K\x00K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00'
    b'tb\x89U\x10' + struct.pack('<2d', 1.0, -2.0) + b'tbs.'
)


def write(path: Path, data: object, protocol: int = 4) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data, protocol=protocol))
    return path


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_data_of_every_protocol(tmp_path, protocol):
    shared = np.arange(6, dtype='>i4').reshape(2, 3)
    data = {
        'adj': np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        'shared': [shared, shared],
        'names': ['cell phone', 'Ä', ''],
        'array of names': np.array(['cat', 'dog']),
        'mixed': (None, True, False, -(10**20), 2.5, 1 + 2j, b'', b'\x00\xff', (), [], {}),
        'scalars': [np.float32(0.5), np.int64(-3), np.bool_(True)],
        'empty': np.zeros((0, 4), dtype=np.uint8),
        7: {(1, 'a'): 'tuple key'},
    }
    read = load_pickle(write(tmp_path / 'a.pkl', data, protocol))
    assert read.keys() == data.keys()
    np.testing.assert_array_equal(read['adj'], data['adj'])
    np.testing.assert_array_equal(read['shared'][0], shared)
    assert read['shared'][0] is read['shared'][1]
    assert read['shared'][0].dtype == np.int32
    np.testing.assert_array_equal(read['array of names'], ['cat', 'dog'])
    for key in ('names', 'mixed', 7):
        assert read[key] == data[key]
    assert read['scalars'] == [0.5, -3, True]
    assert [type(value) for value in read['scalars']] == [float, int, bool]
    assert read['empty'].shape == (0, 4)
    read['adj'][0, 0] = 5  # not a read-only view of the file


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=hnp.arrays(
        st.one_of(hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes()), hnp.array_shapes(min_side=0)
    ),
    protocol=st.integers(0, 5),
)
def test_any_numeric_array_round_trips(tmp_path, array, protocol):
    read = load_pickle(write(tmp_path / 'a.pkl', array, protocol))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype.newbyteorder('=')


def test_reads_python_2(tmp_path):
    read = load_pickle(write(tmp_path / 'old.pkl', PYTHON2))
    np.testing.assert_array_equal(read['nums'], [1.0, -2.0])


TENSORS = [
    torch.randn(3, 4),
    torch.randn(3, 4).t(),
    torch.randn(6, 5)[2:, ::2],
    torch.tensor(3.0),
    torch.zeros(0, 4),
    torch.tensor([True, False]),
    torch.arange(300, dtype=torch.int16),
    torch.arange(9),
    torch.randn(4).bfloat16(),
    torch.randn(70_000).half(),
    torch.randn(2, dtype=torch.float64, requires_grad=True),
]


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_tensors(tmp_path, protocol):
    """What mmengine's DumpResults writes: tensors on the CPU within an ordinary pickle."""
    read = load_pickle(write(tmp_path / 'a.pkl', TENSORS, protocol))
    for tensor, array in zip(TENSORS, read, strict=True):
        expected = tensor.detach()
        expected = expected.float() if expected.dtype == torch.bfloat16 else expected
        np.testing.assert_array_equal(array, expected.numpy())
        assert array.dtype == expected.numpy().dtype
    read[0][0, 0] = 5  # not a read-only view of the file


@pytest.mark.parametrize(
    ('old', 'new', 'reason'),
    [
        (b'FloatStorage', b'QuintStorage', 'unknown way'),
        (b'q\x01X', b'q\x02X', 'unknown way'),
        (b'K\x06Ntq\x04Q.', b'K\x06Ntq\x04R.', 'unknown way'),
        (b'Q.\x80\x02]q\x00', b'Q.\x80\x02}q\x00', 'unknown way'),
        (b'\x06\x00\x00\x00\x00\x00\x00\x00', b'\x00\x00\x00\x00\x00\x00\x00\x7f', 'numbers comes with 24 bytes'),
        (b'K\x00K\x02K\x03', b'K\x01K\x02K\x03', 'reaches beyond the 6 numbers'),
        (b'K\x00K\x02K\x03', b'K\x00K\xffK\xff', 'reaches beyond the 6 numbers'),
        (b'K\x03K\x01\x86', b'K\xffK\xff\x86', 'reaches beyond the 6 numbers'),
        (b'K\x03K\x01\x86', b')K\x03\x850', r'strides \(\) is not allowed'),
        (b'K\x00K\x02K\x03', b'N\x86K\x02K\x03', 'refused'),
    ],
)
def test_tampered_tensors_are_refused(tmp_path, old, new, reason):
    whole = pickle.dumps(torch.arange(6.0).reshape(2, 3), protocol=3)  # 4 and 5 hide the parts in frames
    assert old in whole
    whole = whole.replace(old, new, 1)
    with pytest.raises(ValueError, match=reason):
        load_pickle(write(tmp_path / 'bad.pkl', whole))


def test_bytes_of_a_tensor_are_never_unpickled(tmp_path):
    """torch.load would run what the inner bytes say."""
    target = tmp_path / 'written'
    evil = pickle.dumps(open_for_writing(target), protocol=2)
    storage = Call(torch.storage._load_from_bytes, evil)
    for value in (storage, Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, OrderedDict())):
        with pytest.raises(ValueError, match='a tensor is written in an unknown way'):
            load_pickle(write(tmp_path / 'bad.pkl', value))
    assert not target.exists()


class Call:
    """Pickles as the call of ``function``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def open_for_writing(path):
    return Call(open, str(path), 'w')


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
@pytest.mark.parametrize('wrap', [lambda bad: bad, lambda bad: {'adj': [np.eye(2), bad]}, lambda bad: {bad.call: 1}])
def test_code_is_refused_and_not_executed(tmp_path, protocol, wrap):
    target = tmp_path / 'written'
    for bad in (
        open_for_writing(target),
        Call(os.system, f'touch {target}'),
        Call(eval, f'open({str(target)!r}, "w")'),
        Call(exec, f'open({str(target)!r}, "w")'),
        Call(getattr, os, 'system'),
        Call(np.fromfile, str(tmp_path / 'a.pkl')),
        Call(np.load, str(target)),
    ):
        try:
            path = write(tmp_path / 'bad.pkl', wrap(bad), protocol)
        except (TypeError, pickle.PicklingError):  # a module cannot be pickled at all
            continue
        with pytest.raises(ValueError, match=r'bad\.pkl was refused: (it asks for|opcode).*nothing in it was executed'):
            load_pickle(path)
        assert not target.exists()


def test_hostile_file_is_hostile(tmp_path):
    """The files of the test above do write when Python's own reader opens them."""
    pickle.loads(pickle.dumps(open_for_writing(tmp_path / 'written'))).close()
    assert (tmp_path / 'written').exists()


@pytest.mark.parametrize(
    'value',
    [
        np.array([{'a': 1}], dtype=object),
        np.array([1, 'a', None], dtype=object),
        np.zeros(2, dtype=[('x', 'f4')]),
        np.array(['2020-01-01'], dtype='datetime64[D]'),
        np.zeros(2, dtype=np.longdouble),
        torch.nn.Parameter(torch.zeros(3)),
        torch.zeros(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
        torch.device('cpu'),
        {1, 2},
        frozenset([1]),
        OrderedDict(a=1),
        Path('x'),
        np.ndarray,
        np.dtype('f4'),
        len,
        Call(pickle.loads, b'N.'),
    ],
    ids=lambda value: 'a call' if isinstance(value, Call) else repr(value),
)
@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_everything_but_data_is_refused(tmp_path, value, protocol):
    with pytest.raises(ValueError, match=r'bad\.pkl was refused'):
        load_pickle(write(tmp_path / 'bad.pkl', {'adj': value}, protocol))


NDARRAY, DTYPE, REBUILD = b'cnumpy\nndarray\n', b'cnumpy\ndtype\n', b'cnumpy.core.multiarray\n_reconstruct\n'
F8 = DTYPE + b"(S'f8'\nI00\nI01\ntR"
SELF = b'(lp0\ng0\na.'


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (REBUILD + b'(' + NDARRAY + b"(I1000000000000\ntS'b'\ntR.", 'Array that is not data'),
        (REBUILD + b'(' + DTYPE + b"(I0\ntS'b'\ntR.", 'only plain numpy arrays'),
        (NDARRAY + b'(I9\ntR.', 'creates an array in an unknown way'),
        (NDARRAY + b"(dS'_make'\nNsb.", 'sets the state of a function'),
        (b'c_codecs\nencode\n' + b"(dS'x'\nI1\nsb.", 'sets the state of a function'),
        (b'c_codecs\nencode\n' + b"(Vabc\nS'rot13'\ntR.", 'unknown way'),
        (DTYPE + b"(S'O'\nI00\nI01\ntR.", "dtype 'O'"),
        (DTYPE + b"(S'V8'\nI00\nI01\ntR.", "dtype 'V8'"),
        (DTYPE + b"(S'f8'\nI00\nI01\ntR.", 'DType that is not data'),
        (F8 + b"(I3\nS'!'\nNNNI-1\nI-1\nI0\ntb.", 'unknown way'),
        (REBUILD + b'(' + NDARRAY + b"(I0\ntS'b'\ntR(I1\n(I9\nt" + F8 + b"I00\nS'short'\ntb.", 'comes with 5 bytes'),
        (REBUILD + b'(' + NDARRAY + b"(I0\ntS'b'\ntR(I1\n(I-1\nI-1\nt" + F8 + b"I00\nS'12345678'\ntb.", 'shape'),
        (REBUILD + b'(' + NDARRAY + b"(I0\ntS'b'\ntR(I1\n(I1\nt" + F8 + b'I00\n(lI1\natb.', 'object arrays'),
        (b'cnumpy.core.multiarray\nscalar\n(' + DTYPE + b"(S'O'\nI00\nI01\ntRS'x'\ntR.", "dtype 'O'"),
        (SELF, 'holds itself'),
        (b'(S"a"\nios\nsystem\n.', 'opcode INST'),
        (b"S'a'\nQ.", 'opcode BINPERSID'),
        (b'\x80\x02\x82\x01.', 'opcode EXT1'),
        (b'\x80\x04cnumpy\nndarray\n)\x81.', 'opcode NEWOBJ'),
        (b'cbuiltins\nbytes\n(I1000000000000\ntR.', 'positional argument'),
        (b'N.N.', '2 bytes follow its end'),
        (b'Nr\xff\xff\xff\x7f.', 'memo index'),
        (b'Np99999999999\n.', 'memo index'),
        (b'', 'was refused'),
        (b'.', 'was refused'),
        (b'hello, I am text', 'was refused'),
    ],
)
def test_handmade_abuse(tmp_path, data, reason):
    with pytest.raises(ValueError, match=reason):
        load_pickle(write(tmp_path / 'bad.pkl', data))


@pytest.mark.parametrize('op', [b'\x8d', b'\x8e', b'\x96', b'T', b'B', b'X', b'\x8b'])
def test_lengths_beyond_the_file_allocate_nothing(tmp_path, op):
    size = struct.pack('<q', 1 << 40) if op in b'\x8d\x8e\x96' else struct.pack('<i', (1 << 31) - 1)
    path = write(tmp_path / 'bomb.pkl', b'\x80\x05' + op + size + b'abc.')
    tracemalloc.start()
    with pytest.raises(ValueError, match='bomb'):
        load_pickle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_copying_one_buffer_many_times_is_refused(tmp_path):
    """1 MB in the file, named a hundred times, would be 100 MB of arrays."""
    raw = b'\x00' * 1_000_000
    one = b"cnumpy.core.numeric\n_frombuffer\n(h\x01cnumpy\ndtype\n(S'b1'\nI00\nI01\ntRI1000000\n\x85S'C'\ntRa"
    data = b'\x80\x04B' + struct.pack('<i', len(raw)) + raw + b'q\x010]' + one * 100 + b'.'
    with pytest.raises(ValueError, match='more memory than the file has bytes'):
        load_pickle(write(tmp_path / 'bomb.pkl', data))


P61 = 2**61 - 1
MANY, NESTED, SHARED, KEY = (
    'too many keys are tuples, floats or large numbers',
    'nested more than 100 deep',
    'uses its parts again and again',
    'a key or a name has more than 100 parts',
)
DOUBLED = b'2\x86'  # (x, x) of the x on top
REMEMBERED = b'q\x01h\x01h\x01\x86'  # the same by the memo
# Lists that are empty where they are put in place, and filled afterwards from the outside in.
LATER = b''.join(b']q%c0' % k for k in range(60)) + b''.join(b'h%c(h%ch%ce0' % (k, k + 1, k + 1) for k in range(59))
BOMBS = [
    (b'}K\x01' + DOUBLED * 60 + b'K\x01s.', KEY),  # a hash of 2**60 steps
    (b'}(K\x01' + DOUBLED * 60 + b'K\x01u.', KEY),
    (b'(K\x01' + DOUBLED * 60 + b'K\x01d.', KEY),
    (b'}K\x01' + REMEMBERED * 60 + b'K\x01s.', KEY),
    (b'})' + b'\x85' * 1_000_000 + b'K\x01s.', NESTED),  # a hash that the machine's stack is too small for
    (b'}(' + b''.join(b'J%s\x85N' % struct.pack('<i', k) for k in range(12_000)) + b'u.', 'too many keys'),
    # Keys of one hash, among which each new one is looked for.
    (
        b'}('
        + b''.join(b'\x8a\x0a%sN' % (k * P61).to_bytes(10, 'little', signed=True) for k in range(1, 60_000))
        + b'u.',
        MANY,
    ),
    (b'}(' + b''.join(b'G%sN' % struct.pack('>d', k * 2.0**61) for k in range(1, 60_000)) + b'u.', MANY),
    (b'}(' + b''.join(b'(%sG%stN' % (b'K\x01' * 90, struct.pack('>d', k)) for k in range(300)) + b'u.', MANY),
    (b'cnumpy\ndtype\nK\x01' + DOUBLED * 22 + b'\x85R.', 'more arguments than'),  # a message of gigabytes
    (b'cnumpy\ndtype\nK\x01' + DOUBLED * 8 + b'\x85R.', r'dtype \(\(\(\.\.\.\), \(\.\.\.\)\), .* are not allowed'),
    (b'K\x01' + DOUBLED * 60 + b'.', SHARED),
    (LATER + b'h\x00.', SHARED),
    (b']' * 100_000 + b'a' * 99_999 + b'.', NESTED),
    (b')' + b'\x85' * 300 + b'.', NESTED),
    (b'\x8b' + struct.pack('<i', 5000) + b'\x7f' * 5000 + b'.', 'a number has more than 8192 bits'),
]


@pytest.mark.parametrize(('data', 'reason'), BOMBS)
def test_bombs_are_refused_at_once(tmp_path, data, reason):
    """Files of a few bytes that would take for ever, or all memory, to hash, print or compare."""
    path = write(tmp_path / 'bomb.pkl', b'\x80\x04' + data)
    start = time.process_time()
    with pytest.raises(ValueError, match=reason) as caught:
        load_pickle(path)
    assert time.process_time() - start < 5
    assert len(str(caught.value)) < 700


def test_sharing_as_in_honest_files_is_read(tmp_path):
    """A thousand results that name the same hundred labels."""
    classes = [f'label {i}' for i in range(100)]
    value = [dict(img_id=i, classes=classes, size=(3, 4)) for i in range(1000)]
    assert load_pickle(write(tmp_path / 'a.pkl', value)) == value


@pytest.mark.parametrize('key', [1j, ((1,),), np.float32(1)], ids=repr)
def test_other_keys_than_numbers_and_text_are_refused(tmp_path, key):
    with contextlib.suppress(ValueError):
        assert load_pickle(write(tmp_path / 'a.pkl', {key: 1})) == {1.0: 1}  # NumPy's numbers become Python's


def test_long_names_are_shortened(tmp_path):
    name = b'X' + struct.pack('<i', 100_000) + b'b' * 100_000
    for data in (b'c' + b'a' * 100_000 + b'\nb\n.', b'\x80\x04\x8c\x01a' + name + b'\x93.'):
        with pytest.raises(ValueError, match='asks for') as caught:
            load_pickle(write(tmp_path / 'a.pkl', data))
        assert len(str(caught.value)) < 700


def test_storages_are_counted_too(tmp_path):
    """Half-precision storages are widened: a hundred of one blob would be 400 times its bytes."""
    raw = torch.zeros(100_000, dtype=torch.bfloat16)
    storage = torch.storage.TypedStorage(wrap_storage=raw.untyped_storage(), dtype=raw.dtype, _internal=True)
    blob = storage.__reduce__()[1][0]
    call = b'ctorch.storage\n_load_from_bytes\nh\x01\x85Ra'
    data = b'\x80\x03B' + struct.pack('<i', len(blob)) + blob + b'q\x010]' + call * 100 + b'.'
    with pytest.raises(ValueError, match='more memory than the file has bytes'):
        load_pickle(write(tmp_path / 'bomb.pkl', data))
    assert load_pickle(write(tmp_path / 'a.pkl', raw, protocol=2)).nbytes == 400_000


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_every_truncation_is_refused(tmp_path, protocol):
    whole = pickle.dumps({'adj': np.arange(4.0), 'nums': [1, 2]}, protocol=protocol)
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r'cut\.pkl was refused'):
            load_pickle(write(tmp_path / 'cut.pkl', whole[:size]))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_raise_value_error_or_read_as_data(tmp_path, data):
    protocol = data.draw(st.sampled_from([0, 2, 4]))
    whole = bytearray(pickle.dumps({'adj': np.arange(4.0), 'nums': [1, 'b']}, protocol=protocol))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):  # any other exception fails the test
        load_pickle(write(tmp_path / 'a.pkl', bytes(whole)))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pkl'):
        load_pickle(tmp_path / 'no.pkl')
    torch.save({'a': torch.zeros(2)}, tmp_path / 'new.pth')
    with pytest.raises(ValueError, match='zip archive'):
        load_pickle(tmp_path / 'new.pth')
    torch.save({'a': torch.zeros(2)}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match='refused'):
        load_pickle(tmp_path / 'old.pth')
