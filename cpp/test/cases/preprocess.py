"""Frames, and the model inputs that edgekit's Python makes of them, over what a spec can name.

``cases.json`` describes each case; its numbers are slices of the one array of ``bytes.npz``. ``allowed`` is how far
each channel may be from Python: ``LIMITS`` in values of a pixel, and what a float32 multiplication rounds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import pixels
from edgekit.core.errors import EdgekitError
from edgekit.core.spec import TensorShape
from edgekit.inputs import InputConfig, array, constant, frame_size, image
from edgekit.preprocess import Preprocess

LIMITS = json.loads((Path(__file__).parent / "preprocess_limits.json").read_text())
"""By type of the pixels and interpolation: most values of a pixel between C++ and Python."""
KINDS = {"image": image, "array": array, "constant": constant, "frame_size": frame_size}
NORMAL = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
FILTERS = [
    *((one, False) for one in ("bilinear", "nearest", "nearest-exact", "area", "bicubic", "lanczos")),
    *((one, how) for one in ("bilinear", "bicubic", "lanczos") for how in (True, "pillow-13")),
]
SIZES = [
    ((37, 53), (24, 32)),
    ((24, 31), (41, 67)),
    ((48, 36), (16, 12)),
    ((40, 60), (20, 30)),
    ((20, 90), (33, 30)),
    ((90, 31), (1, 17)),
    ((21, 19), (21, 40)),
    ((21, 19), (9, 19)),
    ((1, 1), (5, 7)),
    ((3, 2), (1, 1)),
    ((2, 9), (6, 1)),
    ((17, 23), (17, 23)),
]


class Writer:
    """Collects cases; ``rng`` draws their frames."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(17)
        self.cases: list[dict[str, Any]] = []
        self.chunks: list[bytes] = []
        self.length = 0

    def keep(self, values: Any) -> dict[str, Any]:
        """Where the bytes of an array lie."""
        values = np.ascontiguousarray(values)
        self.chunks.append(values.tobytes())
        self.length += values.nbytes
        return {
            "at": self.length - values.nbytes,
            "bytes": values.nbytes,
            "shape": list(values.shape),
            "dtype": values.dtype.name,
        }

    def add(self, name: str, sections: dict[str, dict[str, Any]], sources: dict[str, Any], **shapes: Any) -> None:
        """One case: what Python makes, or the error that it raises.

        ``sources``: a RawImage or an array by name; ``shapes``: of inputs that take theirs from the model.
        """
        case: dict[str, Any] = {"name": name, "sources": [], "inputs": []}
        frames = {}
        for key, source in sources.items():
            if isinstance(source, pixels.RawImage):
                frames[key] = pixels.to_rgb(source)
                content = self.keep(np.frombuffer(source.data, np.uint8))
                keys = {"height": source.height, "width": source.width, "stride": source.step}
                case["sources"].append({"name": key, "encoding": source.encoding, **keys, "data": content})
            else:
                frames[key] = source
                case["sources"].append({"name": key, "array": self.keep(source)})
        configs = {key: _config(keys, shapes.get(key)) for key, keys in sections.items()}
        case["section"] = {key: config.model_dump(mode="json") for key, config in configs.items()}
        preprocess = Preprocess(configs)
        try:
            made = preprocess(frames)
        except EdgekitError as error:
            case["error"] = str(error)
        else:
            geometry = made.geometry
            case["geometry"] = [list(geometry.original), list(geometry.tensor), list(geometry.content)]
        for spec in preprocess.tensor_specs():
            entry: dict[str, Any] = {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}
            if "error" not in case:
                entry["made"] = self.keep(made.feeds[spec.name])
                entry["allowed"] = _allowed(configs[spec.name])
            case["inputs"].append(entry)
        self.cases.append(case)

    def frame(self, encoding: str, height: int, width: int, padding: int = 0) -> pixels.RawImage:
        """Noise with smooth parts, as a camera sends it; rows are ``padding`` bytes longer than their pixels."""
        known = pixels.ENCODINGS[encoding]
        rows = int(height * known.rows)
        size = np.dtype(known.dtype).itemsize
        drawn = self.rng.integers(0, 256 if size == 1 else 65536, (rows, width * known.channels), known.dtype)
        smooth = np.cumsum(drawn, axis=1, dtype=known.dtype) // 2 if self.rng.random() < 0.3 else drawn
        step = width * known.channels * size + padding
        data = np.zeros((rows, step), np.uint8)
        data[:, : step - padding] = np.ascontiguousarray(smooth).view(np.uint8).reshape(rows, -1)
        held = data.tobytes()
        return pixels.RawImage(height, width, encoding, step, held[: len(held) - padding])


