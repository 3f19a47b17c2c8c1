"""The smallest part of a typed model whose engine still departs: what a report to a runtime's maintainers needs.

Polygraphy's ``debug reduce`` (https://github.com/NVIDIA/TensorRT/tree/main/tools/Polygraphy) cuts the model, first
after and then before its nodes, halving what is left; this module is the check that it runs on every part, in a
process of its own: ``python -m edgekit.verification.reduce ORDER PART``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import engine as engines
from edgekit.core.artifacts import require_writable, write_bytes
from edgekit.core.errors import CheckFailed, EdgekitError, InputError, MissingRequirement
from edgekit.core.golden import Golden, read_arrays, write_arrays
from edgekit.core.progress import Progress
from edgekit.core.reports import Reduction
from edgekit.core.tensors import Array
from edgekit.engine import Backend
from edgekit.verification.bisect import reference
from edgekit.verification.parity import relative_l2

_DEPARTS = 3
"""Exit code of the check on a part that departs; whatever else ends it, such a part proves nothing."""
_PART = "part.onnx"
_FEW = 16
"""Nodes that are then taken away one by one: halving may leave a branch."""


@dataclass(frozen=True)
class Part:
    """What went into a part of the model, what should have come out and what did; ``rel_l2`` is the largest error."""

    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    found: Mapping[str, Array]
    rel_l2: float


def reduce(
    backend: Backend,
    model: Path,
    golden: Golden,
    limit_rel_l2: float,
    target: Path,
    progress: Progress,
) -> Reduction | None:
    """Write the smallest part that departs to ``target``, and its tensors beside it as ``.npz``.

    The arrays are ``input.<name>``, ``expected.<name>`` and ``found.<name>``, those of the golden frame on which the
    whole model departs most.  An error that many layers add up to is not in one of them alone, so the part is larger.

    Args:
        backend: that of the target.
        model: the typed ONNX file that engines are built from.
        golden: gives the inputs.
        limit_rel_l2: relative L2 that is still no departure.
        target: an ONNX file.
        progress: shows the search.

    Returns:
        None when an engine of the whole model holds the limit: nothing is written.

    Raises:
        InputError: ``target`` is not named like an ONNX file.
        OutputError: it cannot be written.
        MissingRequirement: onnx, polygraphy or onnx-graphsurgeon is not installed.
        CheckFailed: Polygraphy gives up.
    """
    if target.suffix != ".onnx":
        raise InputError(f"{target}: expected a name that ends in .onnx; the tensors go beside it as .npz")
    require_writable(target.resolve().parent)
    tool = _polygraphy()
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder, progress.track("reduce"):
        frames = golden.inputs
        errors = [_run(backend, model, model, feeds, Path(folder)).rel_l2 for feeds in frames]
        worst = int(np.argmax(errors))
        if not errors[worst] > limit_rel_l2:
            return None
        _write_order(Path(folder), backend, model, frames[worst], limit_rel_l2)
        reduced, feeds = _reduced(tool, "bisect", model, frames[worst], Path(folder)), frames[worst]
        part = _run(backend, model, reduced, feeds, Path(folder))
        if 1 < _nodes(reduced) <= _FEW:
            reduced = _reduced(tool, "linear", reduced, part.inputs, Path(folder))
            part = _run(backend, model, reduced, feeds, Path(folder))
        kinds = {"input": part.inputs, "expected": part.expected, "found": part.found}
        arrays = {f"{kind}.{name}": array for kind, by_name in kinds.items() for name, array in by_name.items()}
        write_arrays(target.with_suffix(".npz"), arrays)
        write_bytes(target, reduced.read_bytes())
        return Reduction(str(target), _nodes(reduced), _nodes(model), part.rel_l2, limit_rel_l2)


def _polygraphy() -> str:
    """Path of its command, which lies with those of this Python."""
    try:
        import onnx_graphsurgeon  # type: ignore[import-untyped]  # noqa: F401  cuts the model
        import polygraphy  # noqa: F401
    except ImportError as error:
        raise MissingRequirement("polygraphy and onnx-graphsurgeon", 'pip install "edgekit[compress]"') from error
    return str(Path(sysconfig.get_path("scripts")) / "polygraphy")


def _write_order(folder: Path, backend: Backend, model: Path, feeds: Mapping[str, Array], limit: float) -> None:
    """What the check needs to know of the whole model."""
    write_arrays(folder / "feeds.npz", feeds)
    order = {"config": backend.config.model_dump(mode="json"), "model": str(model.resolve()), "limit": limit}
    (folder / "order.json").write_text(json.dumps(order))


def _reduced(tool: str, mode: str, start: Path, feeds: Mapping[str, Array], folder: Path) -> Path:
    """``start``, whose inputs are ``feeds``, as far as a mode of Polygraphy's reduces it."""
    from polygraphy.json import save_json

    save_json([dict(feeds)], str(folder / "inputs.json"))  # branches that are cut off become constants
    reduced = folder / f"{mode}.onnx"
    check = [sys.executable, "-m", "edgekit.verification.reduce", str(folder / "order.json"), _PART]
    command = [tool, "debug", "reduce", str(start.resolve()), "--output", str(reduced), "--iter-artifact", _PART]
    command += ["--load-inputs", str(folder / "inputs.json"), "--mode", mode]
    command += ["--fail-code", str(_DEPARTS), "--check", *check]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode or not reduced.is_file():
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise CheckFailed(f"polygraphy debug reduce ended with {done.returncode}: {' '.join(last)}")
    return reduced


def _environment() -> dict[str, str]:
    """The search path of this process for the children: whoever imported edgekit from a folder goes on doing so."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _run(backend: Backend, model: Path, part: Path, feeds: Mapping[str, Array], folder: Path) -> Part:
    """A part's engine against the part as it is written, on what the whole model feeds it."""
    import onnx

    made = onnx.load(part)
    weights = {tensor.name for tensor in made.graph.initializer}
    names = [value.name for value in made.graph.input if value.name not in weights]
    inner = [name for name in names if name not in feeds]
    inputs = {name: feeds[name] for name in names if name in feeds} | reference(onnx.load(model), feeds, inner)
    outputs = [value.name for value in made.graph.output]
    expected = reference(made, inputs, outputs)
    engine = folder / f"part{backend.suffix}"
    backend.build(part, engine)
    with backend.engine(engine) as opened:
        found = opened.infer(inputs)
    floats = [name for name in outputs if expected[name].dtype.kind == "f"]
    error = max((relative_l2(found[name], expected[name]) for name in floats), default=0.0)
    return Part(inputs, expected, found, error)


def _nodes(model: Path) -> int:
    import onnx

    return len(onnx.load(model, load_external_data=False).graph.node)


def main(order: Path, part: Path) -> int:
    """The check: :data:`_DEPARTS` for a part whose engine departs, 0 for one that does not or cannot be built."""
    said: dict[str, Any] = json.loads(order.read_text())
    backend = engines.backend(engines.target_of(said["config"]))
    feeds = read_arrays(order.with_name("feeds.npz"))
    try:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            error = _run(backend, Path(said["model"]), part, feeds, Path(folder)).rel_l2
    except EdgekitError as problem:
        print(problem, file=sys.stderr)
        return 0
    print(f"relative L2 {error:.3g}, limit {said['limit']:g}")
    return _DEPARTS if error > said["limit"] else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
