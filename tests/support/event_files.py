"""TensorBoard files with known contents."""

from tensorboardX import SummaryWriter


def write_session(workdir, first_step, values, *, name='', texts=()):
    """Writes one event file: scalars {(tag, step): value}, texts of (tag, step, text)."""
    writer = SummaryWriter(
        str(workdir / 'tensorboard'), purge_step=first_step, filename_suffix=name
    )
    for (tag, step), value in values.items():
        writer.add_scalar(tag, value, step)
    for tag, step, text in texts:
        writer.add_text(tag, text, step)
    writer.close()