def _config(keys: dict[str, Any], shape: Any) -> InputConfig:
    config: InputConfig = KINDS[keys.get("kind", "image")].Config(**keys)
    return config if shape is None else config.fitted(TensorShape(**shape))


def _allowed(config: InputConfig) -> list[float]:
    """Of each channel, in units of the input."""
    if not isinstance(config, image.Config):
        return [0.0]
    way = "pillow" if config.antialias else config.interpolation
    limit = LIMITS[config.pixels][way]
    scale, count = config.scale, config.channels
    mean, std = image._spread(config.mean, count), image._spread(config.std, count)
    largest = {"uint8": 255, "uint16": 65535, "float32": 1000}[config.pixels]
    rounding = LIMITS["rounding"] if config.dtype == "float32" else LIMITS["half"] if limit else 0.0
    if config.dtype not in ("float32", "float16"):
        rounding = 0.0
    return [limit * scale / s + rounding * (largest * scale + abs(m)) / s for m, s in zip(mean, std, strict=True)]


def _resizes(writer: Writer) -> None:
    """Every filter at every size, of every type of pixels and number of channels."""
    for ((source, made), (interpolation, antialias)), kind in itertools.product(
        itertools.product(SIZES, FILTERS), ("rgb8", "mono8", "rgb16", "float32")
    ):
        keys = {"resize": made, "interpolation": interpolation, "antialias": antialias}
        if kind == "float32":
            frame: Any = (writer.rng.random((*source, 3)) * 1000 - 200).astype(np.float32)
            keys["pixels"] = "float32"
        else:
            frame = writer.frame(kind, *source)
            keys["pixels"] = "uint16" if kind == "rgb16" else "uint8"
        name = f"resize {kind} {source} to {made} {interpolation} antialias {antialias}"
        if kind == "float32" or interpolation in ("bilinear", "area"):
            writer.add(name, {"image": keys | {"color": "grey"}}, {"image": frame})
        dtype = {"float32": "float32", "rgb16": "int32"}.get(kind, "uint8")
        shape = {"shape": [1, 3, *made], "dtype": dtype}
        writer.add(name, {"image": keys}, {"image": frame}, image=shape)


def _modes() -> Iterator[dict[str, Any]]:
    yield {"mode": "stretch"}
    yield {"mode": "letterbox"}
    yield {"mode": "letterbox-topleft", "pad_value": 0}
    yield {"mode": "crop", "before_crop": 26}
    yield {"mode": "crop", "before_crop": [25, 40]}


def _places(writer: Writer) -> None:
    """Every mode with every filter, layout and order of the channels."""
    for keys, (interpolation, antialias), size in itertools.product(
        _modes(), FILTERS, ((37, 53), (53, 37), (24, 24), (11, 90))
    ):
        index = len(writer.cases)
        more = {
            "resize": [23, 25],
            "interpolation": interpolation,
            "antialias": antialias,
            "layout": ("nchw", "nhwc")[index % 2],
            "color": ("rgb", "bgr", "grey")[index % 3],
        }
        more |= NORMAL if more["color"] != "grey" else {"scale": 0.01, "mean": [0.5], "std": [0.25]}
        frame = writer.frame(
            ("bgr8", "rgb8", "nv12")[index % 3] if size != (11, 90) else "bgr8", size[0] // 2 * 2, size[1] // 2 * 2
        )
        writer.add(f"place {size} {keys} {more}", {"image": keys | more}, {"image": frame})
    frame = writer.frame("rgb8", 40, 50)
    writer.add("crop as it is", {"image": {"resize": [21, 30], "mode": "crop"}}, {"image": frame})
    writer.add("crop too large", {"image": {"resize": [41, 30], "mode": "crop"}}, {"image": frame})


