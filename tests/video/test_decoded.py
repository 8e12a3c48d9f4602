"""How stored frames are shown, whatever the libraries say of it."""

import av
import numpy as np
import pytest

from apgan_jax.video.decoded import Orientation, display_matrix
from support.video_clips import write_clip


def test_orientation_of_pictures_and_of_pixels_is_the_same_for_all_eight():
    stored = np.arange(15).reshape(3, 5, 1)
    for transposed in (False, True):
        for x in (-1, 1):
            for y in (-1, 1):
                matrix = (0, y, 0, x, 0, 0, 0, 0, 1) if transposed else (x, 0, 0, 0, y, 0, 0, 0, 1)
                orientation = Orientation.from_display_matrix(matrix)
                upright = orientation.upright(stored)
                np.testing.assert_array_equal(orientation.stored(upright), stored)
                affine = orientation.upright_from_stored(3, 5)
                for row in range(3):
                    for column in range(5):
                        place = (affine @ (column, row, 1)).astype(int)
                        assert upright[place[1], place[0], 0] == stored[row, column, 0]


@pytest.mark.parametrize('rotation', [0, 90, 180, 270])
def test_a_rotation_without_its_matrix_gives_the_same_matrix(tmp_path, rotation):
    """PyAV hides the matrix where there is side data that it has no name for."""

    class Hidden:
        def __init__(self, frame):
            self.rotation = frame.rotation

        @property
        def side_data(self):
            raise ValueError('31 is not a valid Type')

    with av.open(str(write_clip(tmp_path / 'clip.mp4', rotation=rotation or None))) as container:
        frame = next(container.decode(video=0))
        assert display_matrix(Hidden(frame)) == display_matrix(frame)
