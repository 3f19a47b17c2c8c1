"""Waiting for other processes and threads: until something holds, and never for a time that is hoped to suffice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

PATIENCE_S = 120.0
"""Of a wait that ends at once on an idle machine; only a test that fails waits so long."""


def until(holds: Callable[[], object], what: str = "it") -> None:
    """Wait until ``holds()`` is true; after two minutes the test fails."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come to hold in {PATIENCE_S:g} s")
        time.sleep(0.01)
