"""Jobs: who becomes whom is settled, or refused, before the first frame, and can be told apart."""

import dataclasses
import json

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.identity_file import SHIPPED_IDENTITY, bank_files, load_identity
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.jobs import anonymise_job, map_job, swap_job
from apgan_jax.inference.swapper import Swapper
from support.faces import brighter, head, portrait, write_photos

ANOTHER = bank_files()[0]


@dataclasses.dataclass(frozen=True)
class Photo:
    rgb: np.ndarray


@pytest.fixture(scope='module')
def swapper(tiny_bundle):
    return Swapper(tiny_bundle)


def counts(job, faces):
    (done,) = job.begin().run([(Photo(portrait()), faces)])
    return done.counts


def test_the_same_choice_is_the_same_job_and_another_one_is_not(swapper):
    def fingerprint(source=SHIPPED_IDENTITY, **choice):
        return swap_job(swapper, [source], **choice)[0].fingerprint

    same = fingerprint()
    assert fingerprint(face='largest', blend=Blend()) == same
    assert json.loads(json.dumps(same)) == same
    changes = [{'source': ANOTHER}, {'face': 'all'}]
    changes += [
        {'blend': Blend(**{name: 1.0 if name == 'strength' else not value})}
        for name, value in vars(Blend()).items()
    ]
    for change in changes:
        assert fingerprint(**change) != same, change


def test_another_photo_under_the_same_name_is_another_job(swapper, tmp_path):
    def fingerprint(photo):
        write_photos(tmp_path, {'who.png': photo})
        return swap_job(swapper, [SHIPPED_IDENTITY], face=f'like:{tmp_path}/who.png')[0].fingerprint

    before = fingerprint(head())
    assert fingerprint(head()) == before
    assert fingerprint(brighter(head(), 0.7)) != before


def test_a_wrong_word_is_found_before_the_sources_are_read(swapper, tmp_path):
    with pytest.raises(UserError, match='--face nose: must be one of'):
        swap_job(swapper, [tmp_path / 'none.png'], face='nose')
    with pytest.raises(UserError, match=r'like\.png: no such file; give a photo of the person'):
        swap_job(swapper, [tmp_path / 'none.png'], face=f'like:{tmp_path}/like.png')
    with pytest.raises(UserError, match=r'none\.png: no such file'):
        swap_job(swapper, [tmp_path / 'none.png'])


def test_each_target_is_begun_anew(swapper, portrait_face):
    """Nobody of a run before is known in the next one."""
    job, source = swap_job(swapper, [SHIPPED_IDENTITY], face='largest')
    assert (source.used, job.kind) == (0, 'swapped')
    nobody = json.dumps(job.begin().state())
    for person in (3, 8):
        face = TrackedFace(person, portrait_face.landmarks)
        assert counts(job, [face]).swapped == 1
        assert json.dumps(job.begin().state()) == nobody


def test_a_map_knows_its_people_by_their_photos(swapper, tmp_path, portrait_face):
    write_photos(tmp_path, {'ann.png': head(), 'dark.png': brighter(portrait(), 0.8)})
    encoder = swapper.bundle.identity_encoder
    shipped, another = (load_identity(path, encoder) for path in (SHIPPED_IDENTITY, ANOTHER))
    job = map_job(swapper, {tmp_path / 'ann.png': shipped})
    assert map_job(swapper, {tmp_path / 'ann.png': shipped}).fingerprint == job.fingerprint
    for people in ({tmp_path / 'ann.png': another}, {tmp_path / 'dark.png': shipped}):
        assert map_job(swapper, people).fingerprint != job.fingerprint
    assert counts(job, [TrackedFace(0, portrait_face.landmarks)]).swapped == 1
    # A part of the background is nobody of the map.
    elsewhere = TrackedFace(0, portrait_face.landmarks + np.float32([150, 250]))
    assert counts(job, [elsewhere]).left == 1


def test_a_photo_that_a_map_lacks_is_named(swapper, tmp_path):
    identity = load_identity(SHIPPED_IDENTITY, swapper.bundle.identity_encoder)
    with pytest.raises(UserError, match=r'nobody\.png: no such file; give a photo of the person'):
        map_job(swapper, {tmp_path / 'nobody.png': identity})


def test_nobody_is_left_as_they_are_when_anonymising(swapper, portrait_face):
    job = anonymise_job(swapper)
    assert job.kind == 'anonymised'
    assert len(set(job.fingerprint['bank'])) == len(bank_files())
    found = counts(job, [TrackedFace(0, portrait_face.landmarks)])
    assert found.swapped + found.blurred == 1


def test_a_bank_of_another_encoder_is_refused(tiny_bundle):
    encoder = dataclasses.replace(tiny_bundle.identity_encoder, sha256='ab' * 32)
    other = Swapper(dataclasses.replace(tiny_bundle, identity_encoder=encoder))
    with pytest.raises(UserError, match=r'identities/.*was made with .*abababababab'):
        anonymise_job(other)
