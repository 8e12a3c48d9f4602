"""Sharpness and turning with known answers."""

import dataclasses

import cv2
import numpy as np
import pytest

from apgan_jax.face import quality
from support.faces import portrait, turned


@pytest.mark.parametrize('degrees', [0, 30, 60])
def test_the_angle_to_the_camera(degrees):
    assert quality.turn_degrees(3.0 * turned(degrees)) == pytest.approx(degrees, abs=1e-3)


def test_a_portrait_looks_at_the_camera_and_is_sharp(portrait_face):
    assert quality.turn_degrees(portrait_face.pose_matrix) < 25
    sharp = quality.sharpness(portrait(), portrait_face.landmarks)
    blurred = cv2.GaussianBlur(portrait(), (0, 0), 3)
    assert quality.sharpness(blurred, portrait_face.landmarks) < 0.005 < sharp


def test_a_good_source_has_no_fault_and_a_bad_one_says_why(portrait_face):
    assert quality.fault_of(portrait(), portrait_face) is None
    blurred = cv2.GaussianBlur(portrait(), (0, 0), 3)
    assert quality.fault_of(blurred, portrait_face) == 'blurred'
    away = dataclasses.replace(portrait_face, pose_matrix=turned(60))
    assert quality.fault_of(portrait(), away) == 'turned away by 60 degrees, more than 50'


def test_sharpness_does_not_depend_on_light_or_contrast(portrait_face):
    darker = (0.5 * portrait().astype(float) + 20).round().astype('uint8')
    sharp = quality.sharpness(portrait(), portrait_face.landmarks)
    assert quality.sharpness(darker, portrait_face.landmarks) == pytest.approx(sharp, rel=0.1)


def test_a_head_is_turned_where_its_nose_lies_beside_the_eyes_middle():
    def looks(beside, roll=0.0):
        points = np.array([[-0.5, 0], [0.5, 0], [beside, 0.6], [-0.4, 1], [0.4, 1]]) * 40
        turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        return quality.looks_turned(points @ turn.T + 100)

    assert not looks(0.0) and not looks(0.25) and not looks(-0.25, roll=0.7)
    assert looks(0.4) and looks(-0.4) and looks(0.4, roll=0.7)