def _encodings(writer: Writer) -> None:
    """Every encoding, with and without padded rows, in every order and layout."""
    for encoding in pixels.ENCODINGS:
        if encoding.startswith("bayer") and encoding.endswith("16"):
            continue  # a Frame of C++ has none
        wide = pixels.ENCODINGS[encoding].dtype == "u2"
        for padding, color, layout in (
            (0, "rgb", "nchw"),
            (6, "bgr", "nhwc"),
            (34, "grey", "nchw"),
            (2, "bgr", "nchw"),
        ):
            for size in ((12, 26), (2, 2), (64, 18)):
                keys: dict[str, Any] = {"resize": [9, 31], "color": color, "layout": layout}
                keys |= {"pixels": "uint16", "scale": 1 / 65535} if wide else NORMAL if color != "grey" else {}
                frame = writer.frame(encoding, *size, padding)
                writer.add(f"encoding {encoding} {size} {padding} {color} {layout}", {"image": keys}, {"image": frame})
    for size, made in (((3, 3), (3, 3)), ((5, 7), (5, 7)), ((1, 4), (2, 2)), ((33, 47), (33, 47))):
        for encoding in ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8", "mono8", "rgba8"):
            shape = {"shape": [1, 3, *made], "dtype": "uint8"}
            writer.add(
                f"as it is {encoding} {size}",
                {"image": {"resize": made}},
                {"image": writer.frame(encoding, *size)},
                image=shape,
            )


def _types(writer: Writer) -> None:
    """Every dtype of an input from every type of pixels."""
    for (kind, dtypes), layout, mode in itertools.product(
        (
            ("bgr8", ("float32", "float16", "uint8", "int32", "int64")),
            ("rgb16", ("float32", "float16", "int32", "int64")),
            ("float32", ("float32", "float16")),
        ),
        ("nchw", "nhwc"),
        ("stretch", "letterbox"),
    ):
        for dtype in dtypes:
            keys: dict[str, Any] = {"resize": [13, 21], "layout": layout, "mode": mode}
            if kind == "float32":
                frame: Any = (writer.rng.random((20, 60, 3)) * 1000 - 200).astype(np.float32)
                keys |= {"pixels": "float32", "mean": [1.0, 2.0, 3.0], "std": 3.0, "pad_value": 0.5}
            else:
                frame = writer.frame(kind, 20, 60)
                keys["pixels"] = "uint16" if kind == "rgb16" else "uint8"
                if dtype.startswith("float"):
                    keys |= NORMAL if kind == "bgr8" else {"scale": 1 / 65535, "mean": 0.5}
            shape = [1, 3, 13, 21] if layout == "nchw" else [1, 13, 21, 3]
            name = f"dtype {dtype} of {kind} {layout} {mode}"
            writer.add(name, {"image": keys}, {"image": frame}, image={"shape": shape, "dtype": dtype})


