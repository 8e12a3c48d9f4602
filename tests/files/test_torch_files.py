"""State dicts of PyTorch, read without PyTorch; hostile and damaged files, refused."""

import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.files.torch_files import load_state_dict
from support.arcface_files import torch_archive, torch_pickle, torch_tensor

NUMBERS = np.arange(6, dtype=np.float32)


def write(path, value, storages=None, **options):
    """A file with one tensor `x`, given as opcodes."""
    storages = {'0': NUMBERS.tobytes()} if storages is None else storages
    torch_archive(path, torch_pickle({'x': value}), storages, **options)
    return path


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_tensors_shapes_and_strides(tmp_path):
    state = load_state_dict(write(tmp_path / 'a.pth', torch_tensor('0', (2, 3), 6)))
    np.testing.assert_array_equal(state['x'], [[0, 1, 2], [3, 4, 5]])
    assert state['x'].dtype == np.float32
    transposed = torch_tensor('0', (2, 2), 6, strides=(1, 3), offset=1)
    state = load_state_dict(write(tmp_path / 'b.pth', transposed))
    np.testing.assert_array_equal(state['x'], [[1, 4], [2, 5]])
    state = load_state_dict(write(tmp_path / 'c.pth', torch_tensor('0', (), 6, offset=5)))
    assert state['x'].shape == () and state['x'] == 5


@pytest.mark.parametrize(
    ('kind', 'dtype'),
    [
        ('HalfStorage', np.float16),
        ('BFloat16Storage', ml_dtypes.bfloat16),
        ('DoubleStorage', np.float64),
        ('LongStorage', np.int64),
    ],
)
def test_dtypes(kind, dtype, tmp_path):
    value, data = torch_tensor('0', (6,), 6, kind), NUMBERS.astype(dtype).tobytes()
    array = load_state_dict(write(tmp_path / 'a.pth', value, {'0': data}))['x']
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.astype(np.float32), NUMBERS)


def test_what_pytorch_writes(tmp_path):
    torch = pytest.importorskip('torch')
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    state = load_state_dict(tmp_path / 'a.pth')
    assert list(state) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy())
    torch.save({'x': torch.arange(12.0).reshape(3, 4).T[1:].half()}, tmp_path / 'b.pth')
    x = load_state_dict(tmp_path / 'b.pth')['x']
    np.testing.assert_array_equal(x, np.arange(12).reshape(3, 4).T[1:])


@pytest.mark.parametrize('nested', [False, True])
def test_a_pickle_that_calls_a_function_is_refused_without_the_call(nested, tmp_path):
    victim = tmp_path / 'created'
    call = pickle.dumps(Call(open, str(victim), 'w'), protocol=2)
    # Inside a state dict: without the protocol's header and the stop.
    pickled = torch_pickle({'x': call[2:-1]}) if nested else call
    torch_archive(tmp_path / 'a.pth', pickled, {})
    with pytest.raises(UserError, match=r'wants to call (io|_io|__builtin__|builtins)\.open'):
        load_state_dict(tmp_path / 'a.pth')
    assert not victim.exists()
    # The same bytes do create it in a loader that trusts them.
    pickle.loads(call).close()
    assert victim.exists()


@pytest.mark.parametrize(
    'name', ['os.system', 'builtins.eval', 'torch.load', 'torch.storage._load_from_bytes']
)
def test_any_other_name_is_refused(name, tmp_path):
    module, _, function = name.rpartition('.')
    pickled = b'\x80\x02c' + f'{module}\n{function}\n'.encode() + b'X\x01\x00\x00\x00a\x85R.'
    torch_archive(tmp_path / 'a.pth', pickled, {})
    with pytest.raises(UserError, match=f'wants to call {name}, which no state dict needs'):
        load_state_dict(tmp_path / 'a.pth')


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (torch_tensor('0', (7,), 6), 'storage of 6 numbers'),
        (torch_tensor('0', (6,), 6, offset=1), 'ends behind its storage'),
        (torch_tensor('0', (6,), 6, strides=(9,)), 'ends behind its storage'),
        (torch_tensor('0', (6,), 6, strides=(-1,)), 'strides'),
        (torch_tensor('0', (6,), 7), 'holds 6 numbers, not 7'),
        (torch_tensor('1', (6,), 6), 'data/1'),
        (b'ctorch._utils\n_rebuild_tensor_v2\n)R', 'argument'),
        (b'', 'damaged'),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(value, message, tmp_path):
    with pytest.raises(UserError, match=rf'a\.pth is damaged.*{message}|{message}'):
        load_state_dict(write(tmp_path / 'a.pth', value))


