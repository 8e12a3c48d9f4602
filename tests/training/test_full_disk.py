"""What is said when nothing more can be written. tests/training/test_train.py has a whole run."""

import errno

import pytest

from apgan_jax.errors import UserError
from apgan_jax.training.full_disk import EventWriter, full_disk_in_one_line

TENSORSTORE = (
    'OUT_OF_RANGE: Error writing "generator_params/0" in OCDBT database at local file "x/6": '
    "Failed to write 499317 bytes to file 19: No space left on device [os_error_code='28']"
)


@pytest.mark.parametrize(
    'error', [OSError(errno.ENOSPC, 'No space left on device'), ValueError(TENSORSTORE)]
)
@pytest.mark.parametrize(
    'folders, left',
    [(['2', '4', '6.orbax-checkpoint-tmp'], 'the checkpoint of step 4'), ([], 'no checkpoint')],
)
def test_a_full_disk_is_one_line(error, folders, left, tmp_path):
    for name in folders:
        (tmp_path / 'checkpoints' / name).mkdir(parents=True)
    with pytest.raises(UserError) as caught, full_disk_in_one_line(tmp_path):
        raise error
    assert str(caught.value) == (
        f'{tmp_path}: cannot be written (No space left on device); stopped, {left} is whole'
        f'{"" if folders else " yet"}; make room there, and run the same command again to go on'
    )


@pytest.mark.parametrize('error', [OSError(errno.EIO, 'Input/output error'), ValueError('shape')])
def test_other_errors_are_left_alone(error, tmp_path):
    with pytest.raises(type(error)) as caught, full_disk_in_one_line(tmp_path):
        raise error
    assert caught.value is error


def test_what_the_writing_thread_met_reaches_the_caller(tmp_path):
    writer = EventWriter(str(tmp_path))
    writer.require_written()
    writer._guard._file.close()
    with open('/dev/full', 'wb', buffering=0) as full:
        writer._guard._file = full
        # More than tensorboardX's queue of ten holds: nobody takes them where its thread has died.
        for step in range(50):
            writer.add_scalar('x', 1.0, step)
        with pytest.raises(OSError, match='No space left'):
            writer.close()
    with pytest.raises(OSError, match='No space left'):
        writer.require_written()
