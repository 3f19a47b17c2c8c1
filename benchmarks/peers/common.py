"""What every process of the benchmark shares: one thread everywhere, calibration frames, memory, versions."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.tensors import Arrays

REPO = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent
WORK = PEERS / ".work"
RESULTS = REPO / "benchmarks" / "results" / "peers.json"
PAGE = REPO / "docs" / "benchmarks" / "peers.md"
THREADS = 1

# For the math libraries that read their number of threads once, at import.
ENVIRONMENT = {
    **{f"{library}_NUM_THREADS": str(THREADS) for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}


class Frames:
    """Calibration frames on disk, one ``.npz`` of model inputs each: sized, and each pass starts from the first."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.npz"))
        if not self.paths:
            raise SystemExit(f"{folder}: holds no calibration frame (*.npz)")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with np.load(self.paths[index]) as stored:
            return dict(stored)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    @staticmethod
    def write(folder: Path, feeds: Iterable[Arrays]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for index, feed in enumerate(feeds):
            np.savez(folder / f"{index:04d}.npz", allow_pickle=False, **dict(feed))


def use_one_cpu(cpu: int | None) -> None:
    """Pin this process, and give every ONNX Runtime session of every library in it one thread.

    The peers open their own sessions, most without asking for a number of threads: the default
    would be one thread per core of the machine, whatever the process is pinned to.
    """
    import onnxruntime

    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    session = onnxruntime.InferenceSession
    original = session.__init__

    def with_one_thread(self: Any, path_or_bytes: Any, sess_options: Any = None, *args: Any, **keywords: Any) -> None:
        options = sess_options if sess_options is not None else onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        original(self, path_or_bytes, options, *args, **keywords)

    session.__init__ = with_one_thread


def memory_mib(field: str) -> float:
    """``VmRSS`` (resident now) or ``VmHWM`` (its peak) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {field}; memory is measured on Linux only")


def forget_peak() -> float:
    """Give freed memory back to the system, restart ``VmHWM``; returns what is resident, in MiB."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mib("VmRSS")


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """Installed versions; edgekit's carries a hash of its quantization sources, which change between releases."""
    found = {name: metadata.version(name) for name in distributions}
    if "edgekit" in found:
        found["edgekit"] += f"+{sources_digest(REPO / 'src' / 'edgekit' / 'quantize')}"
    return found


def sources_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def size_bytes(path: Path) -> int:
    """Of a model file, with the ``.bin`` beside an OpenVINO ``.xml``."""
    return sum(file.stat().st_size for file in (path, path.with_suffix(".bin")) if file.exists())
