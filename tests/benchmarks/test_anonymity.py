"""The scenes show faces where they say, and the judge finds people just where they are left."""

import itertools
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import anonymity
from benchmarks.anonymity_judge import Judge
from benchmarks.anonymity_kinds import KINDS
from benchmarks.anonymity_people import RealClip
from benchmarks.anonymity_scenes import (
    Case,
    Portrait,
    Pose,
    Scene,
    Sprite,
    Truth,
    read_pictures,
    texture,
    write_case,
)
from benchmarks.anonymity_stage import Cast, Kind, Stage, load_cast


def disc(name: str = 'disc') -> Portrait:
    """A red 'face' of 60 by 80 pixels on grey."""
    rgb = np.full((160, 160, 3), 100, np.uint8)
    cv2.ellipse(rgb, (80, 70), (30, 40), 0, 0, 360, (255, 0, 0), -1, cv2.LINE_AA)
    return Portrait(name, rgb, (50.0, 30.0, 110.0, 110.0))


def blackboard(*sprites: Sprite, frames: int = 1, size: tuple[int, int] = (240, 320)) -> Scene:
    return Scene([np.zeros((*size, 3), np.uint8)], sprites, frames)


def stage_of(kind: Kind, number: int) -> Stage:
    pictures = [np.full((360, 640, 3), 90, np.uint8)] * 3
    truths = [[Truth('speaker', Pose(320, 180, 90), 120)]]
    return Stage(
        rng=np.random.default_rng(number),
        portraits=(disc(f'person {each}') for each in itertools.count()),
        sharp=iter([disc('sharp')]),
        size=kind.sizes[number % len(kind.sizes)],
        frames=min(kind.frames, 12),
        number=number,
        clip=lambda _, frames: RealClip(disc('speaker'), pictures, truths),
    )


