"""The calling thread's own switch: inside a block, on no other thread, and nowhere after it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgekit.runtime import denormals
from edgekit.runtime.denormals import flushed

SMALL = np.full(8, 1e-40, np.float32)
pytestmark = pytest.mark.skipif(not denormals.works(), reason="no switch for this processor or system")


def sum_of(values: np.ndarray) -> float:
    """Adds in float32 on the calling thread: 0 when denormals are flushed."""
    return float((values * np.float32(1)).sum())


def test_only_inside_the_block() -> None:
    assert sum_of(SMALL) > 0
    with flushed():
        assert sum_of(SMALL) == 0
        assert np.float32(1e-30) * np.float32(1e-10) == 0  # neither is a denormal, the product is
        assert sum_of(np.ones(4, np.float32)) == 4
    assert sum_of(SMALL) > 0


def test_blocks_nest_and_end_with_an_error() -> None:
    with flushed():
        with flushed():
            pass
        assert sum_of(SMALL) == 0
    with pytest.raises(ZeroDivisionError), flushed():
        raise ZeroDivisionError
    assert sum_of(SMALL) > 0


def test_each_thread_has_its_own() -> None:
    found: list[float] = []

    def look() -> None:
        found.append(sum_of(SMALL))
        with flushed():
            found.append(sum_of(SMALL))

    here = threading.Event()
    other = threading.Thread(target=lambda: (here.wait(), look()))
    other.start()
    with flushed():
        here.set()
        other.join()
    # Linux gives a new thread the register of the one that makes it: this one was made outside the block.
    assert found == [sum_of(SMALL), 0]


def test_half_precision_keeps_its_small_numbers() -> None:
    with flushed():
        assert float((np.full(4, 6e-8, np.float16) * np.float16(1)).sum()) > 0


def test_rounding_and_the_rest_of_the_register_stay() -> None:
    before = np.float32(1) / np.float32(3), np.geterr()
    with flushed():
        inside = np.float32(1) / np.float32(3), np.geterr()
    assert inside == before
    with np.errstate(divide="raise"), flushed(), pytest.raises(FloatingPointError):
        np.float32(1) / np.float32(0)