def _several(writer: Writer) -> None:
    """Networks of several images or inputs, and inputs that are no image."""
    left, right = writer.frame("bgr8", 30, 44), writer.frame("rgb8", 50, 22)
    for layout, color in itertools.product(("nchw", "nhwc"), ("rgb", "grey")):
        keys = {"source": ["left", "right"], "resize": [16, 20], "mode": "letterbox", "layout": layout, "color": color}
        keys |= {"mean": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] if color == "rgb" else [1.0, 2.0], "std": 2.0}
        writer.add(f"two images {layout} {color}", {"stereo": keys}, {"left": left, "right": right})
    plain = {"resize": [16, 20], "mode": "letterbox"}
    two = {"shape": [1, 2], "dtype": "int64"}
    for of, order, dtype in (
        ("frame", "width_height", "int64"),
        ("resized", "height_width", "int32"),
        ("ratio", "height_width", "float32"),
        ("ratio", "width_height", "float16"),
    ):
        size = {"kind": "frame_size", "of": of, "order": order}
        writer.add(
            f"frame size {of} {dtype}", {"size": size, "image": plain}, {"image": left}, size=two | {"dtype": dtype}
        )
    for value, shape, dtype in (
        ([[640, 480]], [1, 2], "int64"),
        (0.1, [2, 3], "float32"),
        (0.1, [1], "float16"),
        (True, [1, 2], "bool"),
        ([[[1, 2]], [[3, 4]]], [2, 1, 2], "uint8"),
        (-7, [3], "int32"),
        (9007199254740993, [1], "int64"),
    ):
        writer.add(
            f"constant {value} {dtype}",
            {"image": plain, "fixed": {"kind": "constant", "value": value}},
            {"image": left},
            fixed={"shape": shape, "dtype": dtype},
        )
    _arrays(writer, left)


def _arrays(writer: Writer, frame: Any) -> None:
    values = [
        -1.5,
        -1.0,
        0.0,
        0.1,
        1.0,
        2.0,
        200.0,
        255.0,
        256.0,
        65504.0,
        65519.0,
        65520.0,
        70000.0,
        2.0**31,
        1e-7,
        1e300,
        -(2.0**63),
    ]
    for given, dtype in itertools.product(
        (
            "float64",
            "float32",
            "float16",
            "int8",
            "uint8",
            "int16",
            "uint16",
            "int32",
            "uint32",
            "int64",
            "uint64",
            "bool",
        ),
        ("float32", "float16", "uint8", "int32", "int64", "bool"),
    ):
        for value in values:
            with np.errstate(all="ignore"):
                held = np.array([[value, 1.0]]).astype(given)
            if float(held[0, 0]) != value and not given.startswith("float"):
                continue
            writer.add(
                f"array {value} of {given} to {dtype}",
                {"points": {"kind": "array", "source": "points"}},
                {"points": held if value != 1.0 else held[0]},
                points={"shape": [1, 2], "dtype": dtype},
            )
    keys = {"kind": "array", "source": "points"}
    shape = {"shape": [1, 4, 2], "dtype": "float32"}
    writer.add("array of another shape", {"points": keys}, {"points": np.zeros((4, 3), np.float32)}, points=shape)
    writer.add(
        "array with an image",
        {"points": keys, "image": {"resize": 8}},
        {"points": np.ones((4, 2)), "image": frame},
        points=shape,
    )


def _errors(writer: Writer) -> None:
    frame, wide = writer.frame("rgb8", 8, 9), writer.frame("mono16", 8, 9)
    floats = np.ones((4, 5, 3), np.float32)
    keys = {"resize": [4, 4]}
    writer.add("16 bits for 8", {"image": keys}, {"image": wide})
    writer.add("8 bits for 16", {"image": keys | {"pixels": "uint16"}}, {"image": frame})
    writer.add("floats for 8 bits", {"image": keys}, {"image": floats})
    writer.add("16 bits for floats", {"image": keys | {"pixels": "float32"}}, {"image": wide})
    floats = floats.copy()
    floats[1, 2, 0] = np.nan
    writer.add("NaN", {"image": keys | {"pixels": "float32"}}, {"image": floats})
    writer.add("no such image", {"image": keys | {"source": ["left", "right"]}}, {"image": frame})
    size = {"kind": "frame_size", "of": "frame", "order": "width_height"}
    writer.add("size of nothing", {"size": size}, {"image": frame}, size={"shape": [1, 2], "dtype": "int64"})
    writer.add("no RGB", {"image": keys | {"pixels": "float32"}}, {"image": np.ones((4, 5), np.float32)})


def write(folder: Path) -> None:
    writer = Writer()
    for part in (_resizes, _places, _encodings, _types, _several, _errors):
        part(writer)
    (folder / "cases.json").write_text(json.dumps(writer.cases))
    np.savez_compressed(folder / "bytes.npz", bytes=np.frombuffer(b"".join(writer.chunks), np.uint8))