def box_of_red(rgb: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(rgb[..., 0].astype(int) - rgb[..., 1] > 127)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize('width', [24, 60, 100])
@pytest.mark.parametrize(('angle', 'mirrored'), [(0, False), (35, False), (90, True), (180, True)])
def test_a_box_is_where_the_face_was_drawn(width, angle, mirrored):
    pose = Pose(150, 110, width, angle, mirrored)
    scene = blackboard(Sprite(disc(), [pose], whole=True))
    (truth,) = scene.truths(0)
    np.testing.assert_allclose(box_of_red(scene.render(0)), truth.box(), atol=2.5)


def test_a_margin_is_added_at_each_side():
    truth = Truth('disc', Pose(100, 100, 60), 90)
    assert truth.box(1 / 3) == pytest.approx((50, 25, 150, 175))


def test_a_head_comes_without_its_photo_and_a_face_out_of_the_picture_is_none():
    poses = [Pose(150, 110, 60), Pose(-40, 110, 60), None]
    scene = blackboard(Sprite(disc(), poses), frames=3)
    assert [len(scene.truths(frame)) for frame in range(3)] == [1, 0, 0]
    head = scene.render(0)
    assert head[110, 150, 0] == 255
    assert not head[30:60, 70:100].any()


@pytest.mark.parametrize('name', KINDS)
def test_every_kind_has_a_face_in_a_picture_of_its_size(name):
    for number in (0, 1):
        stage = stage_of(KINDS[name], number)
        scene = KINDS[name].build(stage)
        numbers = [frame for frame in range(scene.frames) if scene.truths(frame)]
        assert numbers
        assert scene.render(numbers[0]).shape == (*stage.size, 3)
        people = {truth.person for frame in numbers for truth in scene.truths(frame)}
        assert people <= scene.portraits().keys()


def test_kinds_are_as_hard_as_they_say():
    scenes = {name: kind.build(stage_of(kind, 0)) for name, kind in KINDS.items()}
    assert len(scenes['tiles'].truths(0)) == 16
    assert len(scenes['group_photo'].truths(0)) == 20
    assert min(truth.box()[0] for truth in scenes['border'].truths(0)) < -10
    assert scenes['closeup'].truths(0)[0].pose.width == pytest.approx(0.8 * 360)
    assert {truth.pose.width for truth in scenes['far'].truths(0)} == {24, 36, 60}
    assert sum(bool(scenes['fast'].truths(frame)) for frame in range(12)) in (5, 6)


def test_at_least_sixty_cases_are_built():
    assert 2 * len(KINDS) >= 60


@pytest.mark.parametrize(('frames', 'suffix'), [(1, '.jpg'), (3, '.mp4')])
def test_a_case_is_read_as_it_was_written(tmp_path, frames, suffix):
    poses = [Pose(100 + 20 * frame, 110, 60) for frame in range(frames)]
    case = write_case(blackboard(Sprite(disc(), poses), frames=frames), 'kind', tmp_path / 'case')
    pictures = list(read_pictures(case.path))
    assert case.path.suffix == suffix
    assert len(pictures) == len(case.truths) == frames
    for picture, (truth,) in zip(pictures, case.truths, strict=True):
        np.testing.assert_allclose(box_of_red(picture), truth.box(), atol=3)


def test_recompression_is_no_change_and_a_blur_is_one(tmp_path):
    rng = np.random.default_rng(0)
    scene = Scene([texture(rng, 240, 320)], [Sprite(disc(), [Pose(80, 110, 60)])], 1)
    case = write_case(scene, 'kind', tmp_path / 'case')
    (original,) = read_pictures(case.path)

    def shares(picture: np.ndarray, quality: int) -> tuple[float, float]:
        output = tmp_path / 'output.jpg'
        cv2.imwrite(str(output), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return anonymity.changed_shares(case.truths, [original], list(read_pictures(output)))

    assert shares(original, 80) == (0, 0)
    blurred = original.copy()
    blurred[60:180, 200:280] = cv2.GaussianBlur(original[60:180, 200:280], (0, 0), 12)
    outside, inside = shares(blurred, 95)
    assert outside == pytest.approx(120 * 80 / (240 * 320), rel=0.3)
    assert inside == 0


def result(kind: str, recognised: dict[str, int], **fields) -> anonymity.Result:
    case = Case(kind, Path('case.mp4'), [], {})
    values = {'status': 0, 'written': True, 'seconds': 1.0, 'people': 2} | fields
    return anonymity.Result(case, recognised=recognised, **values)


def test_the_json_line_has_every_field():
    results = [
        result('tiles', {'ann': 3}, outside=0.1, inside=0.3, chance=0.25),
        result('tiles', {}, outside=0.0, inside=0.2, people=0),
        result('far', {}, status=1, written=False),
    ]
    assert json.loads(json.dumps(anonymity.summary(results))) == {
        'cases': 3,
        'recognisable': 1,
        'blurred_share': 0.05,
        'precision_loss': 0.125,
        'false_alarms': 0.25,
        'not_written': 1,
        'unjudged': 1,
        'statuses': {'0': 2, '1': 1},
        'by_kind': {'tiles': [2, 1], 'far': [1, 0]},
    }
    assert (
        results[0]
        .line()
        .endswith('1 of 2 people recognisable, first in frame 3, 10.00 % changed elsewhere')
    )
    assert results[2].line().endswith('nothing written')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--cases=0'], '--cases 0: must be at least 1'),
        (['--kinds=tiles,nothing'], "--kinds 'nothing': must be of insets, "),
        ([], "APGAN_DATA='': must name the folder"),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, arguments, message):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    assert anonymity.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert f'benchmarks.anonymity: {message}' in lines[-1]


@pytest.fixture(scope='module')
def judge() -> Judge:
    pytest.importorskip('dlib')
    return Judge()


@pytest.fixture(scope='module')
def cast(judge) -> Cast:
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA, the folder of photos, is not set')
    return load_cast(judge.finder, 0)


@pytest.mark.parametrize('name', ['far_photo', 'roll_photo', 'closeup_photo'])
def test_the_judge_finds_everybody_who_is_left_and_nobody_who_is_not(judge, cast, name):
    judge.strangers = cast.strangers[:3]
    scene = KINDS[name].build(cast.stage(KINDS[name], name, 0))
    case = Case(name, Path('case.jpg'), [scene.truths(0)], scene.portraits())
    picture = scene.render(0)
    verdict = judge.verdict(case, [picture], [picture])
    assert verdict.recognised == {truth.person: 0 for truth in scene.truths(0)}
    hidden = picture.copy()
    for truth in scene.truths(0):
        left, top, right, bottom = (max(0, round(side)) for side in truth.box())
        hidden[top:bottom, left:right] = 0
    verdict = judge.verdict(case, [picture], [hidden])
    assert (verdict.people, verdict.recognised) == (len(scene.truths(0)), {})
    assert verdict.chance == 0


@pytest.mark.usefixtures('cast')
def test_a_copy_is_no_anonymous_one(monkeypatch, capsys, tmp_path):
    def copy(target: Path, output: Path) -> int:
        shutil.copy(target, output)
        return 3

    monkeypatch.setattr(anonymity, 'anonymise', copy)
    arguments = ['--kinds=blurred_photo,fast', '--cases=1', f'--keep={tmp_path}']
    assert anonymity.main(arguments) == 0
    values = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert values['by_kind'] == {'blurred_photo': [1, 1], 'fast': [1, 1]}
    assert (values['recognisable'], values['statuses']) == (2, {'3': 2})
    assert values['blurred_share'] == values['precision_loss'] == values['unjudged'] == 0
    assert (tmp_path / 'fast_0.mp4').is_file()
