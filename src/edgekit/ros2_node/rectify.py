"""Frames without the lens's distortion, by the camera's own calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")


@dataclass(frozen=True)
class CameraModel:
    """A calibration as ``sensor_msgs/msg/CameraInfo`` has it.

    ``k``, ``r`` and ``p`` are rows of 3 x 3, 3 x 3 and 3 x 4 matrices; ``d`` are the coefficients of ``model``.
    """

    height: int
    width: int
    model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]


class Rectifier:
    """Undistorts frames of one camera; the maps are computed once.

    Raises:
        DataError: the camera is not calibrated (K is zero), or its distortion model is not known.
    """

    def __init__(self, camera: CameraModel) -> None:
        import cv2

        if not camera.k or not camera.k[0]:
            raise DataError(
                "camera_info holds no calibration (K is zero); calibrate the camera, or set rectify to false"
            )
        if camera.model not in MODELS:
            raise DataError(f"camera_info: distortion model {camera.model!r}; {allowed(camera.model, MODELS)}")
        k, d = np.reshape(camera.k, (3, 3)).astype(np.float64), np.asarray(camera.d, np.float64)
        r = np.reshape(camera.r, (3, 3)).astype(np.float64)
        p = np.reshape(camera.p, (3, 4))[:, :3].astype(np.float64)
        p = p if p[0, 0] else k  # a driver that leaves P out means the same pixels
        r = r if r.any() else np.eye(3)
        size = (camera.width, camera.height)
        maker = cv2.fisheye.initUndistortRectifyMap if camera.model == "equidistant" else cv2.initUndistortRectifyMap
        self.camera = camera
        self._maps = maker(k, d, r, p, size, cv2.CV_16SC2)

    def __call__(self, image: Array) -> Array:
        """The rectified image, of the same size and type.

        Raises:
            DataError: it has another size than the calibration.
        """
        import cv2

        if image.shape[:2] != (self.camera.height, self.camera.width):
            found = f"{image.shape[0]} x {image.shape[1]}"
            raise DataError(f"the image has {found} pixels, camera_info {self.camera.height} x {self.camera.width}")
        return cv2.remap(image, *self._maps, cv2.INTER_LINEAR)