def test_a_compressed_archive_is_refused(tmp_path):
    value = torch_tensor('0', (6,), 6)
    with pytest.raises(UserError, match='compressed'):
        load_state_dict(write(tmp_path / 'a.pth', value, compression=zipfile.ZIP_DEFLATED))


def old_file(path, value, length=6):
    """A file of the format before PyTorch 1.6 with one tensor `x`, given as opcodes."""
    magic, version, machine = 0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}
    pickles = [pickle.dumps(part, protocol=2) for part in (magic, version, machine)]
    pickles += [torch_pickle({'x': value}), pickle.dumps(['0'], protocol=2)]
    path.write_bytes(b''.join(pickles) + length.to_bytes(8, 'little') + NUMBERS.tobytes())
    return path


def test_the_old_format(tmp_path):
    path = old_file(tmp_path / 'a.pth', torch_tensor('0', (2, 2), 6, strides=(1, 3), offset=1))
    np.testing.assert_array_equal(load_state_dict(path)['x'], [[1, 4], [2, 5]])


def test_parameters_of_pytorch_0_1(tmp_path):
    tensor = torch_tensor('0', (6,), 6).replace(b'_rebuild_tensor_v2', b'_rebuild_tensor')
    # Called with the tensor, then given (requires_grad, volatile, hooks).
    parameter = b'ctorch.nn.parameter\nParameter\n' + tensor + b'\x85R\x88\x89N\x87b'
    np.testing.assert_array_equal(
        load_state_dict(old_file(tmp_path / 'a.pth', parameter))['x'], NUMBERS
    )


def test_what_pytorch_writes_in_the_old_format(tmp_path):
    torch = pytest.importorskip('torch')
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    for name, state in (
        ('a.pth', model.state_dict()),
        ('b.pth', model.state_dict(keep_vars=True)),
    ):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=False)
        read = load_state_dict(tmp_path / name)
        assert list(read) == list(state)
        for key, tensor in model.state_dict().items():
            np.testing.assert_array_equal(read[key], tensor.numpy())


@pytest.mark.parametrize(
    ('value', 'length', 'message'),
    [
        (torch_tensor('0', (6,), 7), 7, 'damaged'),
        (torch_tensor('0', (6,), 6), 7, 'holds 7 numbers, not 6'),
        (torch_tensor('0', (7,), 6), 6, 'storage of 6 numbers'),
        (torch_tensor('1', (6,), 6), 6, 'damaged'),
        (b'cos\nsystem\nX\x01\x00\x00\x00a\x85R', 6, r'wants to call os\.system'),
    ],
)
def test_a_damaged_or_hostile_file_of_the_old_format_is_refused(value, length, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_state_dict(old_file(tmp_path / 'a.pth', value, length))


@pytest.mark.parametrize('content', [b'', b'text', pickle.dumps({'x': 1}, protocol=2)])
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match='no zip archive and no older file'):
        load_state_dict(tmp_path / 'a.pth')


def test_a_truncated_file_is_refused(tmp_path):
    path = write(tmp_path / 'a.pth', torch_tensor('0', (6,), 6))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match='damaged'):
        load_state_dict(path)


def test_what_is_no_state_dict_is_refused(tmp_path):
    torch_archive(tmp_path / 'a.pth', pickle.dumps([1, 2], protocol=2), {})
    with pytest.raises(UserError, match=r'holds a list: save model\.state_dict'):
        load_state_dict(tmp_path / 'a.pth')
    torch_archive(tmp_path / 'b.pth', pickle.dumps({'epoch': 3}, protocol=2), {})
    with pytest.raises(UserError, match=r'more than tensors \(epoch\)'):
        load_state_dict(tmp_path / 'b.pth')
    with zipfile.ZipFile(tmp_path / 'c.pth', 'w') as archive:
        archive.writestr('notes.txt', 'nothing')
    with pytest.raises(UserError, match='holds no state dict'):
        load_state_dict(tmp_path / 'c.pth')


def test_an_attribute_that_hides_a_method_does_no_harm(tmp_path):
    hidden = b'ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb.'
    torch_archive(tmp_path / 'a.pth', b'\x80\x02' + hidden, {})
    assert load_state_dict(tmp_path / 'a.pth') == {}
