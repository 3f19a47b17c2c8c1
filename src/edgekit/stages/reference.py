"""The reference of input drift that a bundle keeps: what its calibration frames look like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgekit.bundle.contents import INPUT_STATISTICS
from edgekit.core.artifacts import write_bytes
from edgekit.core.spec import Spec
from edgekit.core.tensors import Array
from edgekit.data import Dataset
from edgekit.evaluation.input_statistics import LEAST_FRAMES, MOST_FRAMES, full_scale, measure, statistics_of


def write_reference(spec: Spec, folder: Path) -> Path | None:
    """Write ``input_statistics.json`` of the calibration frames.

    Args:
        spec: names the data.
        folder: for the file.

    Returns:
        The file; None where the frames are no pictures, show nothing or are too few.
    """
    config = spec.data.calibration
    if config is None or not config.real:
        return None
    data = config.open()
    first = next(_pictures(data), None)
    deep = first is not None and first.dtype == np.uint16
    white = max(map(full_scale, _pictures(data))) if deep else 255  # of one frame it may be dark by chance
    measured = [measure(image, 255 if image.dtype == np.uint8 else white) for image in _pictures(data)]
    if len(measured) < LEAST_FRAMES:
        return None
    document = statistics_of(measured, config.format)
    write_bytes(folder / INPUT_STATISTICS, (document.model_dump_json() + "\n").encode())
    return folder / INPUT_STATISTICS


def _pictures(data: Dataset) -> Iterator[Array]:
    """The pictures of evenly spread frames: of every camera, of 8 or 16 bits.

    Data whose first frame has none are not read further.
    """
    count = min(len(data), MOST_FRAMES)
    for number in range(count):
        found = [
            image
            for image in data[number * len(data) // count].images.values()
            if image.ndim == 3 and image.shape[2] == 3 and image.dtype in (np.uint8, np.uint16)
        ]
        if not found:
            return
        yield from found
