"""The proof that spares drawing half of nearly every drive."""

from __future__ import annotations

import numpy as np
from benchmarks import input_drift
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.evaluation.input_statistics import JUDGED
from edgekit.ros2_node.health import Level, Limits, Monitor
from tests.ros2_node.health.test_drift import NORMAL

FRAMES = input_drift.FRAMES


def called(beyond: list[bool]) -> bool:
    """What the monitor says of a drive whose frames lie beyond the reference or in its middle."""
    monitor = Monitor(Limits(drift_period_s=0.3), [""], NORMAL)
    monitor.active(True, 0.0)
    found = False
    for k, out in enumerate(beyond):
        row = np.full(len(JUDGED), 100.0 if out else 0.0)
        monitor._cameras[""].drift._rows.add(k / 3, row)
        found |= monitor.statuses(k / 3)[-1].level != Level.OK
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=FRAMES, max_size=FRAMES), st.booleans())
def test_a_drive_that_cannot_be_called_is_not(beyond: list[bool], mostly: bool) -> None:
    if not mostly:
        beyond = [out and k % 2 == 1 for k, out in enumerate(beyond)]
    rows = {k: np.full(len(JUDGED), 100.0 if beyond[k] else 0.0) for k in range(0, FRAMES, 2)}
    if input_drift.cannot_be_called(rows, NORMAL):
        assert not called(beyond)
        assert not called([beyond[k] if k in rows else True for k in range(FRAMES)])


def test_frames_in_the_middle_spare_the_others_and_frames_beyond_do_not() -> None:
    inside = {k: np.zeros(len(JUDGED)) for k in range(0, FRAMES, 2)}
    assert input_drift.cannot_be_called(inside, NORMAL)
    assert not input_drift.cannot_be_called({k: row + 100 for k, row in inside.items()}, NORMAL)
    assert not input_drift.cannot_be_called({}, NORMAL)


def test_a_drive_holds_one_scene() -> None:
    steps = [input_drift.step(k) for k in range(FRAMES)]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, input_drift.STEPS - 1)


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    assert abs(input_drift.upper_bound(0, 8640) - (1 - 0.05 ** (1 / 8640))) < 1e-12
    assert input_drift.upper_bound(3, 3) == 1
