"""The simulation of the gate's error rates, on a recording made up for the purpose."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import gate_power


def simulation(between: float, trials: int = 12) -> gate_power.Simulation:
    """Openings whose copies differ by ``between`` (lognormal), and frames of three classes."""
    rng = np.random.default_rng(0)

    def times(*shape: int) -> np.ndarray:
        speed = rng.normal(0, between, (*shape[:-1], 1, 2))
        return np.asarray(10 * np.exp(speed + rng.normal(0, 0.01, (*shape, 2))))

    counts = rng.integers(200, 400, (80, 3, 3))
    counts[:, 1:] += 200  # unions are larger than what is right
    fewer = counts - rng.integers(0, 4, (80, 1, 1)) * np.array([1, 0, 0])[:, None]
    return gate_power.Simulation(times(9, 20, 10), times(6, 200), counts, fewer, trials, 0.95, rng)


def test_a_degraded_recording_loses_what_was_asked() -> None:
    made = simulation(0.01)
    goal = gate_power.Frames(made.control).miou - 0.01
    worse = gate_power.degraded(made.candidate.astype(float), goal, np.random.default_rng(0))
    assert gate_power.Frames(worse).miou == pytest.approx(goal, abs=1e-9)
    assert worse[:, 1].sum() == pytest.approx(made.candidate[:, 1].sum())  # every pixel is still predicted


def test_a_quiet_machine_decides_and_a_loud_one_does_not() -> None:
    quiet, loud = (simulation(between).table() for between in (0.005, 0.1))
    assert quiet["A/A: in turn, by openings"]["pass"] == 1
    assert quiet["p50 x 1.05: in turn, by openings"]["fail"] == 1
    assert loud["A/A: in turn, by openings"]["fail"] <= 0.1
    assert loud["A/A: in turn, by openings"]["undecided"] > 0.5
    for row in loud.values():
        assert row["pass"] + row["undecided"] + row["fail"] == pytest.approx(1)


def test_coverage_is_of_every_interval() -> None:
    found = simulation(0.02).coverage()
    assert {"p50, by openings", "p90, by openings", "ratio in turn, by openings", "mIoU", "mIoU difference"} <= set(
        found
    )
    assert found["p50, by openings"] >= found["p50, queries of openings taken as independent"]
