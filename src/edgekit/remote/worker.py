"""The board's half of a remote build with its own edgekit: ``python -m edgekit.remote.worker`` in the build's folder.

Reads one JSON request from stdin and prints one line ``edgekit: {...}`` with the answer or the error; other lines
are the runtime's own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import engine as engines
from edgekit.core.artifacts import write_bytes, write_json
from edgekit.core.errors import EdgekitError, InputError, MissingRequirement
from edgekit.core.golden import read_arrays, write_arrays
from edgekit.core.tensors import TensorSpec
from edgekit.engine import Backend, layers_path, opened_in_turn
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
    backend = _backend(request)
    backend.require()
    return {"edgekit": version(), "fingerprint": backend.fingerprint()}


def _build(request: dict[str, Any]) -> Any:
    """Build ``source``; what the layers cost goes into a file beside the engine."""
    backend, engine = _backend(request), Path(request["engine"])
    backend.build(Path(request["source"]), engine)
    try:
        with backend.engine(engine) as opened:
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
    with _backend(request).engine(Path(request["engine"])) as opened:
        results = opened.infer(read_arrays(Path(request["feeds"])))
    write_arrays(Path(request["results"]), results)
    return {}


def _time(request: dict[str, Any]) -> Any:
    """The engines in turn, opened anew ``loads`` times: milliseconds of every query by name."""
    backend = _backend(request)
    openers = {name: partial(backend.engine, Path(file)) for name, file in request["engines"].items()}
    counts = (request["loads"], request["each"], request["settling"])
    feeds = read_arrays(Path(request["feeds"]))
    return {"times_ms": opened_in_turn(openers, dict.fromkeys(openers, feeds), *counts)}


def _backend(request: dict[str, Any]) -> Backend:
    return engines.backend(engines.target_of(request["config"]))


def _noise(spec: TensorSpec) -> np.ndarray[Any, Any]:
    shape = tuple(size or 1 for size in spec.shape)
    return np.random.default_rng(0).random(shape).astype(spec.dtype)


_DOES = {"facts": _facts, "build": _build, "run": _run, "time": _time}

if __name__ == "__main__":
    main()
