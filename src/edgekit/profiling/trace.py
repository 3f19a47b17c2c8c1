"""Queries and layers on a time line, in the Trace Event Format of Chrome and Perfetto.

The format: "Trace Event Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
https://ui.perfetto.dev and chrome://tracing open such a file; it stays on the reader's machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import write_json
from edgekit.core.errors import InputError
from edgekit.engine import LayerEvent
from edgekit.profiling.scenarios import Timeline

_TIMED, _PROFILED = 1, 2
_ROUNDING_NS = 20  # of a clock that has run for a year, in floating-point seconds
_QUERIES = 0  # the thread that shows whole queries


@dataclass(frozen=True)
class Span:
    """One thing that took time in the timed run; spans of a ``track`` lie beside or inside one another.

    With ``overlapping`` they may also overlap, as queries that wait in a queue do. ``args`` are shown when it
    is clicked on.
    """

    name: str
    start_us: float
    duration_us: float
    track: str
    overlapping: bool = False
    args: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.duration_us >= 0 or not math.isfinite(self.start_us + self.duration_us):
            raise InputError(
                f"span {self.name!r}: start {self.start_us} us, duration {self.duration_us} us; "
                "expected finite numbers and no negative duration"
            )


def query_spans(timeline: Timeline) -> tuple[Span, ...]:
    """Spans of a scenario: every ``query`` from begin to end, and ``waiting`` from its due time where it began late."""
    scheduled, begun, ended = (
        [int(ns) for ns in times] for times in (timeline.scheduled_ns, timeline.start_ns, timeline.end_ns)
    )
    origin = min((*scheduled, *begun), default=0)
    spans = []
    for number, (due, start, end) in enumerate(zip(scheduled, begun, ended, strict=True)):
        about = {"query": number}
        if start > due:
            wait = Span("waiting", (due - origin) / 1e3, (start - due) / 1e3, "queue", overlapping=True, args=about)
            spans.append(wait)
        spans.append(Span("query", (start - origin) / 1e3, (end - start) / 1e3, "queries", args=about))
    return tuple(spans)


def chrome_trace(
    spans: Iterable[Span] = (), layers: Iterable[LayerEvent] = (), name: str = "edgekit"
) -> dict[str, Any]:
    """A trace as a JSON-ready dictionary; times in microseconds.

    Spans and layers come from two runs, the second slowed by profiling, so they are two processes of the trace
    and each begins at 0.

    Raises:
        InputError: two spans of one track overlap and are not marked so.
    """
    timed = _timed(sorted(spans, key=lambda s: (s.start_us, -s.duration_us)), name)
    profiled = _profiled(sorted(layers, key=lambda e: (e.start_us, -e.duration_us)), name)
    events = [*timed, *profiled]
    # Names first, then time; at one moment the longer event is the outer one.
    events.sort(key=lambda e: (e["ph"] != "M", e["pid"], e.get("ts", 0.0), -e.get("dur", 0.0)))
    return {"displayTimeUnit": "ms", "traceEvents": events}


def write_trace(
    path: Path, spans: Iterable[Span] = (), layers: Iterable[LayerEvent] = (), name: str = "edgekit"
) -> None:
    """Write :func:`chrome_trace` as JSON."""
    write_json(path, chrome_trace(spans, layers, name))


def _timed(spans: Sequence[Span], name: str) -> list[dict[str, Any]]:
    if not spans:
        return []
    begin = spans[0].start_us
    tracks = {track: number for number, track in enumerate(dict.fromkeys(span.track for span in spans))}
    found = _named(_TIMED, f"{name}: timed run", {number: track for track, number in tracks.items()})
    ends: dict[str, list[int]] = {}
    for number, span in enumerate(spans):
        place = {"pid": _TIMED, "tid": tracks[span.track], "name": span.name, "cat": span.track}
        start, end = _nanoseconds(span.start_us - begin, span.duration_us)
        if span.overlapping:
            found.append(place | {"ph": "b", "id": number, "ts": start / 1e3, "args": dict(span.args)})
            found.append(place | {"ph": "e", "id": number, "ts": end / 1e3})
            continue
        start = _nested(ends.setdefault(span.track, []), start, end, span)
        found.append(place | {"ph": "X", **_times(start, end), "args": dict(span.args)})
    return found


def _nested(ends: list[int], start: int, end: int, span: Span) -> int:
    """The start of a span, moved behind the end of the one before it where rounding made them overlap."""
    while ends and (ends[-1] <= start or (ends[-1] < end and ends[-1] - start <= _ROUNDING_NS)):
        start = max(start, ends.pop())
    if ends and end > ends[-1]:
        raise InputError(
            f"span {span.name!r} of track {span.track!r} at {start / 1e3:.1f} us outlasts the one it began in; "
            "mark it as overlapping or give it a track of its own"
        )
    ends.append(end)
    return start


def _nanoseconds(start_us: float, duration_us: float) -> tuple[int, int]:
    """Start and end in what a viewer keeps: whole nanoseconds."""
    return round(start_us * 1e3), round((start_us + duration_us) * 1e3)


def _times(start_ns: int, end_ns: int) -> dict[str, float]:
    return {"ts": start_ns / 1e3, "dur": (end_ns - start_ns) / 1e3}


def _profiled(events: Sequence[LayerEvent], name: str) -> list[dict[str, Any]]:
    if not events:
        return []
    begin = events[0].start_us
    threads = {thread: number for number, thread in enumerate(dict.fromkeys(e.thread for e in events), start=1)}
    names = {_QUERIES: "queries"} | {number: f"layers, thread {number}" for number in threads.values()}
    found = _named(_PROFILED, f"{name}: layers (profiled run, slower)", names)
    times: dict[int, tuple[int, int]] = {}
    for event in events:
        start, end = _nanoseconds(event.start_us - begin, event.duration_us)
        first, last = times.get(event.query, (start, end))
        times[event.query] = (min(first, start), max(last, end))
        found.append(
            {
                "pid": _PROFILED,
                "tid": threads[event.thread],
                "name": event.module or (event.nodes[0] if event.nodes else event.name),
                "cat": event.op,
                "ph": "X",
                **_times(start, end),
                "args": _details(event),
            }
        )
    for query, (start, end) in times.items():
        place = {"pid": _PROFILED, "tid": _QUERIES, "name": f"query {query}", "cat": "query"}
        found.append(place | {"ph": "X", **_times(start, end), "args": {}})
    return found


def _details(event: LayerEvent) -> dict[str, Any]:
    def shown(tensors: Iterable[Any]) -> list[str]:
        return [f"{tensor.dtype}{list(tensor.shape)}" for tensor in tensors]

    return {
        "operator": event.op,
        "layer": event.name,
        "nodes": list(event.nodes),
        "query": event.query,
        "inputs": shown(event.inputs),
        "outputs": shown(event.outputs),
        "provider": event.provider,
    }


def _named(process: int, name: str, threads: Mapping[int, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"ph": "M", "pid": process, "tid": 0, "name": "process_name", "args": {"name": name}}
    ]
    for number, title in threads.items():
        found.append({"ph": "M", "pid": process, "tid": number, "name": "thread_name", "args": {"name": title}})
    return found
