import numpy as np
import pytest

from apgan_jax.networks.pose_estimator import euler_angles
from support.faces import rotation


@pytest.mark.parametrize('angles', [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 15), (25, -10, 40)])
def test_euler_angles_of_a_known_rotation(angles):
    np.testing.assert_allclose(euler_angles(3.7 * rotation(*angles)), angles, atol=1e-6)
