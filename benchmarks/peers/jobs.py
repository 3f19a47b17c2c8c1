"""Child processes, one a measurement, and the results of finished ones under ``.work/``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.common import ENVIRONMENT, REPO, WORK, versions
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.models import MODELS

from edgekit.core.artifacts import sha256_file, sha256_of, write_json

TIMEOUT_S = 1800


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    models: tuple[str, ...]
    contenders: dict[str, Contender]
    frames: int
    queries: int
    warmup: int
    camvid: Path
    cpu: int | None
    fresh: bool = False
    processor_time: bool = False

    def for_model(self, model: str) -> list[str]:
        return [name for name, one in self.contenders.items() if one.models is None or model in one.models]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def child(task: str, order: dict[str, Any], log: Path) -> dict[str, Any]:
    """Run a task of :mod:`benchmarks.peers.worker`: its result with ``status`` ok, or ``failed`` with the message."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        result = Path(folder) / "result.json"
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.peers.worker", task],
                input=json.dumps({**order, "result": str(result)}),
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPO,
                env={**os.environ, **ENVIRONMENT},
                timeout=TIMEOUT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return {"status": "failed", "error": f"took longer than {TIMEOUT_S} s"}
        if ended == 0:
            return {"status": "ok", **json.loads(result.read_text())}
    return {"status": "failed", "error": _last_words(log, ended)}


def _last_words(log: Path, code: int) -> str:
    if code < 0:
        return f"the process was killed by signal {-code}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"the process ended with {code}"


def cached(path: Path, key: str, fresh: bool, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The finished result in ``path`` when it was made for ``key``; failures are tried again."""
    if path.exists() and not fresh:
        stored: dict[str, Any] = json.loads(path.read_text())
        if stored["key"] == key and stored["status"] == "ok":
            return stored
    made = {"key": key, **make()}
    write_json(path, made)
    return made


def prepared(plan: Plan, model: str) -> Path:
    """Folder of a model with its FP32 file and calibration frames."""
    folder = WORK / model / MODELS[model].digest()
    order = {"model": model, "camvid": str(plan.camvid), "frames": plan.frames, "folder": str(folder), "cpu": plan.cpu}
    key = sha256_of([plan.frames, versions(["torch", "onnx", "onnxscript"])])[:12]
    made = cached(folder / f"prepare-{plan.frames}.json", key, False, lambda: child("prepare", order, folder / "log"))
    if made["status"] != "ok":
        raise SystemExit(f"{model}: cannot be exported: {made['error']} (see {folder / 'log'})")
    return folder


def quantized(plan: Plan, model: str, folder: Path, name: str) -> dict[str, Any]:
    """Quantize with one contender; the result says where its file is (``target``)."""
    contender = CONTENDERS[name]
    source = folder / "fp32.onnx"
    key = sha256_of([sha256_file(source), plan.frames, contender.digest(), versions(contender.packages)])[:12]
    home = folder / f"{name}-{plan.frames}"
    target = home / f"model{contender.suffix}"
    order = {
        "model": model,
        "contender": name,
        "source": str(source),
        "calibration": str(folder / f"frames-{plan.frames}"),
        "target": str(target),
        "camvid": str(plan.camvid),
        "cpu": plan.cpu,
    }

    def make() -> dict[str, Any]:
        start = time.monotonic()
        home.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        made = child("quantize", order, home / "quantize.log")
        done = f"{time.monotonic() - start:.0f} s" if made["status"] == "ok" else f"FAILED: {made['error']}"
        say(f"{model}: {name}: quantized, {done}")
        return {**made, "target": str(target)}

    return cached(home / "quantize.json", key, plan.fresh, make)


def scored(plan: Plan, model: str, folder: Path, name: str, cpu: int | None) -> dict[str, Any]:
    """Accuracy of a quantized file; not a timing, so others may run beside it."""
    home = folder / f"{name}-{plan.frames}"
    target = home / f"model{CONTENDERS[name].suffix}"
    order = {
        "model": model,
        "contender": name,
        "source": str(folder / "fp32.onnx"),
        "target": str(target),
        "camvid": str(plan.camvid),
        "cpu": cpu,
    }
    key = sha256_of([sha256_file(target), MODELS[model].limits, versions(CONTENDERS[name].packages)])[:12]

    def make() -> dict[str, Any]:
        made = child("accuracy", order, home / "accuracy.log")
        say(f"{model}: {name}: accuracy {'measured' if made['status'] == 'ok' else 'FAILED: ' + made['error']}")
        return made

    return cached(home / "accuracy.json", key, plan.fresh, make)


def timed(plan: Plan, model: str, folder: Path, targets: dict[str, str]) -> dict[str, Any]:
    """Latency of all contenders of a model, in one process."""
    order = {
        "targets": targets,
        "calibration": str(folder / f"frames-{plan.frames}"),
        "queries": plan.queries,
        "warmup": plan.warmup,
        "processor_time": plan.processor_time,
        "cpu": plan.cpu,
    }
    files = {name: sha256_file(Path(path)) for name, path in targets.items()}
    timing = [plan.queries, plan.warmup, plan.processor_time]
    key = sha256_of([files, timing, versions(["onnxruntime", "openvino"])])[:12]
    say(f"{model}: latency of {len(targets)} contenders in turn, {plan.queries} queries each")
    return cached(
        folder / f"latency-{plan.frames}.json",
        key,
        plan.fresh,
        lambda: child("latency", order, folder / "latency.log"),
    )
