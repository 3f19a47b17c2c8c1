"""When the lighter bundle runs, and what is said."""

from __future__ import annotations

from edgekit.ros2_node.degrade import Degradation, Mode


def run(degradation: Degradation, begin_s: float, seconds: float, dropped_every: int) -> list[Mode]:
    """So many seconds at 30 Hz of which every so-manieth frame is dropped; the mode after each frame."""
    modes = []
    for n in range(int(30 * seconds)):
        degradation.frame(begin_s + n / 30, dropped_every > 0 and n % dropped_every == 0)
        modes.append(degradation.mode(begin_s + n / 30))
    return modes


def test_an_engine_that_keeps_up_changes_nothing():
    assert set(run(Degradation(True, 2.0, 30.0), 100, 10, 0)) == {Mode()}


def test_an_overload_is_said_with_its_rate():
    last = run(Degradation(False, 2.0, 30.0), 100, 5, 2)[-1]
    assert not last.light
    assert last.said == "The engine does not keep up: 15.0 of 30.0 frames a second are answered."


def test_the_lighter_bundle_runs_after_a_lasting_overload_and_the_other_is_tried_again():
    degradation = Degradation(True, 2.0, 30.0)
    modes = run(degradation, 100, 4, 2)
    first = next(n for n, mode in enumerate(modes) if mode.light)
    assert 2.0 <= first / 30 <= 2.2
    calm = run(degradation, 104, 40, 0)
    assert calm[60].said == "The lighter bundle runs: the other one did not keep up."
    back = next(n for n, mode in enumerate(calm) if not mode.light)
    assert abs(104 + back / 30 - (100 + first / 30 + 30)) < 0.1
    assert calm[-1] == Mode()


def test_a_short_burst_changes_no_bundle():
    degradation = Degradation(True, 2.0, 30.0)
    assert not any(mode.light for mode in run(degradation, 100, 1, 2) + run(degradation, 101, 5, 0))
