"""The board's half of a remote build with its own edgekit: ``python -m edgekit.remote.worker`` in the build's folder.

Reads one JSON request from stdin and prints one line ``edgekit: {...}`` with the answer or the error; other lines
are the runtime's own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import plugins
from edgekit.core.artifacts import write_bytes, write_json
from edgekit.core.errors import EdgekitError, InputError, MissingRequirement
from edgekit.core.golden import read_arrays, write_arrays
from edgekit.core.tensors import TensorSpec
from edgekit.engine import Engine, layers_path, opened_in_turn
from edgekit.remote.builder import version

MARK = "edgekit: "
QUERIES = 20


def main() -> None:
    """Answer the request on stdin; exit code 0, or that of the error."""
    request = json.loads(sys.stdin.read())
    try:
        answer = _DOES[request["do"]](request)
    except EdgekitError as error:
        print(MARK + json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
        sys.exit(error.exit_code)
    print(MARK + json.dumps({"answer": answer}), flush=True)


def _facts(request: dict[str, Any]) -> Any:
    """Whether this machine can build, and what its engines depend on."""
    module, config = _target(request)
    module.require(config)
    return {"edgekit": version(), "fingerprint": module.fingerprint(config)}


def _build(request: dict[str, Any]) -> Any:
    """Build ``source``; what the layers cost goes into a file beside the engine."""
    module, config = _target(request)
    engine = Path(request["engine"])
    module.build(Path(request["source"]), engine, config)
    try:
        with module.open(engine, config) as opened:
            listed = opened.layer_list()
            if listed is not None:
                write_bytes(layers_path(engine), listed.encode())
            feeds = {spec.name: _noise(spec) for spec in opened.inputs}
            events = opened.profile_layers(feeds, QUERIES, Path(request["source"]))
    # This backend has no layer profile, or the machine builds for a device that it does not have.
    except (InputError, MissingRequirement) as error:
        return {"profile": str(error)}
    write_json(engine.with_name(f"{engine.name}.profile.json"), [asdict(event) for event in events])
    return {"profile": None}


def _run(request: dict[str, Any]) -> Any:
    """One query: arrays from ``feeds``, results into ``results``."""
    module, config = _target(request)
    feeds = read_arrays(Path(request["feeds"]))
    opened: Engine
    with module.open(Path(request["engine"]), config) as opened:
        results = opened.infer(feeds)
    write_arrays(Path(request["results"]), results)
    return {}


def _time(request: dict[str, Any]) -> Any:
    """The engines in turn, opened anew ``loads`` times: milliseconds of every query by name."""
    module, config = _target(request)
    files = request["engines"].items()
    openers = {name: lambda file=file: module.open(Path(file), config) for name, file in files}
    counts = (request["loads"], request["each"], request["settling"])
    return {"times_ms": opened_in_turn(openers, read_arrays(Path(request["feeds"])), *counts)}


def _target(request: dict[str, Any]) -> tuple[Any, Any]:
    module = plugins.load("engine", request["config"]["engine"])
    return module, module.Config.model_validate(request["config"])


def _noise(spec: TensorSpec) -> np.ndarray[Any, Any]:
    shape = tuple(size or 1 for size in spec.shape)
    return np.random.default_rng(0).random(shape).astype(spec.dtype)


_DOES = {"facts": _facts, "build": _build, "run": _run, "time": _time}

if __name__ == "__main__":
    main()
