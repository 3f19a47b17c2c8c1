"""Latency of engines: in turn inside one loop (A B, B A, ...), or one of them under a traffic scenario.

Engines that take turns meet every drift of the machine's speed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from edgekit.core.errors import InputError
from edgekit.core.reports import Latency, Traffic
from edgekit.core.tensors import Array, Arrays
from edgekit.data import Sample
from edgekit.engine import Chain, Engine, in_turn
from edgekit.profiling.scenarios import ConstantStream, Scenario, SingleStream, Timeline, run
from edgekit.stats.openings import MIN_OPENINGS, percentile_interval, summarise_openings
from edgekit.stats.percentiles import CONFIDENCE, QUANTILES, summarise

STAGES = ("pre", "infer", "post", "total")
PARTS = ("enqueue", "device")
"""Of ``infer`` on an accelerator; see :meth:`edgekit.engine.Engine.parts_ms`."""
# Below this many queries the 99th percentile is the maximum by another name.
MIN_QUERIES = 100
# Rounds after which an engine that was opened again runs as fast as it will.
SETTLING = 4
_COLUMNS = (*STAGES, *PARTS)
_INFER, _TOTAL = STAGES.index("infer"), STAGES.index("total")


@dataclass(frozen=True)
class Load:
    """How often to run: queries that count, and rounds before them that do not.

    The default is more than the 662 queries that a bound of the 99th percentile needs.  The engines are opened
    ``openings`` times, because an engine that is opened again is a few percent faster or slower for as long as it is
    open (:mod:`edgekit.stats.openings`); the queries are rounded up to equally many an opening.  Openings go on, up
    to ``most`` times as many, until the 99th percentile of every engine has an interval with both ends.
    """

    queries: int = 1200
    warmup: int = 20
    openings: int = 60
    most: int = 1

    def __post_init__(self) -> None:
        if self.queries < MIN_QUERIES:
            raise InputError(f"{self.queries} queries cannot show a 99th percentile; use at least {MIN_QUERIES}")
        if self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; at least 1 query must run before timing")
        if not 1 <= self.openings <= self.queries:
            raise InputError(f"openings is {self.openings}; expected 1 to {self.queries}, the number of queries")
        if self.most < 1:
            raise InputError(f"most is {self.most}; expected 1 or more times the openings")

    @property
    def each(self) -> int:
        """Queries an opening."""
        return -(-self.queries // self.openings)

    def settling(self, load: int) -> int:
        """Rounds that do not count in opening ``load``; the first warms the machine up too."""
        return self.warmup if load == 0 else min(self.warmup, SETTLING)

    @property
    def rounds(self) -> int:
        """All rounds, those that do not count too."""
        return sum(self.settling(load) + self.each for load in range(self.openings))


@dataclass(frozen=True)
class Timed:
    """Engines timed in turn.

    ``stages`` is latency by engine and stage; ``infer_ms`` the inference time of every query by engine, float64
    ``(queries,)``, in the order they ran: ``openings`` equal parts.
    """

    stages: dict[str, dict[str, Latency]]
    infer_ms: dict[str, Array]
    openings: int


@dataclass(frozen=True)
class Driven:
    """One engine under a scenario: latency by stage, every inference time as ``Timed.infer_ms``, traffic, timeline."""

    stages: dict[str, Latency]
    infer_ms: Array
    traffic: Traffic
    timeline: Timeline


def measure_latency(
    opened: Callable[[], AbstractContextManager[Mapping[str, Chain]]],
    samples: Sequence[Sample],
    load: Load,
    advance: Callable[[], None] = lambda: None,
    more: Callable[[int], bool] = lambda done: True,
) -> Timed:
    """Latency by engine and stage.

    Args:
        opened: opens the engines until its block ends, each in its chain, by name; preprocessing is timed as ``pre``,
            the task's decoding as ``post``.
        samples: frames to take in turn; read before timing starts.
        load: number of queries, and of openings.
        advance: called after every round.
        more: whether there is time for another opening after so many; not asked before the fifth.
    """
    parts: list[dict[str, Array]] = []
    while len(parts) < load.openings or (len(parts) < load.most * load.openings and not _bounded(parts)):
        number = len(parts)
        if number >= MIN_OPENINGS and not more(number):
            break
        with opened() as chains:
            queries = range(number * load.each - load.settling(number), (number + 1) * load.each)
            parts.append(_rounds(chains, samples, queries, load.each, advance))
    rows = _joined(parts)
    return Timed(
        stages={name: _by_stage(times, len(parts)) for name, times in rows.items()},
        infer_ms={name: times[:, _INFER] for name, times in rows.items()},
        openings=len(parts),
    )


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _bounded(parts: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the 99th percentile of every engine, alone and with its other stages, has an interval with both ends.

    To go on until the interval exists looks at no limit, so it does not favour a verdict.
    """
    found = (
        percentile_interval(times[:, column].tolist(), QUANTILES["p99"], CONFIDENCE, len(parts))
        for times in _joined(parts).values()
        for column in (_INFER, _TOTAL)
    )
    return all(interval.low is not None and interval.high is not None for interval in found)


