"""Memory of large tensors between steps: in a process of its own, whose main thread has the C library's main heap."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.runtime import memory
from tests.support.tiny_training import run, squared

ROOT = Path(__file__).resolve().parents[2]
FLOATS = 1 << 24
"""64 MiB: more than the C library keeps by itself."""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or memory._gnu() is None, reason="another C library than GNU's"
)


def faults(floats: int = FLOATS) -> int:
    """Pages that the system gives while a large tensor is made and freed ten times, as it was before."""
    for _ in range(10):
        torch.ones(floats)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(floats)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def measured() -> dict[str, int]:
    """Pages inside and after, where nothing is asked for, and the most of a training's losses."""
    with memory.kept(True):
        found = {"inside": faults()}
    # Larger: what was freed inside may lie between smaller blocks, and is used again for as much.
    found["after"] = faults(4 * FLOATS)
    with memory.kept(False):
        found["unasked"] = faults(4 * FLOATS)
    seen: list[int] = []

    def loss(outputs: Any, batch: Any) -> Any:
        seen.append(faults())
        return squared(outputs, batch)

    run(loss=loss, steps=1)
    return found | {"training": max(seen)}


def test_it_is_kept_inside_and_in_training_only() -> None:
    code = "import json; from tests.training.test_memory import measured; print(json.dumps(measured()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert max(found["inside"], found["training"]) < 1000 < 100_000 < min(found["after"], found["unasked"]), found
