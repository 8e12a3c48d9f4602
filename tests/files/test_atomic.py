import pytest

from apgan_jax.files.atomic import whole_file


def test_the_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with whole_file(path) as part:
        part.write_text('new')
        assert part.parent == tmp_path
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text('half')
        raise RuntimeError
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / 'file.txt'
    with whole_file(path) as one, whole_file(path) as other:
        assert one != other
        one.write_text('one')
        other.write_text('other')
    assert path.read_text() == 'one'
