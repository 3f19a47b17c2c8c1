"""What decides the result of a stage and is known before it runs, as it enters the key.

Content, not places: the same project has the same keys in another folder, for another user, on another day.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import files, plugins
from edgekit.core.artifacts import sha256_file
from edgekit.core.sources import own_code
from edgekit.core.spec import ModelConfig, Spec
from edgekit.data import DataConfig, Dataset
from edgekit.onnxfile.graph import external_files
from edgekit.stages.tools import tool_versions

_PATHS = ("weights", "exported", "onnx")
_MOST_LABELLED = 1000
"""Training frames of a user's own format whose content is looked at, evenly spread."""


def tools() -> dict[str, str]:
    """Versions of what makes results, and edgekit's own code."""
    return {**tool_versions(), "edgekit": own_code()}


def portable(value: Any, base: Path) -> Any:
    """``value`` with every text that begins with the folder ``base`` written from there."""
    if isinstance(value, Mapping):
        return {key: portable(inner, base) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [portable(inner, base) for inner in value]
    if isinstance(value, str) and (value == str(base) or value.startswith(f"{base}/")):
        return f".{value.removeprefix(str(base))}"
    return value


def model(config: ModelConfig, base: Path) -> Any:
    """The section ``model`` without the places of its files."""
    document = config.model_dump(mode="json")
    named = {name: Path(document[name]).name for name in _PATHS if document[name] is not None}
    return portable(document | named, base)


def model_files(config: ModelConfig) -> dict[str, str]:
    """Hashes of the files that the section names: weights, graph, external data of an ONNX file, arguments.

    Raises:
        ModelError: one that the section needs is not there.
    """
    hashes = {}
    for role in _PATHS:
        path: Path | None = getattr(config, role)
        if path is None:
            continue
        if not path.is_file():
            raise files.missing(role, path)
        hashes[role] = sha256_file(path)
    if config.onnx is not None:
        for location in external_files(config.onnx):
            beside = config.onnx.parent / location
            hashes[f"onnx data {location}"] = sha256_file(beside) if beside.is_file() else ""
    for place, text in _texts(config.args, "args"):
        for folder in (config.base, Path()):
            if "\0" not in text and len(text) < 4096 and (folder / text).is_file():
                hashes[place] = sha256_file(folder / text)
    return hashes


def task(spec: Spec) -> dict[str, Any]:
    """The section ``task``, and the code of a user's own task."""
    section = portable(spec.task.model_dump(mode="json"), spec.base.resolve())
    return {"section": section, "code": plugins.code("tasks", spec.task.kind)}


def loss(kind: str) -> str:
    """The code of a user's own loss of a kind of task; empty: it is edgekit's, or there is none."""
    return plugins.code("training.losses", kind) if kind in plugins.names("training.losses") else ""


def preprocess(spec: Spec) -> dict[str, Any]:
    """The section ``preprocess``, and the code of a user's own kinds of input."""
    sections = {name: section.model_dump(mode="json") for name, section in spec.preprocess.items()}
    code = {section.kind: plugins.code("inputs", section.kind) for section in spec.preprocess.values()}
    return {"sections": portable(sections, spec.base.resolve()), "code": code}


def _texts(value: Any, place: str) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, part in inner for found in _texts(part, f"{place}.{key}")]


def frames(config: DataConfig, dataset: Dataset, labelled: bool = False) -> dict[str, str]:
    """What decides the frames: their fingerprint; of a user's own format its code and what it gives, too.

    A fingerprint is what a format says of itself.  That of edgekit's formats covers their files; what another format
    reads beside them only its frames can tell.  With ``labelled``, their truth counts, and of many frames 1,000.
    """
    found = {"fingerprint": dataset.fingerprint()}
    code = plugins.code("data", config.format)
    if code:
        found |= {"code": code, "content": _content(dataset, labelled)}
    return found


def _content(dataset: Dataset, labelled: bool) -> str:
    total, count = hashlib.sha256(), len(dataset)
    used = min(count, _MOST_LABELLED) if labelled else count
    for index in range(used):
        sample = dataset[index * count // used]
        _add(total, (sample.id, sample.images, sample.truth if labelled else None))
    return total.hexdigest()


def _add(total: Any, value: Any) -> None:
    """Hash a value of nested arrays, dataclasses, mappings and sequences."""
    total.update(type(value).__name__.encode())
    if isinstance(value, np.ndarray):
        total.update(f"{value.dtype} {value.shape}".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _add(total, getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _add(total, key)
            _add(total, value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            _add(total, inner)
    else:
        total.update(repr(value).encode())
