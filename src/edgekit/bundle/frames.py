"""Golden frames as they were read: images as PNG, all else as ``.npz``; written into a bundle, and read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from edgekit.core.artifacts import write_bytes
from edgekit.core.decoded import Source
from edgekit.core.errors import BundleError
from edgekit.core.golden import read_arrays, write_arrays
from edgekit.core.tensors import Array, Arrays

FOLDER = "golden"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def write_frame(folder: Path, number: int, images: Arrays) -> dict[str, Source]:
    """Write a frame's images and arrays into ``<folder>/golden``.

    Args:
        folder: of the bundle.
        number: of the frame.
        images: as :class:`edgekit.data.Sample` has them: RGB ``(H, W, 3)``, or arrays of any shape.

    Returns:
        Where each of them lies, by its name.
    """
    import cv2

    sources: dict[str, Source] = {}
    others: dict[str, Array] = {}
    for place, (name, array) in enumerate(images.items()):
        picture = _as_picture(array)
        kind: Literal["png", "npz"] = "npz" if picture is None else "png"
        file = f"{FOLDER}/{number}.npz"
        if picture is None:
            others[name] = array
        else:
            file = f"{FOLDER}/{number}.{name if _PLAIN.fullmatch(name) else place}.png"
            good, content = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
            assert good  # a picture of these types always is
            write_bytes(folder / file, content.tobytes())
        sources[name] = Source(file=file, kind=kind, shape=array.shape, dtype=array.dtype.name)
    if others:
        write_arrays(folder / FOLDER / f"{number}.npz", others, deflated=True)
    return sources


def read_frame(folder: Path, sources: Mapping[str, Source]) -> dict[str, Array]:
    """A frame's images and arrays, as they were given to :func:`write_frame`.

    Raises:
        BundleError: one is not what its record says.
    """
    return {name: _read(folder, name, source) for name, source in sources.items()}


def _as_picture(array: Array) -> Array | None:
    """What goes into the PNG, in OpenCV's order of channels; None: it is no image of 8 or 16 bits."""
    if array.dtype not in (np.uint8, np.uint16) or not array.size:
        return None
    if array.ndim == 2:
        return array
    if array.ndim != 3 or array.shape[2] != 3:
        return None
    if (array == array[..., :1]).all():  # a grey camera's frame, read as RGB
        return np.ascontiguousarray(array[..., 0])
    return np.ascontiguousarray(array[..., ::-1])


def _read(folder: Path, name: str, source: Source) -> Array:
    import cv2

    if source.kind == "npz":
        found = read_arrays(folder / source.file).get(name)
    else:
        found = cv2.imread(str(folder / source.file), cv2.IMREAD_UNCHANGED)
        if found is not None and found.ndim == 3:
            found = np.ascontiguousarray(found[..., ::-1])
        elif found is not None and len(source.shape) == 3:
            found = np.repeat(found[..., None], 3, axis=2)
    if found is None or found.shape != source.shape or found.dtype.name != source.dtype:
        was = "nothing" if found is None else f"{found.dtype.name}{list(found.shape)}"
        raise BundleError(
            f"{source.file}: {name!r} is {was}, golden/predictions.json says {source.dtype}{list(source.shape)}; "
            "build the bundle again"
        )
    return found
