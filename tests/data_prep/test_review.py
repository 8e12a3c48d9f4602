"""What is drawn to be looked at, and the two pictures of it."""

import pytest

from apgan_jax.errors import UserError
from data_prep import review


def test_every_reason_has_its_share_among_what_is_looked_at(tmp_path):
    report = tmp_path / 'rejected.tsv'
    rows = [*(f'{number}.png\tblurred: 0.001 < 0.012' for number in range(50))]
    rows += ['x.png\tlooks young: 9.0 < 22 years', 'y.png\tno face', 'z.png\ttiny face: 3 < 32 px']
    report.write_text('\n'.join(['file\treason', *rows]) + '\n')
    drawn = review.sample_rejects(report, 6, seed=0)
    reasons = [reason.split(':')[0] for _, reason in drawn]
    assert reasons == ['blurred'] * 4 + ['looks young', 'tiny face']
    assert drawn == review.sample_rejects(report, 6, seed=0)


def test_a_report_without_a_face_is_refused(tmp_path):
    (tmp_path / 'rejected.tsv').write_text('file\treason\nblank.png\tno face\n')
    with pytest.raises(UserError, match='lists no face'):
        review.sample_rejects(tmp_path / 'rejected.tsv', 10, seed=0)
    with pytest.raises(UserError, match='no such file'):
        review.sample_rejects(tmp_path / 'none.tsv', 10, seed=0)
