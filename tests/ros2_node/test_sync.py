"""Frames of several cameras that belong together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgekit.ros2_node.frame import Frame
from edgekit.ros2_node.sync import DEPTH, Synchronizer


def frame(camera: str, stamp_s: float) -> Frame:
    return Frame(camera, lambda: None, stamp_s, stamp_s)


def stamps(query):
    return {source: one.stamp_s for source, one in query.frames.items()}


def test_frames_of_one_moment_are_one_query():
    sync = Synchronizer(["left", "right"], 0.02)
    assert sync.add(frame("right", 1.00)) == (None, [])
    query, lost = sync.add(frame("left", 1.01))
    assert stamps(query) == {"left": 1.01, "right": 1.00}
    assert (query.leader.camera, lost) == ("left", [])


def test_what_has_no_partner_is_dropped_and_said():
    sync = Synchronizer(["left", "right"], 0.02)
    sync.add(frame("left", 1.0))
    sync.add(frame("left", 2.0))
    query, lost = sync.add(frame("right", 2.0))
    assert stamps(query) == {"left": 2.0, "right": 2.0}
    assert [one.stamp_s for one in lost] == [1.0]


def test_a_silent_partner_does_not_make_frames_pile_up():
    sync = Synchronizer(["left", "right"], 0.02)
    lost = [one for n in range(3 * DEPTH) for one in sync.add(frame("left", n))[1]]
    assert [one.stamp_s for one in lost] == list(range(2 * DEPTH))


@given(st.lists(st.tuples(st.sampled_from("lr"), st.integers(0, 400)), max_size=60))
def test_each_frame_goes_one_way_and_queries_hold_together(sent):
    sync, out, lost = Synchronizer("lr", 0.02), [], []
    ordered = sorted(sent, key=lambda one: one[1])
    for camera, tick in ordered:
        query, gone = sync.add(frame(camera, tick / 100))
        lost += gone
        if query is not None:
            out.append(stamps(query))
    assert all(abs(one["l"] - one["r"]) <= 0.02 for one in out)
    used = 2 * len(out) + len(lost)
    assert len(ordered) - 2 * DEPTH <= used <= len(ordered)
