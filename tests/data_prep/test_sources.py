"""Where photos come from, who they show, and which of them another build has left out."""

import pytest

from apgan_jax.errors import UserError
from data_prep import sources
from support.faces import blank, write_photos


def test_identities_by_kind_of_source(tmp_path):
    write_photos(tmp_path, {'n01/1.png': blank(), 'n02/00007.jpg': blank()})
    identities = {
        kind: [photo.identity for photo in sources.list_photos([f'{kind}:{tmp_path}'])]
        for kind in sources.IDENTITY_RULES
    }
    assert identities == {
        'folder': ['', ''],
        'ffhq': ['1', '00007'],
        'celeba_hq': ['1', '00007'],
        'vggface2': ['n01', 'n02'],
    }


def test_labels_go_before_the_kinds_rule(tmp_path):
    write_photos(tmp_path, {'n01/1.png': blank(), 'n02/2.png': blank()})
    labels = tmp_path / 'labels.tsv'
    labels.write_text('file\tidentity\nn01/1.png\tann\n')
    photos = sources.list_photos([f'vggface2:{tmp_path}'], labels=labels)
    assert [photo.identity for photo in photos] == ['ann', 'n02']


@pytest.mark.parametrize('written', ['./a/1.png', 'a//1.png', 'a\\1.png', 'b/../a/1.png'])
def test_labels_name_files_however_their_paths_are_written(tmp_path, written):
    write_photos(tmp_path, {'a/1.png': blank(), 'b/2.png': blank()})
    labels = tmp_path / 'labels.tsv'
    labels.write_text(f'file\tidentity\n{written}\tann\nnone.png\tbob\n')
    photos = sources.list_photos([f'folder:{tmp_path}'], labels=labels)
    assert [photo.identity for photo in photos] == ['ann', '']
    line = sources.describe_labels(photos, labels)
    assert '1 of 2 photos have a label, 1 labels name no photo' in line


def test_labels_may_begin_with_a_byte_order_mark(tmp_path):
    labels = tmp_path / 'labels.tsv'
    labels.write_bytes(b'\xef\xbb\xbffile\tidentity\na.png\tann\n')
    assert sources.read_labels(labels) == {'a.png': 'ann'}


def test_a_line_without_a_tab_is_named_whichever_column_is_first(tmp_path):
    labels = tmp_path / 'labels.tsv'
    for header in ('file\tidentity', 'identity\tfile'):
        labels.write_text(f'{header}\na\tb\nc\n')
        with pytest.raises(UserError, match='line 3 has no tab'):
            sources.read_labels(labels)


def test_photos_are_listed_by_name_and_suffix(tmp_path):
    write_photos(tmp_path, {'b.png': blank(), 'a/z.jpg': blank(), 'c.BMP': blank()})
    (tmp_path / 'd.txt').write_text('no photo')
    names = [photo.file_name for photo in sources.list_photos([f'folder:{tmp_path}'])]
    assert names == ['a/z.jpg', 'b.png', 'c.BMP']
    (photo,) = sources.list_photos([f'folder:{tmp_path}'], exclude=['a/*', '*.BMP'])
    assert photo.path == tmp_path / 'b.png'


def test_the_missing_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match='none is no folder'):
        sources.list_photos([f'folder:{tmp_path / "none"}'])


def test_a_report_that_is_none(tmp_path):
    photos = write_photos(tmp_path / 'photos', {'a.png': blank()})
    report = tmp_path / 'rejected.tsv'
    with pytest.raises(UserError, match=r'--rejected .*rejected\.tsv: no such file'):
        sources.list_photos([f'folder:{photos}'], rejected=report)
    report.write_text('file\tidentity\n')
    with pytest.raises(UserError, match='columns file and reason'):
        sources.list_photos([f'folder:{photos}'], rejected=report)


def test_people_half_of_whose_photos_look_young_go_with_all_of_them(tmp_path):
    names = ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png', 'b/3.png', 'c.png', 'd.png']
    write_photos(tmp_path / 'photos', dict.fromkeys(names, blank()))
    labels = tmp_path / 'labels.tsv'
    labels.write_text('file\tidentity\n' + ''.join(f'{n}\t{n[0]}\n' for n in names[:5]))
    report = tmp_path / 'rejected.tsv'
    rows = [
        ('a/1.png', f'{sources.LOOKS_YOUNG}: 15.0 < 22 years'),
        ('b/1.png', f'{sources.LOOKS_YOUNG}: 20 < 22'),
    ]
    rows += [('b/2.png', 'blurred: 0.001'), ('c.png', f'{sources.LOOKS_YOUNG}: 12.0 < 22 years')]
    lines = ''.join(f'{tmp_path / "photos" / name}\t{reason}\n' for name, reason in rows)
    report.write_text('file\treason\n' + lines)
    left = sources.list_photos([f'folder:{tmp_path / "photos"}'], labels=labels, rejected=report)
    # A person's two photos, one of them young; another's three; two without a label.
    assert [photo.file_name for photo in left] == ['b/3.png', 'd.png']
