"""A board as the backend of a target: what the plugin does on its own machine, it does there."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgekit import engine as engines
from edgekit.core.artifacts import translated_writes, write_bytes, write_json
from edgekit.core.errors import BundleError, EnvironmentFault, MissingRequirement
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import Achieved
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Backend, Engine, EngineConfig, Probe, RaceTimes
from edgekit.onnxfile.interface import read_interface
from edgekit.remote import trtexec
from edgekit.remote.builder import MODEL, Way, engine_name
from edgekit.remote.builder import version as own_version
from edgekit.remote.by_edgekit import ByEdgekit
from edgekit.remote.by_trtexec import ByTrtexec
from edgekit.remote.ssh import Folder, Host

INSTALL = "sudo apt-get install tensorrt (JetPack: sudo apt-get install nvidia-jetpack), or pip install edgekit there"
_SILENT = Silent()
_log = logging.getLogger("edgekit")
# Prints what is there, a line each; nothing is changed.
_LOOK = """
for p in "$HOME/edgekit/bin/python3" "$HOME/.venv/bin/python3" python3; do
  v=$("$p" -c 'import edgekit; print(edgekit.__version__)' 2>/dev/null) && echo "edgekit $v $p"
done
for t in "$(command -v trtexec)" /usr/src/tensorrt/bin/trtexec; do
  [ -n "$t" ] && [ -x "$t" ] && echo "trtexec $t" && break
done
[ -r /sys/module/nvidia/version ] && echo "driver $(cat /sys/module/nvidia/version)"
command -v nvidia-smi >/dev/null && nvidia-smi 2>/dev/null | sed -n -e 's/.*CUDA Version: *\\([0-9.]*\\).*/cuda \\1/p'
true
"""


class Board(Backend):
    """Builds and runs the engines of one target on ``host``.

    What can be said without the board is said by the target's own backend; nothing is asked of the board before it
    must.
    """

    def __init__(self, host: str, config: EngineConfig, progress: Progress = _SILENT) -> None:
        super().__init__(config)
        self.host = Host(host)
        self._plain = engines.backend(config)
        self.suffix, self.int8_control = self._plain.suffix, self._plain.int8_control
        self.int8_races, self.slower_fails = self._plain.int8_races, self._plain.slower_fails
        self._progress = progress
        self._found: Way | None = None

    def require(self) -> None:
        """Raise :class:`EnvironmentFault` unless the board answers and has what builds."""
        self.fingerprint()

    def fingerprint(self) -> dict[str, Any]:
        """What an engine built there depends on."""
        return self.way().fingerprint(self.config)

    def build(self, source: Path, target: Path, progress: Progress | None = None) -> None:
        """Build ``source`` there and write the engine to ``target``, everything else that came back beside it.

        Beside ``target`` lie, by what is added to its name: ``.json`` (the facts that guard it), ``.cache`` (timing
        cache), ``.layers.json`` (inspector), ``.profile.json`` (time of each layer), and of a ``trtexec`` build
        ``.log`` and ``.summary.json``; ``.remote.json`` says with what it was built, and what it takes and gives.

        Raises:
            EnvironmentFault: the board is not reachable, or lacks memory or disk.
            ModelError: its TensorRT refuses the model.
        """
        config, way, name = self.config, self.way(), self.host.name
        engine = engine_name(config)
        way.fingerprint(config)  # refuses what this board cannot do, before anything is copied
        inputs, outputs = read_interface(source)
        with translated_writes(target), self.host.folder() as folder:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
                made = Path(scratch)
                self._send(folder, source, way)
                way.build(folder, source, made, config, progress or self._progress)
                with self._progress.track(f"copy from {name}"):
                    for file in folder.names():
                        if file.startswith(engine):
                            folder.get(file, made / file)
                    for file, cache in way.caches(config).items():
                        folder.get(file, made / "cache")
                        write_bytes(cache, (made / "cache").read_bytes())
                        (made / "cache").unlink()
                way.finish(source, made / engine, config)
                interface = {"inputs": list(map(_document, inputs)), "outputs": list(map(_document, outputs))}
                write_json(made / f"{engine}.remote.json", {"by": way.name} | interface)
                _install(made, engine, target)

    def engine(self, path: Path) -> BoardEngine:
        """The engine in ``path``, to run on the board."""
        return BoardEngine(path, self)

    def race(self, engines: Mapping[str, Path], feeds: Mapping[str, Arrays]) -> RaceTimes:
        """Times on the board: in turn, or of a board with ``trtexec`` alone one median each.

        A request to a board holds one set of feeds: engines of other input shapes do not race there.
        """
        way = self.way()
        first, *others = feeds.values()
        shapes = {name: array.shape for name, array in first.items()}
        if any({name: array.shape for name, array in other.items()} != shapes for other in others):
            return RaceTimes({}, way.name)
        return RaceTimes(way.race(engines, first, self.config), way.name)

    def quantization_profile(self) -> str:
        """That of the target's own backend for a machine of which nothing is known."""
        return self._plain.portable_profile()

    def same_fact(self, key: str, built: Any, here: Any) -> bool:
        """That of the target's own backend."""
        return self._plain.same_fact(key, built, here)

    def achieved(self, path: Path, source: Path, precision: str) -> Achieved | None:
        """That of the target's own backend, by the layer list that came back from the board."""
        return self._plain.achieved(path, source, precision)

    @staticmethod
    def probe() -> list[Probe]:
        """Nothing: a board is looked at when a target names it."""
        return []

    def _send(self, folder: Folder, source: Path, way: Way) -> None:
        with self._progress.track(f"copy to {self.host.name}"):
            folder.put(source, MODEL)
            for file, cache in way.caches(self.config).items():
                if cache.is_file():
                    folder.put(cache, file)

    def way(self) -> Way:
        """How the board builds; it is looked at when this is asked for the first time."""
        if self._found is None:
            with self._progress.track(f"look at {self.host.name}"), self.host.folder():
                self._found = self._look(self.config)
                self._found.fingerprint(self.config)
            _log.info("%s builds with %s", self.host.name, self._found.name)
        return self._found

    def _look(self, config: EngineConfig) -> Way:
        seen = [line.split(" ", 2) for line in self.host.call(_LOOK).splitlines()]
        reasons, here = [], own_version()
        for _, version, python in (words for words in seen if words[0] == "edgekit"):
            if version != here:
                reasons.append(f"edgekit {version} is there, and {here} here: install the same")
                continue
            way = ByEdgekit(self.host, python)
            try:
                way.fingerprint(config)
            except MissingRequirement as error:
                reasons.append(str(error))
                continue
            return way
        for reason in reasons:
            _log.info("%s: not its edgekit: %s", self.host.name, reason)
        named = {words[0]: " ".join(words[1:]) for words in seen}
        if config.engine != "trt" or "trtexec" not in named:
            why = "; ".join(reasons) or "no edgekit, and no trtexec on the PATH or in /usr/src/tensorrt/bin"
            raise EnvironmentFault(f"{self.host.name}: nothing there can build the engine: {why}; {INSTALL}")
        page = self.host.call('"$1" --help 2>&1; true', named["trtexec"])
        tool = trtexec.tool(named["trtexec"], page)
        return ByTrtexec(self.host, tool, named.get("driver"), named.get("cuda"))


