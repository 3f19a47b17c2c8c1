"""A job in a process of its own that loads one engine and nothing else."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit import engine as engines
from edgekit.core.errors import CheckFailed, InputError
from edgekit.core.golden import read_arrays, write_arrays
from edgekit.core.tensors import Arrays

_CODE = "from edgekit.profiling._child import main; main()"


def run_alone(job: str, engine: Path, config: Mapping[str, Any], feeds: Arrays, arguments: Mapping[str, int]) -> Any:
    """What ``edgekit.profiling.<job>.observe(backend, engine, feeds, **arguments)`` returns in a fresh process.

    Args:
        job: the module that has ``observe``; its result must be JSON.
        engine: the engine's file.
        config: the target as plain data; ``observe`` gets its backend, with the runtime already imported.
        feeds: one set of inputs.
        arguments: more of ``observe``'s.

    Raises:
        CheckFailed: the process died; the message ends with its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        arrays, answer = Path(folder) / "feeds.npz", Path(folder) / "answer.json"
        write_arrays(arrays, feeds)
        order = {
            "job": job,
            "engine": str(engine),
            "config": dict(config),
            "feeds": str(arrays),
            "answer": str(answer),
            "arguments": dict(arguments),
        }
        child = subprocess.run(
            [sys.executable, "-c", _CODE], input=json.dumps(order), capture_output=True, text=True, check=False
        )
        if child.returncode != 0:
            last = (child.stderr.strip().splitlines() or ["no message"])[-1]
            raise CheckFailed(f"the process that measures {job} of {engine.name} ended with {child.returncode}: {last}")
        return json.loads(answer.read_text())


def main() -> None:
    """The child: reads its order from stdin, writes the answer into a file (a runtime may print)."""
    order = json.load(sys.stdin)
    observe = importlib.import_module(f"edgekit.profiling.{order['job']}").observe
    backend = engines.backend(engines.target_of(order["config"]))
    feeds = read_arrays(Path(order["feeds"]))
    backend.fingerprint()  # imports the runtime, so that its code is not counted as the engine's
    answer = observe(backend, Path(order["engine"]), feeds, **order["arguments"])
    Path(order["answer"]).write_text(json.dumps(answer))


def status_mib(field: str) -> float:
    """A field of ``/proc/self/status`` (``VmRSS``, ``VmHWM``) in MiB."""
    return _kib("status", field) / 1024


def pss_kib() -> int:
    """Proportional set size of this process in KiB: pages that other processes have too count by their share.

    It moves when such a process starts or ends.
    """
    return _kib("smaps_rollup", "Pss")


def own_kib() -> int:
    """Resident and swapped memory of this process in KiB, whatever other processes do.

    From ``smaps_rollup``, which walks the page tables: ``VmRSS`` of ``status`` is off by up to 64 pages a CPU.
    """
    return _kib("smaps_rollup", "Rss") + _kib("smaps_rollup", "Swap")


def _kib(file: str, field: str) -> int:
    try:
        lines = Path(f"/proc/self/{file}").read_text().splitlines()
    except OSError as error:
        raise InputError(f"/proc/self/{file}: {error.strerror}; memory is measured on Linux 4.14 or newer") from error
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise InputError(f"/proc/self/{file} has no {field}; memory is measured on Linux only")
