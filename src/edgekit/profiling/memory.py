"""Memory of an engine, read in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.core.tensors import Arrays
from edgekit.engine import Backend
from edgekit.profiling._child import pss_kib, run_alone, status_mib

# proc_pid_clear_refs(5): sets the peak of the resident size back to what is resident now.
_RESET_PEAK = "5"


def measure_memory(engine: Path, config: Mapping[str, Any], feeds: Arrays, queries: int = 20) -> dict[str, float]:
    """Memory in MiB of a fresh process that opens one engine and runs ``queries`` queries.

    Returns

    - ``peak_rss``: highest resident size of the whole process;
    - ``imports``: resident before the engine was opened (Python, NumPy, the runtime);
    - ``engine``: ``peak_rss`` less ``imports``;
    - ``opened``: what stays of opening the engine: weights, copies of them in the kernels' layout, the graph;
    - ``activations``: highest growth above that while queries ran: activations, scratch memory, outputs;
    - ``pss``: highest proportional size (shared pages count by their share) after opening and after each query;
    - ``arena``: what the runtime's allocator took from the system for activations, and weights that it copies, in an
      equal session afterwards; it grows in powers of two, so part of it may never be touched (ONNX Runtime only);
    - ``device_arena``: likewise of the accelerator;
    - ``device``: highest memory of the accelerator likewise, only for an engine that reports it.

    On a board with unified memory (Jetson) ``device`` is part of the same memory and not within ``peak_rss``.
    ``activations`` is missing where the kernel does not let a process reset its peak.

    Raises:
        CheckFailed: the child process died.
    """
    result: dict[str, float] = run_alone("memory", engine, config, feeds, {"queries": queries})
    return result


def observe(backend: Backend, path: Path, feeds: Arrays, queries: int) -> dict[str, float]:
    """The child's part of :func:`measure_memory`."""
    imports = status_mib("VmRSS")
    with backend.engine(path) as engine:
        # VmHWM, not ru_maxrss: the latter starts at the parent's size when a process is forked.
        opening, opened = status_mib("VmHWM"), status_mib("VmRSS")
        reset = _reset_peak()
        pss, device = [pss_kib() / 1024], [engine.device_memory_mib()]
        for _ in range(queries):
            engine.infer(feeds)
            pss.append(pss_kib() / 1024)
            device.append(engine.device_memory_mib())
        running = status_mib("VmHWM")
        arenas = engine.arena_mib(feeds)  # last: it opens another session
    peak = max(opening, running)
    found = {"peak_rss": peak, "imports": imports, "engine": peak - imports, "opened": opened - imports}
    found["pss"] = max(pss)
    if reset:
        found["activations"] = max(0.0, running - opened)
    if "cpu" in arenas:
        found["arena"] = arenas.pop("cpu")
    if arenas:
        found["device_arena"] = sum(arenas.values())
    known = [mib for mib in device if mib is not None]
    return found | ({"device": max(known)} if known else {})


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return False
    return True