class BoardEngine(Engine):
    """An engine that runs on the board where it was built; for a look at its outputs, not for timing.

    The engine is copied there when the first query comes, so that reading :attr:`inputs` costs nothing.
    """

    def __init__(self, path: Path, board: Board) -> None:
        self.path = path
        self.config = board.config
        self._board = board
        self._stack = ExitStack()
        self._folder: Folder | None = None

    def activate(self) -> None:
        record = self.path.with_name(f"{self.path.name}.remote.json")
        try:
            document = json.loads(record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BundleError(
                f"{self.path}: not built on a board: {record.name} is not beside it; build it again"
            ) from None
        self.inputs, self.outputs = (
            tuple(TensorSpec(v["name"], tuple(v["shape"]), v["dtype"]) for v in document[side])
            for side in ("inputs", "outputs")
        )

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        way = self._board.way()
        if self._folder is None:
            self._folder = self._stack.enter_context(self._board.host.folder())
            for file in self.path.parent.iterdir():
                if file.name in (self.path.name, f"{self.path.name}.json"):
                    self._folder.put(file, file.name.replace(self.path.name, engine_name(self.config), 1))
        return way.run(self._folder, feeds, self.outputs, self.config)

    def deactivate(self) -> None:
        self._folder = None
        self._stack.close()

    def describe(self) -> dict[str, Any]:
        return {"engine": self.config.engine, "host": self._board.host.name, "by": self._board.way().name}


def _install(made: Path, engine: str, target: Path) -> None:
    """Rename everything into place, the engine last, so that an engine never lies there without its other files."""
    if not (made / engine).exists():
        raise EnvironmentFault(f"{target.name}: the build said that it passed, but left no engine; build again with -v")
    for file in sorted(made.iterdir(), key=lambda file: file.name == engine):
        os.replace(file, target.with_name(file.name.replace(engine, target.name, 1)))


def _document(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}
