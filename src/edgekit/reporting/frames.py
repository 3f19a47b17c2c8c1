"""The worst frames, drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.data import Dataset, Sample
from edgekit.engine import Chain
from edgekit.reporting.content import Picture
from edgekit.tasks import Task

WIDTH, QUALITY = 1280, 82
LEGEND_WIDTH, LEGEND_SCALE = 720, 0.6


def draw_frames(
    ids: Sequence[str],
    chain: Chain,
    dataset: Dataset,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Picture, ...]:
    """The engine's prediction on the frames named, ground truth beside it, as JPEG in the order of ``ids``.

    A legend is a picture of its own: inside a small picture it could not be read.
    The dataset is read until all are found.

    Args:
        ids: sample ids of ``dataset``.
        chain: its engine is open; its task draws too.
        dataset: holds the frames.
        advance: called after every frame drawn.

    Raises:
        DataError: a frame is not in the dataset.
    """
    drawn: dict[str, Picture] = {}
    for sample in dataset if ids else ():
        if sample.id in ids:
            drawn[sample.id] = _picture(chain.task, sample, chain(sample.images, sample.id))
            advance()
            if len(drawn) == len(set(ids)):
                break
    absent = [name for name in ids if name not in drawn]
    if absent:
        raise DataError(f"frame {absent[0]!r} of the evaluation is not in this dataset; evaluate this bundle again")
    return tuple(drawn[name] for name in ids)


def _picture(task: Task, sample: Sample, prediction: Any) -> Picture:
    image = sample.picture()
    legend = task.legend(LEGEND_WIDTH, LEGEND_SCALE)
    if legend is None:
        return Picture(sample.id, encode_jpeg(task.draw(image, prediction, sample.truth)))
    drawn = task.draw_small(image, prediction, sample.truth)
    return Picture(sample.id, encode_jpeg(drawn), legend=encode_jpeg(legend))


def encode_jpeg(picture: Array) -> bytes:
    """An RGB uint8 ``(H, W, 3)`` array as JPEG, at most 1280 pixels wide: a report holds many."""
    import cv2

    height, width = picture.shape[:2]
    if width > WIDTH:
        picture = cv2.resize(picture, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(encoded.tobytes())