def _rounds(
    chains: Mapping[str, Chain],
    samples: Sequence[Sample],
    queries: range,
    counted: int,
    advance: Callable[[], None],
) -> dict[str, Array]:
    """Milliseconds of the last ``counted`` queries of each engine, float64 ``(counted, columns)``; A B, B A, ..."""
    rows = {name: np.zeros((len(queries), len(_COLUMNS))) for name in chains}
    order = list(chains)
    for place, query in enumerate(queries):
        images = samples[query % len(samples)].images
        for name in order:
            rows[name][place] = _query(chains[name], images)
        order.reverse()
        advance()
    return {name: times[-counted:] * 1e3 for name, times in rows.items()}


def drive(scenario: Scenario, chain: Chain, samples: Sequence[Sample]) -> Driven:
    """Run one engine, with its pre- and post-processing, under a scenario.

    ``total`` is counted from when the query was due in a constant stream, else from its begin.

    Args:
        scenario: the traffic.
        chain: its engine is open; preprocessing is timed as ``pre``, the task's decoding as ``post``.
        samples: frames to take in turn; read before timing starts.

    Raises:
        CheckFailed: the clock went backwards.
    """
    rows = np.zeros((scenario.queries, len(_COLUMNS)))

    def issue(query: int) -> None:
        # Warm-up has the same numbers, so the queries that count overwrite its rows.
        rows[query] = _query(chain, samples[query % len(samples)].images)

    timeline = run(scenario, issue)
    times_ms = rows * 1e3
    paced = isinstance(scenario, ConstantStream)
    times_ms[:, _TOTAL] = timeline.latency_ms if paced else timeline.service_ms
    return Driven(_by_stage(times_ms), times_ms[:, _INFER], _traffic(scenario, timeline), timeline)


def time_inference(engines: Mapping[str, Engine], feeds: Arrays, queries: int, warmup: int = 10) -> dict[str, Latency]:
    """Latency of the inference alone by engine, one set of inputs, the engines taking turns."""
    return {
        name: summarise(np.array(times))
        for name, times in in_turn(engines, dict.fromkeys(engines, feeds), queries, warmup).items()
    }


def _query(chain: Chain, images: Mapping[str, Array]) -> tuple[float, ...]:
    passed = chain.timed(images)
    parts_ms = chain.engine.parts_ms()
    parts = (parts_ms.get(part, np.nan) / 1e3 for part in PARTS)
    return passed.pre_s, passed.infer_s, passed.post_s, passed.total_s, *parts


def _by_stage(times_ms: Array, openings: int = 1) -> dict[str, Latency]:
    columns = {name: times_ms[:, at] for at, name in enumerate(_COLUMNS)}
    return {name: summarise_openings(row, openings) for name, row in columns.items() if not np.isnan(row).any()}


def _traffic(scenario: Scenario, timeline: Timeline) -> Traffic:
    found = Traffic(
        queries=scenario.queries,
        throughput_hz=timeline.throughput_hz,
        idle_gap_ms=scenario.idle_gap_ms if isinstance(scenario, SingleStream) else None,
        warmup=timeline.warmup,
        stable=timeline.stable,
    )
    if not isinstance(scenario, ConstantStream):
        return found
    late, waits = int(timeline.late.sum()), summarise(timeline.queueing_ms)
    return replace(
        found,
        rate_hz=scenario.rate_hz,
        rate_kept_hz=timeline.rate_hz,
        late=late,
        late_share=late / scenario.queries,
        late_correlation=neighbours_correlation(timeline.late),
        queueing_p50_ms=waits.p50,
        queueing_p99_ms=waits.p99,
    )


def neighbours_correlation(events: Array) -> float | None:
    """Correlation of each bool with the next one in the row; None when all, or all but one, are equal."""
    centred = events.astype(np.float64) - events.mean()
    spread = float(centred @ centred)
    # The first query is never late: alone it says nothing of neighbours.
    return float(centred[:-1] @ centred[1:]) / spread if 0 < int(events[1:].sum()) < len(events) - 1 else None
