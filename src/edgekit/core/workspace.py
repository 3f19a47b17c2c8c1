"""The content-addressed work folder: a stage that did not change is not run again."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import atomic_directory, scratch_directory, sha256_of, tree_hashes, write_json
from edgekit.core.locks import locked
from edgekit.core.sources import Sources

RECORD = "stage.json"
_log = logging.getLogger("edgekit")


@dataclass(frozen=True)
class Stage:
    """A finished stage: its folder, and whether this call ran it.

    ``inputs`` is what its key hashes.  Of one that ran, ``why`` says for what reason in a few words, ``changed`` lists
    what is otherwise than when it ran last, and ``same`` is whether it came to a result that was there already.
    ``sources`` are the files, variables and packages that it used, where these are found out by running it.
    """

    path: Path
    key: str
    reused: bool
    seconds: float
    name: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    changed: tuple[str, ...] = ()
    same: bool = False
    sources: Sources = field(default_factory=Sources)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        told = {"name": self.name, "key": self.key, "reused": self.reused}
        return told | {"why": self.why, "changed": list(self.changed), "same_result": self.same}


@dataclass(frozen=True)
class Traced:
    """What is known of a stage only after its run: what it used, and the digests of what came out."""

    sources: Sources
    result: Mapping[str, str]


class Workspace:
    """Results of stages in ``<root>/<stage>-<key>/``; a folder there is complete.

    The key hashes everything that decides the result.  A folder whose files no
    longer have their recorded hashes is made again.  ``fresh`` trusts none of them.
    Several processes may share a workspace: one that needs a result that another
    just makes waits for it, and then reuses it (:mod:`edgekit.core.locks`).
    """

    def __init__(self, root: Path, fresh: bool = False) -> None:
        self.root = root
        self.fresh = fresh

    def has(self, name: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the stage's result for ``inputs`` is there."""
        return not self.fresh and _intact(
            self.root / f"{name}-{key_of(json.loads(json.dumps(dict(inputs), default=str)))}"
        )

    def stage(self, name: str, inputs: Mapping[str, Any], fill: Callable[[Path], None]) -> Stage:
        """Reuse the stage's result for ``inputs``, or run ``fill(folder)`` and keep what it writes."""
        document = _document(inputs)
        key = key_of(document)
        final = self.root / f"{name}-{key}"
        if self._reusable(final):
            return Stage(final, key, True, 0.0, name, document)
        with locked(final):
            if self._reusable(final):  # another process made it meanwhile
                return Stage(final, key, True, 0.0, name, document)
            return self._made(name, document, key, fill)

    def _reusable(self, final: Path) -> bool:
        if self.fresh or not _intact(final):
            return False
        _log.info("unchanged, reused %s", final)
        return True

    def _made(self, name: str, document: Mapping[str, Any], key: str, fill: Callable[[Path], None]) -> Stage:
        """The stage, run."""
        final = self.root / f"{name}-{key}"
        why, changed = self._why(name, final, document)
        start = time.monotonic()
        with atomic_directory(final) as folder:
            fill(folder)
            write_json(folder / RECORD, {"stage": name, "inputs": document, "files": tree_hashes(folder)})
        seconds = time.monotonic() - start
        _log.info("%s: %s; %.1f s, wrote %s", name, "; ".join((why, *changed)), seconds, final)
        return Stage(final, key, False, seconds, name, document, why, changed)

    def traced(self, name: str, inputs: Mapping[str, Any], base: Path, run: Callable[[Path], Traced]) -> Stage:
        """A stage that uses more than ``inputs`` tell: what, is known after its run and kept beside the results.

        It runs again when something of it changed, or when it used what cannot be seen.  Its key hashes the inputs,
        what it used and what came out, so that the later stages, whose keys hash what came out, are reused when that
        is the same.

        Args:
            name: of the stage.
            inputs: what is known before.
            base: the folder of the spec, for the places of the files used.
            run: fills a folder.
        """
        document = _document(inputs)
        kept = self.root / f"{name}-{key_of(document)}.json"
        with locked(kept):
            return self._traced(name, document, kept, base, run)

    def _traced(
        self, name: str, document: dict[str, Any], kept: Path, base: Path, run: Callable[[Path], Traced]
    ) -> Stage:
        """As :meth:`traced`; ``kept`` is the list of the runs, which this process alone reads and writes."""
        runs = [] if self.fresh else [one for one in _runs(kept) if _intact(self.root / f"{name}-{one[0]}")]
        whys = [_used_otherwise(sources, base) for _, sources in runs]
        for (key, sources), (why, _) in zip(runs, whys, strict=True):
            if not why:
                final = self.root / f"{name}-{key}"
                _log.info("%s: unchanged, reused %s", name, final)
                return Stage(final, key, True, 0.0, name, _record(final)["inputs"], sources=sources)
        why, changed = whys[0] if whys else self._why(name, self.root / f"{name}-none", document)
        start = time.monotonic()
        with scratch_directory(kept.with_suffix("")) as folder:
            found = run(folder)
            used = {"sources": found.sources.content(), "result": dict(found.result)}
            stage = self.stage(name, document | used, lambda final: _move(folder, final))
        entries = [{"key": stage.key, **found.sources.to_dict()}]
        entries += [{"key": key, **sources.to_dict()} for key, sources in _runs(kept) if key != stage.key]
        write_json(kept, {"runs": entries[:_KEPT]})
        seconds = time.monotonic() - start
        _log.info("%s: ran, as %s: %.1f s", name, "; ".join((why, *changed)), seconds)
        return replace(
            stage, reused=False, seconds=seconds, why=why, changed=changed, same=stage.reused, sources=found.sources
        )

    def _why(self, name: str, final: Path, inputs: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """Why a stage runs, and what differs from its last run."""
        if self.fresh:
            return "--fresh", ()
        if final.exists():
            return "its result was edited or removed", ()
        # Names begin alike: those of engine-cpu-ort are no runs of engine-cpu.
        records = (r for r in self.root.glob(f"{name}-*/{RECORD}") if _record(r.parent).get("stage") == name)
        last = max(records, key=_written, default=None)
        if last is None:
            return "it had not run", ()
        before, now = _flat(_record(last.parent).get("inputs", {})), _flat(inputs)
        changed = tuple(k for k in sorted(before.keys() | now.keys()) if before.get(k) != now.get(k) and _told(k, now))
        return (f"{changed[0]} changed" if changed else "its result was edited or removed"), changed


_KEPT = 8
"""Runs of a traced stage that are remembered, so that going back to an earlier state is no new run."""
_FOUND_OUT = ("sources", "result")


def key_of(inputs: Mapping[str, Any]) -> str:
    """The key of a stage with these inputs."""
    return sha256_of(dict(inputs))[:16]


def _document(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON keeps it."""
    document: dict[str, Any] = json.loads(json.dumps(dict(inputs), default=str))
    return document


def _used_otherwise(sources: Sources, base: Path) -> tuple[str, tuple[str, ...]]:
    changed = sources.changes(base)
    if changed:
        return f"{changed[0]} changed", changed
    return "; ".join(sources.unseen), ()


def _runs(kept: Path) -> list[tuple[str, Sources]]:
    """Key and sources of the remembered runs, the latest first."""
    try:
        return [(str(run["key"]), Sources.from_dict(run)) for run in json.loads(kept.read_bytes())["runs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _written(file: Path) -> int:
    """When a file was written, in nanoseconds; 0 when another process just replaced its folder."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _flat(document: Any, name: str = "") -> dict[str, Any]:
    """Values of a tree by their dotted names."""
    if not isinstance(document, dict) or not document:
        return {name: document}
    found: dict[str, Any] = {}
    for key, value in document.items():
        found |= _flat(value, f"{name}.{key}" if name else str(key))
    return found


def _told(name: str, now: Mapping[str, Any]) -> bool:
    """Not what is found out by running, when that has not run yet."""
    return name.partition(".")[0] not in _FOUND_OUT or any(key.partition(".")[0] in _FOUND_OUT for key in now)


def _move(source: Path, target: Path) -> None:
    for path in source.iterdir():
        os.rename(path, target / path.name)


def _record(folder: Path) -> dict[str, Any]:
    """What a stage wrote down; empty when it is no such folder."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _intact(folder: Path) -> bool:
    try:
        files = {name: digest for name, digest in tree_hashes(folder).items() if name != RECORD}
        return bool(_record(folder)["files"] == files)
    except (OSError, KeyError):
        return False
