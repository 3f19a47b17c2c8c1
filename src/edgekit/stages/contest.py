"""The runtimes of a target ``engine: auto`` against each other; of every other target there is one, and no race.

Each gets typed models in its own placement and an engine that is proven as a target of its own would have it.  Engines
and controls of all then run in turn, and the one rule of :mod:`edgekit.stats.faster` says who takes whose place.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from edgekit import profiling
from edgekit.bundle import CONTEST
from edgekit.core.artifacts import write_json
from edgekit.core.errors import (
    BundleError,
    CheckFailed,
    EdgekitError,
    EnvironmentFault,
    ModelError,
    OutputError,
    SpecError,
    TensorError,
)
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import Contender, Contest, Interval, Timed
from edgekit.core.variant import Variant
from edgekit.core.workspace import Stage, Workspace
from edgekit.engine import Absent, AutoConfig, Backend, Engine, EngineConfig, contenders, opened_in_turn
from edgekit.stages import keys
from edgekit.stages.build import candidate_of
from edgekit.stages.compressed import Compressed
from edgekit.stats import faster
from edgekit.stats.openings import summarise_openings

_log = logging.getLogger("edgekit")
# What one runtime may fail at and another not; a full disk or data that cannot be read are everybody's.
_OUT = (CheckFailed, SpecError, ModelError, TensorError, BundleError, EnvironmentFault)


@dataclass(frozen=True)
class Entry:
    """One runtime of a target, and how far it got: its typed models, its engines, or why it is out."""

    backend: Backend
    compressed: Compressed | None = None
    built: Stage | None = None
    error: EdgekitError | None = None

    @property
    def engine(self) -> str:
        """The runtime's name."""
        return self.backend.config.engine

    @property
    def models(self) -> Compressed:
        """Its typed models, which it has."""
        assert self.compressed is not None
        return self.compressed

    @property
    def engines(self) -> Stage:
        """Its engines, which it has."""
        assert self.built is not None
        return self.built

    def variants(self, target: str) -> tuple[Variant, Variant]:
        """Its candidate and its control."""
        wanted = candidate_of(target, self.backend.config, self.models)
        return wanted, self.models.control(self.backend, wanted)

    def file(self, variant: Variant) -> Path:
        """The engine of one of them."""
        return self.engines.path / f"{variant.name}{self.backend.suffix}"


def told(config: EngineConfig) -> tuple[Absent, ...]:
    """What a target ``engine: auto`` has to do without on this machine, said in a line each before the work.

    Raises:
        EnvironmentFault: nothing is left.
    """
    absent = contenders(config).absent if isinstance(config, AutoConfig) else ()
    for one in absent:
        _log.warning("engine: auto goes on without %s", one.line())
    return absent


def each(entries: Sequence[Entry], step: Callable[[Entry], Entry]) -> tuple[Entry, ...]:
    """Every entry after ``step``; which fails at it is out.

    Raises:
        EdgekitError: all are: what the first of them failed at.
    """
    found = [entry if entry.error is not None else _tried(entry, step) for entry in entries]
    errors = [entry.error for entry in found if entry.error is not None]
    if len(errors) == len(found):
        raise errors[0]
    return tuple(found)


def _tried(entry: Entry, step: Callable[[Entry], Entry]) -> Entry:
    try:
        return step(entry)
    except OutputError:
        raise
    except _OUT as error:
        return replace(entry, error=error)


def decide(
    target: str, entries: Sequence[Entry], absent: Sequence[Absent], workspace: Workspace, progress: Progress
) -> Stage:
    """The stage whose ``contest.json`` says which entry serves the target."""
    inputs = {
        "engines": {entry.engine: entry.engines.key for entry in entries if entry.error is None},
        "out": {entry.engine: str(entry.error) for entry in entries if entry.error is not None},
        "absent": {one.engine: one.reason for one in absent},
        "cpu": profiling.machine().cpu,
        "rule": [faster.OPENINGS, faster.EACH, faster.SETTLING, faster.MARGIN],
        "tools": keys.tools(),
    }

    def fill(folder: Path) -> None:
        write_json(folder / CONTEST, _held(target, entries, absent, progress).to_dict())

    return workspace.stage(f"contest-{target}", inputs, fill)


