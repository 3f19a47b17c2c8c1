"""A board that has TensorRT and no edgekit: ``trtexec`` builds, measures and runs there."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgekit import devices
from edgekit.core.artifacts import sha256_file, write_bytes, write_json
from edgekit.core.errors import EnvironmentFault
from edgekit.core.progress import Progress
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import EngineConfig
from edgekit.engine.trt import Config, builder, guard
from edgekit.remote import trtexec, trtexec_log
from edgekit.remote.builder import MODEL
from edgekit.remote.by_edgekit import ended
from edgekit.remote.ssh import Folder, Host

ENGINE = "model.engine"
CACHE = f"{ENGINE}.cache"
FILES = trtexec.Files(MODEL, ENGINE, CACHE, f"{ENGINE}.layers.json", f"{ENGINE}.profile.json")
LOG, SUMMARY = f"{ENGINE}.log", f"{ENGINE}.summary.json"


class ByTrtexec:
    """Builds with ``trtexec`` on the board."""

    name = "trtexec"

    def __init__(self, host: Host, tool: trtexec.Tool, driver: str | None, cuda: str | None) -> None:
        self._host = host
        self._tool = tool
        self._driver = driver
        self._cuda = cuda
        self._facts: dict[str, str] = {}

    def fingerprint(self, config: EngineConfig) -> dict[str, Any]:
        """TensorRT's version and the GPU, as ``trtexec`` names them before it does anything."""
        if not self._facts:
            with self._host.folder() as folder:
                # It prints the device, then finds no such engine.
                log, _, lines = self._run(folder, [f"--loadEngine={ENGINE}"])
            if "compute_capability" not in log.facts:
                problem = log.errors[0] if log.errors else next(iter(lines), "it printed nothing")
                raise EnvironmentFault(f"{self._host.name}: trtexec finds no GPU there: {problem}")
            self._facts = dict(log.facts)
        self._refuse(cast(Config, config))
        return {
            "engine": "trt",
            "flavour": "tensorrt",
            "tensorrt": self._tool.version_text,
            "compute_capability": self._facts["compute_capability"],
        }

    def _refuse(self, config: Config) -> None:
        if config.device is not None:
            device = devices.get(config.device)
            reason = device.version_objection(self._tool.version_text, dla=config.dla_core is not None)
            if reason:
                raise EnvironmentFault(f"{self._host.name}: {reason}")
        wanted, there = config.wanted_capability, self._facts["compute_capability"]
        if wanted not in (None, there):
            raise EnvironmentFault(
                f"{self._host.name}: its GPU, {self._facts.get('device')}, has compute capability {there}, and the "
                f"target {config.device or 'names'} {wanted}; name the board's device in the target, or another host"
            )

    def build(self, folder: Folder, source: Path, made: Path, config: EngineConfig, progress: Progress) -> None:
        """See :class:`edgekit.remote.builder.Way`."""
        target = cast(Config, config)
        words = trtexec.build_arguments(self._tool, target, trtexec.types_of(source), FILES)
        steps = len(trtexec_log.STEPS)
        with progress.track(f"build on {self._host.name}", steps) as advance:
            log, code, lines = self._run(folder, words, advance)
        write_bytes(made / LOG, ("\n".join(lines) + "\n").encode())
        self._refuse_failed(log, code, lines, source)
        write_json(made / SUMMARY, trtexec_log.summary(log) | {"command": [self._tool.path, *words]})
        self._facts = dict(log.facts)

    def caches(self, config: EngineConfig) -> dict[str, Path]:
        """See :class:`edgekit.remote.builder.Way`."""
        given = cast(Config, config).timing_cache
        return {} if given is None else {CACHE: builder.cache_path(given, self._machine())}

    def _machine(self) -> guard.Machine:
        facts = self._facts
        version, capability = self._tool.version_text, facts["compute_capability"]
        return guard.Machine("tensorrt", version, self._cuda, capability, facts.get("device"), self._driver)

    def finish(self, source: Path, engine: Path, config: EngineConfig) -> None:
        """Write the facts that guard the engine."""
        target = cast(Config, config)
        cache = engine.with_name(engine.name + CACHE.removeprefix(ENGINE))
        machine = self._machine()
        facts = guard.Facts(
            engine_sha256=sha256_file(engine),
            onnx_sha256=sha256_file(source),
            flavour=machine.flavour,
            tensorrt=machine.tensorrt,
            compute_capability=self._facts["compute_capability"],
            cuda=machine.cuda,
            device=machine.device,
            driver=machine.driver,
            options=target.model_dump(mode="json", exclude=set(builder.RUNTIME_KEYS))
            | {"compute_capability": self._facts["compute_capability"]},
            timing_cache_sha256=sha256_file(cache) if cache.exists() else None,
        )
        guard.write(engine, facts)

    def run(
        self, folder: Folder, feeds: Arrays, outputs: Sequence[TensorSpec], config: EngineConfig
    ) -> dict[str, Array]:
        """See :class:`edgekit.remote.builder.Way`."""
        target = cast(Config, config)
        with tempfile.TemporaryDirectory() as scratch:
            files = {}
            for name, array in feeds.items():
                files[name] = f"input-{hashlib.sha256(name.encode()).hexdigest()[:12]}.raw"
                (Path(scratch) / files[name]).write_bytes(np.ascontiguousarray(array).tobytes())
                folder.put(Path(scratch) / files[name], files[name])
            shapes = trtexec.shape_words({n: a.shape for n, a in feeds.items()}) if target.profiles else []
            words = trtexec.run_arguments(self._tool, target, ENGINE, files, shapes)
            log, code, lines = self._run(folder, words)
            self._refuse_failed(log, code, lines, Path(ENGINE))
            return {spec.name: self._dumped(folder, log, spec, Path(scratch)) for spec in outputs}

    def race(self, engines: Mapping[str, Path], feeds: Arrays, config: EngineConfig) -> dict[str, list[float]]:
        """See :class:`edgekit.remote.builder.Way`: the medians of the builds' own measurements; no query runs now."""
        found = {}
        for name, path in engines.items():
            written = path.with_name(path.name + SUMMARY.removeprefix(ENGINE))
            median = json.loads(written.read_text(encoding="utf-8"))["times_ms"].get("latency", {}).get("median")
            if median is None:  # an engine without weights was not run
                return {}
            found[name] = [float(median)]
        return found

    def _refuse_failed(self, log: trtexec_log.Log, code: int, lines: Sequence[str], source: Path) -> None:
        if log.verdict == "FAILED":
            raise trtexec_log.failure(log, self._host.name, source)
        if code != 0 or log.verdict != "PASSED":
            raise ended(self._host.name, code, lines)

    def _dumped(self, folder: Folder, log: trtexec_log.Log, spec: TensorSpec, scratch: Path) -> Array:
        dump = next((d for d in log.dumps if d.kind == "output" and d.name == spec.name), None)
        if dump is None:
            given = ", ".join(d.name for d in log.dumps if d.kind == "output") or "none"
            raise EnvironmentFault(f"{self._host.name}: trtexec wrote no output {spec.name!r}; outputs: {given}")
        target = scratch / "output.raw"
        folder.get(dump.file, target)
        values: Array = np.fromfile(target, dtype=spec.dtype)
        if values.size != int(np.prod(dump.shape)):
            raise EnvironmentFault(
                f"{self._host.name}: output {spec.name!r} came with {values.size} values of {spec.dtype}; "
                f"trtexec said {dump.dtype} {list(dump.shape)}"
            )
        return values.reshape(dump.shape)

    def _run(self, folder: Folder, words: Sequence[str], advance: Any = None) -> tuple[trtexec_log.Log, int, list[str]]:
        log, lines = trtexec_log.Log(), list[str]()

        def take(line: str) -> None:
            lines.append(line)
            if log.read(line) and advance is not None:
                advance()

        code = folder.run((self._tool.path, *words), take)
        return log, code, lines
