"""A bundle's ``manifest.json``: what it holds, and the checks that it is whole, and was not edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgekit.bundle.contents import EVALUATION, FORMAT, MANIFEST, PARENTS, READABLE, SIGNATURE, SIZES, VERSION
from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import BundleError

Sha256 = str


class Part(BaseModel):
    """A mapping of the manifest."""

    model_config = ConfigDict(extra="allow", frozen=True)


class CalibrationRecord(Part):
    """The frames that ranges and golden tensors come from."""

    format: str = Field(description="name of the dataset plugin")
    real: bool = Field(description="whether they show something; rendered scenes do, noise does not")


class EvaluationRecord(Part):
    """The evaluation frames, as they were when the bundle was built."""

    format: str = Field(description="name of the dataset plugin")
    frames: int
    dataset_hash: Sha256


class GoldenRecord(Part):
    """Where the golden frames come from, whether or not the bundle keeps them as they were read."""

    format: str = Field(description="name of the dataset plugin")
    dataset_hash: Sha256
    ids: tuple[str, ...] = Field(description="of the golden frames in that data set, in their order")
    kept: int = Field(description="how many of them lie in golden/ as they were read; spec: golden.frames")


class Parent(Part):
    """A bundle that this one was rebuilt from."""

    digest: Sha256
    device: dict[str, Any]
    tools: dict[str, Any]
    command: str | None = None
    signed: bool = False


class Manifest(BaseModel):
    """``manifest.json``: the hash of every file, and where the bundle comes from.

    ``digest`` is the SHA-256 of the other keys as JSON with sorted keys, ``", "`` and ``": "`` between them, as
    Python's ``json.dumps(document, sort_keys=True)`` writes it.  Readers ignore keys that they do not know.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: Literal["edgekit-bundle"]
    version: Literal[1, 2] = Field(description="1 has neither sizes nor golden")
    name: str = Field(description="of the spec")
    target: str = Field(description="the target of the spec that its engines are for")
    files: dict[str, Sha256] = Field(
        description="path inside the bundle to its SHA-256; all but this and signature.json"
    )
    sizes: dict[str, int] = Field({}, description="path inside the bundle to its size in bytes; version 2")
    device: dict[str, Any] = Field(description="what its engines depend on; another machine refuses them")
    tools: dict[str, Any] = Field(description="versions of what made it")
    inputs: dict[str, Any] = Field({}, description="digests of the weights, the model's code, the calibration data")
    sources: Any = Field(None, description="files, packages and variables that the model's code used")
    calibration: CalibrationRecord | None = None
    evaluation: EvaluationRecord | None = None
    golden: GoldenRecord | None = Field(None, description="version 2")
    placement: str | None = Field(None, description="Q/DQ placement of an INT8 model")
    export: dict[str, Any] | None = Field(None, description="what the export changed, such as denormal weights")
    seed: int | None = None
    place: str | None = Field(None, description="folder that it was written to; data that moved with it are found")
    command: str = Field(description="what made it")
    revision: str | None = Field(
        None, description="git commit of the project when these contents were first built; none outside a checkout"
    )
    dirty: bool | None = Field(None, description="whether files that git follows were changed since that commit")
    variants: dict[str, Any] = Field({}, description="precision, placement and lineage of its models by name")
    parents: tuple[Parent, ...] = Field((), description="bundles it was rebuilt from, nearest first")
    digest: Sha256


def require_exists(path: Path) -> None:
    """Raise BundleError when there is neither a file nor a folder of this name."""
    if not path.exists():
        raise BundleError(f"{path}: no such bundle; make one with: edgekit build edgekit.yaml --target NAME")


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle's folder.

    Raises:
        BundleError: there is none, or :func:`parse` refuses it.
    """
    file = folder / MANIFEST
    require_exists(folder)
    if not file.is_file():
        raise BundleError(f"{folder}: not a bundle (no {MANIFEST}); edgekit build prints the folder it wrote")
    return parse(file.read_bytes(), str(file))


def parse(content: bytes, file: str) -> dict[str, Any]:
    """The manifest that ``content`` is; ``file`` names it in errors.

    Raises:
        BundleError: it is damaged, was edited, or is of another kind or version.
    """
    try:
        manifest = json.loads(content.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{file}: damaged ({error}); build or copy the bundle again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{file}: not a manifest of an edgekit bundle")
    if manifest.get("version") not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise BundleError(
            f"{file}: bundle version {manifest.get('version')!r}; this edgekit reads {known}: build it again"
        )
    body = {key: value for key, value in manifest.items() if key != "digest"}
    if sha256_of(body) != manifest.get("digest"):
        raise BundleError(
            f"{file}: the manifest was edited (its digest does not match); build or copy the bundle again"
        )
    for key in ("files", "device", *((SIZES,) if manifest["version"] == VERSION else ())):
        if not isinstance(manifest.get(key), dict):
            raise BundleError(f"{file}: {key!r} is not a mapping; build the bundle again")
    _check_sizes(file, manifest)
    _check_evaluation(file, manifest.get(EVALUATION))
    _check_parents(file, manifest.get(PARENTS, []))
    return manifest


def _check_sizes(file: str, manifest: Mapping[str, Any]) -> None:
    sizes = manifest.get(SIZES)
    if sizes is not None and (sizes.keys() != manifest["files"].keys() or not all(map(_is_size, sizes.values()))):
        raise BundleError(f"{file}: {SIZES!r} does not give every file's size in bytes; build the bundle again")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _check_evaluation(file: str, found: Any) -> None:
    kinds = {"format": str, "frames": int, "dataset_hash": str}
    fits = isinstance(found, dict) and found.keys() == kinds.keys()
    if found is None or (fits and all(isinstance(found[key], kind) for key, kind in kinds.items())):
        return
    raise BundleError(f"{file}: {EVALUATION!r} is {found!r}, expected {', '.join(kinds)}; build the bundle again")


def _check_parents(file: str, found: Any) -> None:
    kinds = {"digest": str, "device": dict, "tools": dict}
    if isinstance(found, list) and all(
        isinstance(parent, dict) and all(isinstance(parent.get(key), kind) for key, kind in kinds.items())
        for parent in found
    ):
        return
    raise BundleError(f"{file}: {PARENTS!r} is no list of {', '.join(kinds)}; build the bundle again")


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise :class:`BundleError` unless the folder holds the manifest's files, each with its hash, and no others."""
    wanted: dict[str, str] = manifest["files"]
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() or p.is_symlink()}
    present -= {MANIFEST, SIGNATURE}
    for problem, names in (("is missing", set(wanted) - present), ("is not in the manifest", present - set(wanted))):
        if names:
            raise BundleError(f"{folder}: {min(names)} {problem}; build or copy the bundle again")
    for name, digest in wanted.items():
        file = folder / name
        if file.is_symlink() or sha256_file(file) != digest:
            raise BundleError(
                f"{folder}: {name} was truncated or edited (hash differs); build or copy the bundle again"
            )
