"""Undistorted frames, against the points that OpenCV's own projection gives."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.ros2_node.rectify import CameraModel, Rectifier

K = (80.0, 0, 79.5, 0, 80.0, 59.5, 0, 0, 1)
MODEL = CameraModel(
    120, 160, "plumb_bob", (-0.2, 0.05, 0, 0, 0), K, (1, 0, 0, 0, 1, 0, 0, 0, 1), (*K[:3], 0, *K[3:6], 0, *K[6:], 0)
)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant"])
def test_a_dot_goes_where_its_ray_goes(model):
    d = {"plumb_bob": (-0.2, 0.05, 0.0, 0.0, 0.0), "rational_polynomial": (-0.2, 0.05, 0, 0, 0, 0.01, 0, 0)}.get(
        model, (-0.05, 0.01, 0.0, 0.0)
    )
    camera = replace(MODEL, model=model, d=d)
    k, ray = np.reshape(K, (3, 3)), np.array([[[0.45, -0.3, 1.0]]])
    if model == "equidistant":
        seen, _ = cv2.fisheye.projectPoints(ray, np.zeros(3), np.zeros(3), k, np.array(d))
    else:
        seen, _ = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), k, np.array(d))
    image = np.zeros((120, 160, 3), np.uint8)
    cv2.circle(image, tuple(np.round(seen.ravel()).astype(int).tolist()), 3, (255, 255, 255), -1)
    rows, columns = np.nonzero(Rectifier(camera)(image)[..., 0] > 100)
    expected = (k @ ray.ravel())[:2]
    assert abs(columns.mean() - expected[0]) < 1.0
    assert abs(rows.mean() - expected[1]) < 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"k": (0.0,) * 9}, "holds no calibration"), ({"model": "plumb-bob"}, "did you mean 'plumb_bob'")],
)
def test_cameras_that_cannot_be_rectified(change, message):
    with pytest.raises(DataError, match=message):
        Rectifier(replace(MODEL, **change))


def test_an_image_of_another_size_is_refused():
    with pytest.raises(DataError, match="60 x 80 pixels, camera_info 120 x 160"):
        Rectifier(MODEL)(np.zeros((60, 80, 3), np.uint8))


def test_a_driver_without_p_and_r_keeps_the_pixels():
    plain = Rectifier(replace(MODEL, d=(0.0,) * 5, r=(0.0,) * 9, p=(0.0,) * 12))
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    np.testing.assert_array_equal(plain(image), image)
