"""Event files with known contents, read back."""

from apgan_jax.training.report import render_report
from apgan_jax.training.run_log import read_run
from support.event_files import write_session


def test_the_later_session_holds_and_drops_what_is_after_its_start(tmp_path):
    write_session(tmp_path, 1, {('train/style', step): 1.0 for step in (10, 20, 30, 40)}, name='.1')
    write_session(tmp_path, 21, {('train/style', step): 2.0 for step in (30,)}, name='.2')
    log = read_run(tmp_path)
    assert log.scalars['train/style'] == {10: 1.0, 20: 1.0, 30: 2.0}
    assert (log.sessions, log.last_step) == (2, 30)


def test_a_record_that_is_being_written_ends_the_file(tmp_path):
    write_session(tmp_path, 1, {('train/style', step): float(step) for step in (1, 2, 3)})
    (path,) = (tmp_path / 'tensorboard').iterdir()
    data = path.read_bytes()
    for cut in (1, 20, 30):
        path.write_bytes(data[:-cut])
        assert read_run(tmp_path).scalars['train/style'] == {1: 1.0, 2: 2.0}
    path.write_bytes(data[:5])
    render_report(read_run(tmp_path), title='nothing yet')
