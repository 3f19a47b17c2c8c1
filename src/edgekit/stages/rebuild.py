"""A bundle's engines made anew for this machine, from the typed models that it holds: no PyTorch, no ONNX package.

A bundle meets another runtime when the board has another version than the workstation, after an upgrade, or on another
processor.  Models, golden references, preprocessing, KPIs and control stay what they were; the engines and what is
found out about them are this machine's.  The manifest names the bundle that it was made from, and nobody signed it.
"""

from __future__ import annotations

import json
import shlex
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import engine as engines
from edgekit.bundle import (
    CONTEST,
    MANIFEST,
    PARENTS,
    PLACEMENT,
    SIGNATURE,
    SINGLE_FILE,
    Bundle,
    open_bundle,
    pack,
    write_bundle,
)
from edgekit.core.artifacts import require_writable
from edgekit.core.errors import InputError
from edgekit.core.locks import locked
from edgekit.core.progress import Progress
from edgekit.engine import EngineConfig, RemoteConfig
from edgekit.stages.build import engine_files, make_engines
from edgekit.stages.compressed import RECORD
from edgekit.stages.golden import prove_frames
from edgekit.stages.tools import tool_versions
from edgekit.stages.typed import TypedModel
from edgekit.verification import golden_frames

_WRITTEN_ANEW = ("format", "version", "name", "target", "files", "sizes", "digest")
"""Keys of a manifest that :func:`~edgekit.bundle.write_bundle` gives."""


@dataclass(frozen=True)
class Rebuilt:
    """A bundle whose engines are this machine's.

    ``made`` is false when they were already, and nothing was written.
    ``placement`` is that of the INT8 model, ``wanted`` the one that this machine would get from a build; empty where
    there is no INT8 model, or the bundle does not say.
    """

    bundle: Bundle
    made: bool
    placement: str = ""
    wanted: str = ""

    @property
    def misplaced(self) -> bool:
        """Whether another Q/DQ placement would suit this machine better."""
        return self.placement != self.wanted


def rebuild(bundle: Bundle, out: Path | None, progress: Progress) -> Rebuilt:
    """Make a bundle's engines anew and prove them against its golden references.

    Args:
        bundle: from another machine or runtime, or proven on none.
        out: the folder or ``.edgekit`` file to write; None: in place of the bundle, unless its engines fit already.
        progress: shows the steps.

    Raises:
        CheckFailed: an engine does not compute what its typed model says, or this machine's pre- or postprocessing is
            not that of the golden frames; the old bundle stays.
        EnvironmentFault: the runtime or its device is not here, or ``out`` cannot be written.
        InputError: ``out`` is something else than a bundle.
    """
    contents = bundle.contents
    backend = engines.backend(_at_home(contents.engine))
    backend.require()
    if out is None and not bundle.foreign and not bundle.unverified:
        return Rebuilt(bundle, made=False)
    final = (out or bundle.given).resolve()
    _require_place(final)
    roles = {Path(role.model).stem: role for role in (contents.candidate, contents.control) if role is not None}
    models = [
        TypedModel(name, role.precision, bundle.path / role.model, bundle.golden(role)) for name, role in roles.items()
    ]
    with locked(final), tempfile.TemporaryDirectory(prefix="edgekit-rebuild-") as scratch:
        made = Path(scratch) / "engines"
        made.mkdir()
        golden_frames.require(prove_frames(bundle))  # before the work on engines
        make_engines(backend, models, made, progress, contents.parity)
        renamed = {
            name: role.model_copy(update={"file": f"engines/{name}{backend.suffix}"}) for name, role in roles.items()
        }
        control = contents.control and renamed[Path(contents.control.model).stem]
        candidate = renamed[Path(contents.candidate.model).stem]
        anew = contents.model_copy(update={"candidate": candidate, "control": control})
        files = _kept(bundle) | {"parity.json": made / "parity.json"}
        for role in renamed.values():
            files |= engine_files(made, Path(role.file).name)
        packed = final.is_file() or (final.suffix == SINGLE_FILE and not final.is_dir())
        folder = Path(scratch) / "bundle" if packed else final
        device = backend.made_for(made / Path(candidate.file).name)
        written = write_bundle(folder, anew, files, _manifest(bundle, device))
        if packed:
            pack(written, final)
    return Rebuilt(open_bundle(out or bundle.given), True, *_placements(bundle, backend.config))


def _require_place(final: Path) -> None:
    """Raise before any work unless ``final`` is free, or a bundle that may be replaced."""
    require_writable(final.parent)
    if final.is_dir() and any(final.iterdir()) and not (final / MANIFEST).is_file():
        raise InputError(f"--out {final}: a folder that is no bundle, and it would be replaced; name a new folder")
    if final.is_file() and not zipfile.is_zipfile(final):
        raise InputError(f"--out {final}: a file that is no bundle; name a new folder, or a file *{SINGLE_FILE}")


def _placements(bundle: Bundle, config: EngineConfig) -> tuple[str, str]:
    """The Q/DQ placement of the INT8 model and the one that suits this machine; empty where the bundle does not say."""
    if bundle.contents.candidate.precision != "int8":
        return "", ""
    placement = bundle.manifest.get(PLACEMENT)
    if placement is None and RECORD in bundle.manifest["files"]:  # of before the manifest named it
        placement = json.loads((bundle.path / RECORD).read_text(encoding="utf-8")).get("profile")
    if not placement:
        return "", ""
    asked_for = {"profile": None} if "profile" in type(config).model_fields else {}
    return str(placement), engines.backend(config.model_copy(update=asked_for)).quantization_profile()


def _at_home(config: EngineConfig) -> EngineConfig:
    """The target without the timing cache, a file of the machine that the bundle comes from."""
    return config.model_copy(update={"timing_cache": None}) if isinstance(config, RemoteConfig) else config


def _kept(bundle: Bundle) -> dict[str, Path]:
    """The parent's files that are not this machine's: all but engines and what was found out about them."""
    rewritten = ("bundle.json", "parity.json", CONTEST)
    return {
        name: bundle.path / name
        for name in bundle.manifest["files"]
        if name not in rewritten and not name.startswith("engines/")
    }


def _manifest(bundle: Bundle, device: Mapping[str, Any]) -> dict[str, Any]:
    parent = {key: bundle.manifest.get(key) for key in ("digest", "device", "tools", "command")}
    parent["signed"] = (bundle.path / SIGNATURE).is_file()
    return {key: value for key, value in bundle.manifest.items() if key not in _WRITTEN_ANEW} | {
        "tools": tool_versions(),
        "device": dict(device),
        "command": f"edgekit bundle rebuild {shlex.quote(bundle.given.name)}",
        PARENTS: [parent, *bundle.parents],
    }
