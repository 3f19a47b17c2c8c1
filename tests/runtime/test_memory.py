"""Frames that come and go take no new pages from the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FRAMES = """
import resource, sys
import numpy as np
from edgekit.runtime.memory import keep_freed
if sys.argv[1] == "keep":
    assert keep_freed()
def frame():
    return np.ones(2_764_800, np.uint8)
frame(), frame()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    both = frame(), frame()
    del both
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_pages_are_used_again():
    faults = {}
    for how in ("keep", "default"):
        found = subprocess.run([sys.executable, "-c", FRAMES, how], capture_output=True, text=True, check=True)
        faults[how] = int(found.stdout)
    assert faults["keep"] < 1500  # two frames have 1,350 pages, touched once
    assert faults["keep"] < faults["default"] / 5
