"""Memory of large tensors between steps."""

from __future__ import annotations

import resource
import sys
from typing import Any

import pytest
import torch

from edgekit.training import _memory
from tests.support.tiny_training import run, squared

FLOATS = 1 << 24
"""64 MiB: more than the C library keeps by itself."""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or _memory._gnu() is None, reason="another C library than GNU's"
)


def faults() -> int:
    """Pages that the system gives while a large tensor is made and freed ten times, as it was before."""
    for _ in range(10):
        torch.ones(FLOATS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(FLOATS)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_it_is_kept_inside_only() -> None:
    with _memory.kept(True):
        inside = faults()
    assert inside < 1000 < 100_000 < faults()


def test_elsewhere_nothing_changes() -> None:
    with _memory.kept(False):
        assert faults() > 100_000


def test_training_keeps_it() -> None:
    seen: list[int] = []

    def loss(outputs: Any, batch: Any) -> Any:
        seen.append(faults())
        return squared(outputs, batch)

    run(loss=loss, steps=1)
    assert max(seen) < 1000
