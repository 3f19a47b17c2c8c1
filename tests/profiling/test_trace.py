"""Traces against what viewers of the Trace Event Format ask for: keys, order, nesting."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import InputError
from edgekit.profiling.scenarios import Timeline
from edgekit.profiling.trace import Span, chrome_trace, query_spans, write_trace
from tests.support.recorded_layers import PRECISIONS, events

REQUIRED = {
    "X": {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"},
    "M": {"name", "ph", "pid", "tid", "args"},
    "b": {"name", "cat", "ph", "ts", "pid", "tid", "id", "args"},
    "e": {"name", "cat", "ph", "ts", "pid", "tid", "id"},
}


def check(document: dict[str, Any]) -> None:
    """Every event has its keys; each place is named; times rise; events of a thread nest; waits are closed."""
    document = json.loads(json.dumps(document, allow_nan=False))
    assert document["displayTimeUnit"] == "ms"
    named, used, waiting = set(), set(), set()
    threads: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    latest: dict[int, float] = defaultdict(float)
    for event in document["traceEvents"]:
        assert set(event) == REQUIRED[event["ph"]]
        place = (event["pid"], event["tid"])
        if event["ph"] == "M":
            assert event["name"] in {"process_name", "thread_name"}
            assert isinstance(event["args"]["name"], str)
            named.add((event["name"], *place))
            continue
        used.add(place)
        assert event["ts"] >= latest[event["pid"]]
        latest[event["pid"]] = event["ts"]
        if event["ph"] == "X":
            start, length = round(event["ts"] * 1000), round(event["dur"] * 1000)
            threads[place].append((start, start + length))
        else:
            key = (event["cat"], event["id"])
            assert (key in waiting) == (event["ph"] == "e")
            waiting ^= {key}
    assert not waiting
    assert {("thread_name", *place) for place in used} | {("process_name", pid, 0) for pid, _ in used} == named
    for spans in threads.values():
        stack: list[int] = []
        for start, end in spans:
            while stack and stack[-1] <= start:
                stack.pop()
            assert not stack or end <= stack[-1]
            stack.append(end)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_recorded_layers(precision: str) -> None:
    recorded = events(precision)
    document = chrome_trace(layers=recorded)
    check(document)
    shown = [e for e in document["traceEvents"] if e["ph"] == "X"]
    queries = [e for e in shown if e["cat"] == "query"]
    assert [e["name"] for e in queries] == ["query 0", "query 1"]
    assert len(shown) == len(recorded) + 2
    assert shown[0]["ts"] == 0
    body = next(e for e in shown if e["name"] == "body")
    assert body["args"]["nodes"][0] == "node_conv2d_1"
    for query in queries:
        inside = [e for e in shown if e["cat"] != "query" and query["ts"] <= e["ts"] < query["ts"] + query["dur"]]
        assert len(inside) == len(recorded) / 2
        assert max(e["ts"] + e["dur"] for e in inside) == pytest.approx(query["ts"] + query["dur"])


def queue(scheduled: list[int], start: list[int], end: list[int]) -> Timeline:
    return Timeline(np.array(scheduled), np.array(start), np.array(end), warmup=0, stable=True)


STEPS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.integers(0, 50)), min_size=1, max_size=20)


@given(STEPS, st.integers(0, 2**60))
def test_a_queue_of_queries(steps: list[tuple[int, int, int]], clock: int) -> None:
    issued, started, finished = [], [], []
    due = free = clock
    for gap, late, takes in steps:
        due += gap
        start = max(due + late, free)
        free = start + takes
        issued.append(due)
        started.append(start)
        finished.append(free)
    document = chrome_trace(query_spans(queue(issued, started, finished)))
    check(document)
    shown = document["traceEvents"]
    late_queries = sum(start > due for due, start in zip(issued, started, strict=True))
    assert sum(e["ph"] == "b" for e in shown) == late_queries
    lengths = [round(e["dur"] * 1000) for e in shown if e["ph"] == "X"]
    assert sorted(lengths) == sorted(takes for _, _, takes in steps)


@given(STEPS, st.floats(0, 3e7))
def test_rounding_makes_no_overlap(steps: list[tuple[int, int, int]], clock_s: float) -> None:
    spans = []
    for gap, _, takes in steps:
        start_s = clock_s + gap / 1e6
        clock_s = start_s + takes / 1e6
        spans.append(Span("s", start_s * 1e6, (clock_s - start_s) * 1e6, "t"))
    check(chrome_trace(spans))


def test_both_runs_begin_at_zero_in_processes_of_their_own(tmp_path: Path) -> None:
    spans = query_spans(queue([1000, 1010], [1000, 1020], [1015, 1030]))
    write_trace(tmp_path / "trace.json", spans, events("int8"), "tiny-cpu")
    document = json.loads((tmp_path / "trace.json").read_text())
    check(document)
    names = [e["args"]["name"] for e in document["traceEvents"] if e["name"] == "process_name"]
    assert names == ["tiny-cpu: timed run", "tiny-cpu: layers (profiled run, slower)"]
    for pid in (1, 2):
        assert min(e["ts"] for e in document["traceEvents"] if e["pid"] == pid and e["ph"] != "M") == 0
    wait = next(e for e in document["traceEvents"] if e["ph"] == "b")
    assert wait["args"] == {"query": 1}


def test_an_empty_trace_is_a_trace() -> None:
    assert chrome_trace() == {"displayTimeUnit": "ms", "traceEvents": []}


def test_spans_that_a_viewer_would_draw_wrongly_are_refused() -> None:
    with pytest.raises(InputError, match=r"span 'b' of track 't' at 5\.0 us outlasts the one it began in"):
        chrome_trace([Span("a", 0, 10, "t"), Span("b", 5, 10, "t")])
    check(chrome_trace([Span("a", 0, 10, "t"), Span("b", 5, 10, "u"), Span("c", 2, 8, "t"), Span("d", 2, 3, "t")]))
    check(chrome_trace([Span("a", 0, 10, "t", overlapping=True), Span("b", 5, 10, "t", overlapping=True)]))
    with pytest.raises(InputError, match="span 'a'"):
        Span("a", 0, -1, "t")
    with pytest.raises(InputError, match="span 'query'"):
        query_spans(queue([0], [0], [-1]))
