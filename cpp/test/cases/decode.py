"""Outputs of networks, and what edgekit's Python decodes from them: a document and the arrays of each room of tasks.

``NAME.json`` lists the cases: the task's section as a bundle has it, the model's outputs, the frame's geometry, and
the prediction, or the words of the error, or ``refused`` for a section that edgekit refuses.  An array is
``{dtype, shape, at}``, a part of ``NAME.npz``'s member of that dtype, or ``noise``: [seed, low, width], which both
sides make by the same rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import ClassScores, Detections, Embedding, Geometry, LabelMap, Tensors, Values
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import Array, TensorSpec

_SECTION: TypeAdapter[Any] = TypeAdapter(TaskSection)


def noise(shape: tuple[int, ...], seed: int, low: float, width: float) -> Array:
    """Float32 from ``low`` to ``low + width``, a power of two; the same on every machine."""
    mixed = (np.arange(np.prod(shape), dtype=np.uint64) * 2654435761 + seed * 40503) & 0xFFFFFFFF
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (low + width * ((mixed >> 8) / 2.0**24)).astype(np.float32).reshape(shape)


class Noise:
    """An output that the reader makes by itself."""

    def __init__(self, shape: tuple[int, ...], seed: int, low: float, width: float) -> None:
        self.given = (seed, low, width)
        self.values = noise(shape, seed, low, width)


def stretched(original: tuple[int, int], tensor: tuple[int, int]) -> Geometry:
    return Geometry(original, tensor, (0, 0, *tensor))


def letterboxed(original: tuple[int, int], tensor: tuple[int, int], centred: bool = True) -> Geometry:
    scale = min(tensor[0] / original[0], tensor[1] / original[1])
    rows, columns = (max(1, round(size * scale)) for size in original)
    top, left = ((tensor[0] - rows) // 2, (tensor[1] - columns) // 2) if centred else (0, 0)
    return Geometry(original, tensor, (top, left, rows, columns))


class Cases:
    """The cases of one document."""

    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        self._parts: dict[str, list[Array]] = {}
        self._lengths: dict[str, int] = {}

    def add(
        self,
        name: str,
        section: Mapping[str, Any],
        outputs: Mapping[str, Array | Noise],
        geometry: Geometry,
        specs: Mapping[str, tuple[Any, ...]] | None = None,
        dtype: Any = None,
    ) -> None:
        """One case; ``specs`` and ``dtype`` are what the model promises, where that is not what ``outputs`` are."""
        arrays = {n: v.values if isinstance(v, Noise) else v for n, v in outputs.items()}
        promised = {n: TensorSpec(n, (specs or {}).get(n, a.shape), dtype or _dtype(a)) for n, a in arrays.items()}
        case: dict[str, Any] = {
            "name": name,
            "task": dict(section),
            "outputs": [
                {"name": n, "spec": list(promised[n].shape), "spec_dtype": promised[n].dtype, **self._given(v)}
                for n, v in outputs.items()
            ],
            "geometry": [geometry.original, geometry.tensor, geometry.content],
        }
        try:
            config = _SECTION.validate_python(dict(section))
            case["task"] = config.model_dump(mode="json")
            task = config.create()
            task.check_outputs(tuple(promised.values()))
        except (ValidationError, SpecError) as error:
            case["refused"] = str(error)
        else:
            try:
                with np.errstate(all="ignore"):
                    case["expected"] = self._expected(task.decode(arrays, geometry))
            except (TensorError, DataError) as error:
                case["error"] = str(error)
        self.cases.append(case)

    def save(self, folder: Path, name: str) -> None:
        (folder / f"{name}.json").write_text(json.dumps(self.cases))
        np.savez_compressed(folder / f"{name}.npz", **{d: np.concatenate(p) for d, p in self._parts.items()})

    def _given(self, value: Array | Noise) -> dict[str, Any]:
        if isinstance(value, Noise):
            return {"dtype": "float32", "shape": list(value.values.shape), "noise": value.given}
        return self._kept(value)

    def _kept(self, array: Array) -> dict[str, Any]:
        dtype = array.dtype.name
        at = self._lengths.get(dtype, 0)
        self._parts.setdefault(dtype, []).append(array.ravel().copy())
        self._lengths[dtype] = at + array.size
        return {"dtype": dtype, "shape": list(array.shape), "at": at}

    def _expected(self, prediction: Any) -> dict[str, Any]:
        if isinstance(prediction, LabelMap):
            return {"labels": self._kept(prediction.labels)}
        if isinstance(prediction, Detections):
            parts = {"boxes": prediction.boxes, "scores": prediction.scores, "classes": prediction.labels}
            return {name: self._kept(part) for name, part in parts.items()}
        if isinstance(prediction, ClassScores):
            return {"probabilities": self._kept(prediction.probabilities)}
        if isinstance(prediction, Embedding):
            return {"vector": self._kept(prediction.vector)}
        if isinstance(prediction, Values):
            return {"names": prediction.names, "values": self._kept(prediction.values)}
        if isinstance(prediction, Tensors):
            return {"tensors": {name: self._kept(np.asarray(value)) for name, value in prediction.values.items()}}
        return {"parts": {name: self._expected(part) for name, part in prediction.items()}}


def _dtype(array: Array) -> Any:
    return array.dtype.name


def _options(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of a section, nested ones with a dot, and their values, as far as these are plain."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _options(value, f"{key}.")
        elif isinstance(value, str | bool):
            yield f"{above}{key}", value


def write(folder: Path) -> None:
    import _decode_detections
    import _decode_masks
    import _decode_schema
    import _decode_vectors

    for name, module in (
        ("masks", _decode_masks),
        ("vectors", _decode_vectors),
        ("detections", _decode_detections),
    ):
        cases = Cases()
        module.fill(cases)
        cases.save(folder, name)
    seen = {option for case in cases.cases if "expected" in case for option in _options(case["task"])}
    schema = _decode_schema.walk()
    missed = [
        s for s in schema["sections"] if s["section"]["kind"] == "detection" and (s["key"], s["value"]) not in seen
    ]
    assert not missed, f"no case decodes {missed[0]}"
    (folder / "schema.json").write_text(json.dumps(schema))