def winner(entries: Sequence[Entry], stage: Stage) -> Entry:
    """The entry that a contest chose."""
    document = json.loads((stage.path / CONTEST).read_text(encoding="utf-8"))
    chosen = TypeAdapter(Contest).validate_python(document).chosen
    return next(entry for entry in entries if entry.engine == chosen)


def stages(entries: Sequence[Entry], held: Stage | None) -> tuple[Stage, ...]:
    """Everything that was done for a target, in order; what the runtimes share once."""
    found = [stage for entry in entries if entry.compressed is not None for stage in entry.compressed.stages]
    found += [entry.built for entry in entries if entry.built is not None]
    return tuple({(stage.name, stage.key): stage for stage in (*found, *([held] if held else []))}.values())


def _held(target: str, entries: Sequence[Entry], absent: Sequence[Absent], progress: Progress) -> Contest:
    running = {entry.engine: entry for entry in entries if entry.error is None}
    times = _times(target, running, progress) if len(running) > 1 else {}
    chosen = champion({name: times[name] for name in running}) if times else next(iter(running))
    found = []
    for entry in entries:
        if entry.error is not None:
            found.append(Contender(entry.engine, "out", str(entry.error)))
            continue
        timed = _timed(times, entry.engine, chosen) if times else None
        found.append(_contender(target, entry, entry.engine == chosen, timed))
    found += [Contender(one.engine, "absent", one.line().partition(": ")[2]) for one in absent]
    openings = faster.OPENINGS if times else None
    return Contest(target, chosen, openings, openings and openings * faster.EACH, tuple(found))


def champion(times_ms: Mapping[str, Sequence[float]]) -> str:
    """Who serves, of engines that ran in turn: the first, until one is shown to be faster than who serves then.

    So chance alone does not make another choice of the same machine tomorrow.
    """
    serving, *others = times_ms
    for name in others:
        if faster.faster(faster.speedup(times_ms[serving], times_ms[name], faster.OPENINGS)) == "faster":
            serving = name
    return serving


def _times(target: str, running: Mapping[str, Entry], progress: Progress) -> dict[str, list[float]]:
    """Milliseconds of every engine by runtime, and of its control by ``<runtime> control``."""
    openers: dict[str, Callable[[], Engine]] = {}
    feeds: dict[str, Any] = {}
    for name, entry in running.items():
        for role, variant in zip((name, _control(name)), entry.variants(target), strict=True):
            openers[role] = partial(entry.backend.engine, entry.file(variant))
            feeds[role] = Golden.read(variant.golden).feeds(0)
    with progress.track(f"time {', '.join(running)} and their controls"):
        return opened_in_turn(openers, feeds, faster.OPENINGS, faster.EACH, faster.SETTLING)


def _control(name: str) -> str:
    return f"{name} control"


def _timed(times: Mapping[str, Sequence[float]], name: str, chosen: str) -> Timed:
    own, control = times[name], times[_control(name)]
    speedup = faster.speedup(control, own, faster.OPENINGS)
    behind = faster.speedup(own, times[chosen], faster.OPENINGS)
    found = summarise_openings(np.asarray(own), faster.OPENINGS)
    return Timed(
        found.p50,
        found.intervals["p50"],
        float(np.median(control)),
        speedup.ratio,
        speedup.interval,
        behind.ratio,
        behind.interval if name != chosen else Interval(1.0, 1.0),
    )


def _contender(target: str, entry: Entry, chosen: bool, timed: Timed | None) -> Contender:
    wanted, control = entry.variants(target)
    verdict: Literal["chosen", "slower", "no faster"]
    if timed is None:
        verdict, reason = "chosen", "no other runtime is left"
    elif chosen:
        verdict, reason = "chosen", "no other is shown to be faster"
    else:
        behind = faster.Speedup(timed.behind, timed.behind_interval, faster.OPENINGS)
        verdict = "slower" if faster.faster(behind) == "faster" else "no faster"
        reason = f"the chosen one is {behind} as fast"
    return Contender(
        entry.engine,
        verdict,
        reason,
        wanted.precision,
        wanted.placement,
        control.precision,
        entry.file(wanted).stat().st_size / 2**20,
        timed,
        entry.backend.fingerprint(),
    )
