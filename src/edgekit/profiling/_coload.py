"""Co-load: keeps the other cores busy while an engine is timed, as a vehicle's other software does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from edgekit.core.errors import CheckFailed, EnvironmentFault, InputError

# Arithmetic (a hash) and memory traffic (a copy larger than most caches), until standard input closes: that happens
# when the parent ends, however it ends.
_WORK = """
import hashlib, os, sys, threading
os.sched_setaffinity(0, {int(sys.argv[1])})
def watch():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
here, there = bytearray(16 << 20), bytearray(16 << 20)
print("busy", flush=True)
while True:
    there[:] = here
    hashlib.sha256(memoryview(here)[:1 << 18]).digest()
"""


@contextlib.contextmanager
def co_load(free: int = 1) -> Iterator[tuple[int, ...]]:
    """Keep all cores of this process but ``free`` busy, one child process pinned to each; yields these cores.

    The children are running when the block begins and are killed when it ends; they end with this process too.

    Args:
        free: cores left to the engine, usually its threads.

    Raises:
        InputError: ``free`` is less than 1.
        EnvironmentFault: no other core is there to load.
        CheckFailed: a child ended early, so that the load was not what is said.
    """
    if free < 1:
        raise InputError(f"co-load leaves {free} cores free; the engine needs at least 1")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) <= free:
        raise EnvironmentFault(
            f"co-load needs a core besides the engine's {free}, and this process may use {len(cores)}; "
            "run on a machine with more cores, allow more with taskset, or leave co-load out"
        )
    busy = tuple(cores[free:])
    with contextlib.ExitStack() as stack:
        children = {core: stack.enter_context(_child(core)) for core in busy}
        for core, child in children.items():
            assert child.stdout is not None
            if child.stdout.readline() != b"busy\n":
                raise CheckFailed(f"co-load: the process for core {core} did not start")
        yield busy
        for core, child in children.items():
            if child.poll() is not None:
                raise CheckFailed(
                    f"co-load: the process for core {core} ended with {child.returncode} before the measurement did; "
                    "measure again"
                )


@contextlib.contextmanager
def _child(core: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WORK, str(core)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            yield child
        finally:
            child.kill()
