"""A board that has edgekit, without PyTorch: its own backend builds, checks and runs there."""

from __future__ import annotations

import glob
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.core import errors
from edgekit.core.errors import EdgekitError, EnvironmentFault
from edgekit.core.golden import read_arrays, write_arrays
from edgekit.core.progress import Progress
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import EngineConfig
from edgekit.remote.builder import MODEL, engine_name, timing_cache, without_host
from edgekit.remote.ssh import Folder, Host
from edgekit.remote.worker import MARK
from edgekit.stats import faster

_FEEDS, _RESULTS = "feeds.npz", "results.npz"


class ByEdgekit:
    """Builds through ``python -m edgekit.remote.worker`` on the board."""

    name = "edgekit"

    def __init__(self, host: Host, python: str) -> None:
        self._host = host
        self._python = python
        self._made: tuple[str, ...] = ()
        self._known: dict[str, dict[str, Any]] = {}

    def fingerprint(self, config: EngineConfig) -> dict[str, Any]:
        """That of the board's backend.

        Raises:
            MissingRequirement: the backend does not run there.
        """
        target = without_host(config)
        key = json.dumps(target, sort_keys=True)
        if key not in self._known:
            with self._host.folder() as folder:
                self._known[key] = self._ask(folder, {"do": "facts", "config": target})["fingerprint"]
        return dict(self._known[key])

    def build(self, folder: Folder, source: Path, made: Path, config: EngineConfig, progress: Progress) -> None:
        """See :class:`edgekit.remote.builder.Way`."""
        given = timing_cache(config)
        engine = engine_name(config)
        target = without_host(config, given.name if given else None)
        request = {"do": "build", "source": MODEL, "engine": engine, "config": target}
        with progress.track(f"build on {self._host.name}"):
            self._ask(folder, request)
        self._made = folder.names()

    def caches(self, config: EngineConfig) -> dict[str, Path]:
        """See :class:`edgekit.remote.builder.Way`: the board's backend names them after its library and device."""
        given = timing_cache(config)
        if given is None:
            return {}
        there = {
            n: given.with_name(n) for n in self._made if n.startswith(f"{given.stem}.") and n.endswith(given.suffix)
        }
        return there | {path.name: path for path in given.parent.glob(f"{glob.escape(given.stem)}.*{given.suffix}")}

    def finish(self, source: Path, engine: Path, config: EngineConfig) -> None:
        """Nothing: the board's edgekit wrote the facts beside the engine."""

    def run(
        self, folder: Folder, feeds: Arrays, outputs: Sequence[TensorSpec], config: EngineConfig
    ) -> dict[str, Array]:
        """See :class:`edgekit.remote.builder.Way`."""
        with tempfile.TemporaryDirectory() as scratch:
            back = Path(scratch) / _RESULTS
            self._send(folder, feeds)
            request = {"do": "run", "engine": engine_name(config), "feeds": _FEEDS, "results": _RESULTS}
            self._ask(folder, request | {"config": without_host(config)})
            folder.get(_RESULTS, back)
            return read_arrays(back)

    def race(self, engines: Mapping[str, Path], feeds: Arrays, config: EngineConfig) -> dict[str, list[float]]:
        """See :class:`edgekit.remote.builder.Way`: in turn."""
        with self._host.folder() as folder:
            for path in engines.values():
                for file in (path, path.with_name(f"{path.name}.json")):
                    if file.is_file():
                        folder.put(file, file.name)
            self._send(folder, feeds)
            request: dict[str, Any] = {"do": "time", "feeds": _FEEDS}
            request["engines"] = {name: path.name for name, path in engines.items()}
            request |= {"loads": faster.OPENINGS, "each": faster.EACH, "settling": faster.SETTLING}
            request["config"] = without_host(config)
            times: dict[str, list[float]] = self._ask(folder, request)["times_ms"]
            return times

    def _send(self, folder: Folder, feeds: Arrays) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            write_arrays(Path(scratch) / _FEEDS, feeds)
            folder.put(Path(scratch) / _FEEDS, _FEEDS)

    def _ask(self, folder: Folder, request: dict[str, Any]) -> dict[str, Any]:
        lines: list[str] = []
        command = (self._python, "-m", "edgekit.remote.worker")
        code = folder.run(command, lines.append, json.dumps(request).encode())
        answers = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
        if not answers:
            raise ended(self._host.name, code, lines)
        document: dict[str, Any] = json.loads(answers[-1])
        if "error" in document:
            raise _raised(self._host.name, document)
        answer: dict[str, Any] = document["answer"]
        return answer


def ended(host: str, code: int, lines: Sequence[str]) -> EnvironmentFault:
    """The error of a build that ended without a result."""
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    if code in (137, -9):
        return EnvironmentFault(
            f"{host}: the build was killed there, most likely for want of memory; stop what else runs on the board, "
            f"add swap, or set a smaller workspace_mib; last line: {last}"
        )
    return EnvironmentFault(f"{host}: the build ended with status {code}: {last}")


def _raised(host: str, document: dict[str, Any]) -> EdgekitError:
    kind = getattr(errors, document["error"], EnvironmentFault)
    # Made without its constructor: that of MissingRequirement takes other arguments.
    error: EdgekitError = kind.__new__(kind)
    EdgekitError.__init__(error, f"{host}: {document['message']}")
    return error
