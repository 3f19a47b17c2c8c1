"""Memory of an engine, read in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import plugins
from edgekit.core.errors import CheckFailed, InputError
from edgekit.core.tensors import Arrays


def measure_memory(
    backend: str, engine: Path, config: Mapping[str, Any], feeds: Arrays, queries: int = 20
) -> dict[str, float]:
    """Memory in MiB of a fresh process that opens one engine and runs ``queries`` queries.

    Returns ``peak_rss`` (of the whole process), ``imports`` (resident before the
    engine was opened) and ``engine`` (the difference).

    Raises:
        CheckFailed: the child process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "feeds.npz"
        np.savez(arrays, allow_pickle=False, **dict(feeds))
        order = {
            "backend": backend,
            "engine": str(engine),
            "config": dict(config),
            "feeds": str(arrays),
            "queries": queries,
        }
        child = subprocess.run(
            [sys.executable, "-c", "from edgekit.profiling.memory import _child; _child()"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailed(f"the process that measures memory of {engine.name} ended with {child.returncode}: {last}")
    result: dict[str, float] = json.loads(child.stdout)
    return result


def _child() -> None:
    order = json.load(sys.stdin)
    module = plugins.load("engine", order["backend"])
    config = module.Config.model_validate(order["config"])
    with np.load(order["feeds"]) as stored:
        feeds = dict(stored)
    module.fingerprint(config)  # imports the runtime, so that its code is not counted as the engine's
    before = _resident_mib("VmRSS")
    with module.open(Path(order["engine"]), config) as engine:
        for _ in range(order["queries"]):
            engine.infer(feeds)
    # VmHWM, not ru_maxrss: the latter starts at the parent's size when a process is forked.
    peak = _resident_mib("VmHWM")
    json.dump({"peak_rss": peak, "imports": before, "engine": peak - before}, sys.stdout)


def _resident_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise InputError(f"/proc/self/status has no {field}; memory is measured on Linux only")
