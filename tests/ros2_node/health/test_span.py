from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.ros2_node.health._span import Lasting, Recent

STEPS = st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=40)


@settings(deadline=None)
@given(STEPS, st.floats(0, 5))
def test_recent_holds_exactly_what_the_window_spans(steps: list[tuple[float, bool]], window_s: float) -> None:
    recent: Recent[int] = Recent()
    now_s, told = 0.0, []
    for k, (step_s, _) in enumerate(steps):
        now_s += step_s
        recent.add(now_s, k)
        told.append((now_s, k))
    assert recent.within(now_s, window_s) == [item for item in told if now_s - item[0] <= window_s]


def test_recent_is_bounded() -> None:
    recent: Recent[int] = Recent(3)
    for k in range(10):
        recent.add(0.0, k)
    assert [item for _, item in recent.within(0.0, 1)] == [7, 8, 9]


def test_a_clock_that_jumps_back_empties_it_and_a_race_of_threads_does_not() -> None:
    recent: Recent[str] = Recent()
    recent.add(100.0, "before")
    assert recent.within(99.999, 1.0) == [(100.0, "before")]
    recent.add(5.0, "after")
    assert recent.within(5.0, 1000.0) == [(5.0, "after")]


@settings(deadline=None)
@given(STEPS, st.floats(0.1, 2), st.floats(0.1, 2))
def test_lasting_holds_after_it_lasted_and_until_it_was_gone(
    steps: list[tuple[float, bool]], raise_s: float, clear_s: float
) -> None:
    lasting, now_s = Lasting(), 0.0
    seen: list[tuple[float, bool]] = []
    for step_s, condition in steps:
        now_s += step_s
        seen.append((now_s, condition))
        before = lasting.holds
        holds = lasting.see(condition, now_s, raise_s, clear_s)
        if holds and not before:  # an unbroken run of the length that is asked led here
            since = next((k for k in range(len(seen) - 1, -1, -1) if not seen[k][1]), -1) + 1
            assert condition
            assert now_s - seen[since][0] >= raise_s
        if before and not holds:
            last = max(time_s for time_s, there in seen if there)
            assert now_s - last >= clear_s


def test_lasting_does_not_flap_on_a_condition_that_comes_and_goes() -> None:
    lasting = Lasting()
    assert lasting.see(True, 0.0, 0.0, 1.0)
    assert all(lasting.see(k % 2 == 0, k * 0.5, 0.0, 1.0) for k in range(1, 20))
    assert lasting.see(False, 9.9, 0.0, 1.0)
    assert not lasting.see(False, 10.0, 0.0, 1.0)
