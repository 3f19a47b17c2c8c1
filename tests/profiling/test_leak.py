"""Growth of memory: the arithmetic on made-up series, and real processes that leak or do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import CheckFailed, InputError
from edgekit.engine import ort
from edgekit.profiling import assess_growth, leak_test
from tests.support.graphs import node, write
from tests.support.keeping_engine import install_keeping_engine

FEEDS = {"x": np.zeros((1, 4), np.float32)}
COUNTS = np.arange(10.0, 2010.0, 10.0)


def judged(kib: Any, limit_kib: float = 64.0) -> Mapping[str, Any]:
    return assess_growth(COUNTS, np.asarray(kib, np.float64), limit_kib)


@settings(deadline=None)  # the first call imports SciPy
@given(st.floats(-500, 5000), st.floats(0, 1e6))
def test_the_slope_of_a_straight_line(slope: float, start: float) -> None:
    found = judged(start + slope * COUNTS / 1000)
    assert found.slope_kib_per_1000 == pytest.approx(slope, abs=1e-3)
    assert found.low <= found.slope_kib_per_1000 <= found.high


@pytest.mark.parametrize(
    ("kib", "verdict"),
    [
        (np.full(200, 50_000.0), "no leak"),
        (50_000 + COUNTS, "leak"),
        (50_000 + np.minimum(COUNTS, 300) * 10, "no leak"),  # it fills its arena, then stands still
        (50_000 + 4096.0 * (COUNTS > 1900), "no leak"),
        (50_000 + 4096.0 * (COUNTS > 1200), "undecided"),  # one jump may be the first of many
        (50_000 - COUNTS, "no leak"),
    ],
)
def test_verdicts(kib: Any, verdict: str) -> None:
    assert judged(kib).verdict == verdict


def test_noise_as_large_as_the_limit_decides_nothing() -> None:
    noise = np.random.default_rng(3).normal(0, 400, len(COUNTS))
    found = judged(50_000 + 0.06 * COUNTS + noise, limit_kib=60.0)
    assert found.verdict == "undecided"
    assert found.low <= 60.0 < found.high
    assert "run more queries" in found.reason


def test_a_few_pages_in_all_decide_nothing() -> None:
    few = assess_growth(COUNTS / 10, 50_000 + 0.03 * COUNTS, 64.0)
    assert (few.verdict, few.low > 64.0) == ("undecided", True)
    assert "too little in all, run more queries" in few.reason
    assert assess_growth(COUNTS, 50_000 + 1.0 * COUNTS, 64.0).verdict == "leak"


def test_the_interval_covers_the_slope_when_neighbours_resemble_each_other() -> None:
    rng, covered, runs = np.random.default_rng(7), 0, 300
    for _ in range(runs):
        noise = np.zeros(len(COUNTS))
        for at, shock in enumerate(rng.normal(0, 100, len(COUNTS) - 1), start=1):
            noise[at] = 0.6 * noise[at - 1] + shock
        found = judged(50_000 + 0.1 * COUNTS + noise)
        covered += found.low <= 100.0 <= found.high
    assert covered / runs > 0.88  # 0.95 is nominal; without blocks it is 0.65


@pytest.mark.parametrize(
    ("counts", "kib", "limit", "words"),
    [
        (COUNTS[:39], np.zeros(39), 1.0, "at least 40 of both"),
        (COUNTS, np.zeros(10), 1.0, "10 sizes at 200 counts"),
        (COUNTS[::-1], np.zeros(200), 1.0, "must grow"),
        (COUNTS, np.full(200, np.nan), 1.0, "must grow, and its sizes be finite"),
        (COUNTS, np.zeros(200), -1.0, "a limit of -1"),
    ],
)
def test_what_cannot_be_judged(counts: Any, kib: Any, limit: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        assess_growth(counts, kib, limit)


@pytest.mark.parametrize(("kib_a_query", "verdict"), [(4, "leak"), (0, "no leak")])
def test_an_engine_that_keeps_memory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kib_a_query: int, verdict: str
) -> None:
    install_keeping_engine(tmp_path / "site", monkeypatch)
    config = {"engine": "keeping", "kib_a_query": kib_a_query}
    found = leak_test(tmp_path / "e.keeping", config, FEEDS, queries=400)
    assert found.verdict == verdict, found.reason
    if kib_a_query:
        assert found.slope_kib_per_1000 == pytest.approx(4000, rel=0.1)
    assert len(found.memory_kib) == 200
    assert found.memory_kib[-1][0] == found.queries == 400


def test_onnx_runtime_does_not_leak(tmp_path: Path) -> None:
    tensors = [("x", (1, 4), "float32")], [("y", (1, 4), "float32")]
    engine = tmp_path / "small.ort.onnx"
    ort.Backend(ort.Config(engine="ort")).build(
        write(tmp_path / "m.onnx", [node("Relu", "x", "y")], *tensors, {}), engine
    )
    found = leak_test(engine, {"engine": "ort"}, FEEDS, queries=2000)
    assert found.verdict != "leak", found.reason


def test_too_few_queries() -> None:
    with pytest.raises(InputError, match="a leak test of 50 queries; at least 200"):
        leak_test(Path("none"), {"engine": "ort"}, FEEDS, queries=50)


def test_a_child_that_dies_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.ort.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckFailed, match=r"measures leak of bad\.ort\.onnx ended with 1"):
        leak_test(tmp_path / "bad.ort.onnx", {"engine": "ort"}, FEEDS)
