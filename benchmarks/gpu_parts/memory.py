"""Device memory, page-locked memory, streams, events and graphs of ``edgekit.engine.trt.cuda``."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from edgekit.core.errors import EnvironmentFault
from edgekit.engine.trt.cuda import Cuda

MIB = 1 << 20


class Broken(Exception):
    """What goes wrong while work is captured."""


def check(cuda: Cuda) -> dict[str, Any]:
    """Raise AssertionError unless everything that the TensorRT runner asks of CUDA is as its interface says."""
    stream = cuda.open_stream()
    try:
        for size in (1, 4097, 4 * MIB):
            _there_and_back(cuda, stream, size)
        figures = {"copy_in_gib_per_s": _bandwidth(cuda, stream, 64 * MIB)}
        _accounts(cuda, 64 * MIB)
        _replays(cuda, stream)
        _a_broken_capture(cuda, stream)
        _too_much(cuda)
        _there_and_back(cuda, stream, 4097)  # the device still works
    finally:
        cuda.close_stream(stream)
    _outlives(cuda)
    return figures


def _there_and_back(cuda: Cuda, stream: int, size: int) -> None:
    sent = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    source, target, address = cuda.pinned(size), cuda.pinned(size), cuda.allocate(size)
    source[:], target[:] = sent, ~sent
    cuda.copy_in(address, source, stream)
    cuda.copy_out(target, address, stream)
    cuda.wait(stream)
    assert np.array_equal(target, sent), f"{size} bytes came back changed"
    cuda.free(address)


def _bandwidth(cuda: Cuda, stream: int, size: int) -> float:
    source, address = cuda.pinned(size), cuda.allocate(size)
    first, last = cuda.open_event(), cuda.open_event()
    cuda.copy_in(address, source, stream)
    cuda.mark(first, stream)
    for _ in range(4):
        cuda.copy_in(address, source, stream)
    cuda.mark(last, stream)
    cuda.wait(stream)
    took_ms = cuda.elapsed_ms(first, last)
    assert took_ms > 0, f"four copies of {size} bytes took {took_ms} ms"
    for event in (first, last):
        cuda.close_event(event)
    cuda.free(address)
    return round(4 * size / 2**30 / (took_ms / 1e3), 2)


def _accounts(cuda: Cuda, size: int) -> None:
    before = cuda.free_bytes()
    address = cuda.allocate(size)
    held = before - cuda.free_bytes()
    cuda.free(address)
    assert held >= size, f"{size} bytes were taken and {held} are missing"
    assert before - cuda.free_bytes() < size, "what was freed is still missing"


def _replays(cuda: Cuda, stream: int) -> None:
    address, source, target = cuda.allocate(4), cuda.pinned(4), cuda.pinned(4)
    source[:], target[:] = 1, 0
    with cuda.capture(stream) as made:
        cuda.copy_in(address, source, stream)
        cuda.copy_out(target, address, stream)
    cuda.wait(stream)
    assert (target == 0).all(), "a captured copy ran while it was captured"
    for value in (3, 9, 27):
        source[:] = value
        cuda.launch(made[0], stream)
        cuda.wait(stream)
        assert (target == value).all(), f"the graph gave {target} for {value}"
    cuda.free_graph(made[0])
    cuda.free(address)


def _a_broken_capture(cuda: Cuda, stream: int) -> None:
    with contextlib.suppress(Broken), cuda.capture(stream):
        raise Broken
    _there_and_back(cuda, stream, 16)


def _too_much(cuda: Cuda) -> None:
    message = ""
    try:
        cuda.allocate(cuda.free_bytes() + (1 << 42))
    except EnvironmentFault as fault:
        message = str(fault)
    assert "MiB of device memory" in message, f"4 TiB of device memory: {message or 'they were given'}"


def _outlives(cuda: Cuda) -> None:
    view = cuda.pinned(1024)[100:200]
    view[:] = 7
    assert (view == 7).all(), "page-locked memory went while an array shows it"
