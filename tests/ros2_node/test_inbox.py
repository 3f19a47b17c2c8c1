"""The newest frame wins, nobody waits, and every camera has its turn."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from edgekit.ros2_node.frame import Frame, Query
from edgekit.ros2_node.inbox import Inbox
from tests.support.waiting import until


def query(camera: str, stamp_s: float = 0.0) -> Query:
    return Query({"image": Frame(camera, lambda: None, stamp_s, stamp_s)})


def test_the_newest_frame_wins():
    inbox = Inbox(["front"])
    assert inbox.put(query("front", 1)) is None
    assert inbox.put(query("front", 2)).stamp_s == 1
    assert inbox.take().leader.stamp_s == 2


def test_a_reader_waits_until_there_is_one_or_it_closes():
    inbox, seen = Inbox(["front"]), []

    def read():
        seen.append(inbox.take())
        seen.append(inbox.take())

    reader = threading.Thread(target=read)
    reader.start()
    inbox.put(query("front", 1))
    until(lambda: seen)
    inbox.close()
    reader.join()
    assert [one and one.leader.stamp_s for one in seen] == [1, None]
    assert inbox.take() is None


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_no_camera_is_served_twice_while_another_waits(puts):
    """However often a camera sends, between two of its turns every camera that has a frame gets one."""
    inbox = Inbox("abc")
    for camera in "abc":
        inbox.put(query(camera))
    served = []
    for camera in puts:
        served.append(inbox.take().leader.camera)
        for name in {"a", "b", "c"}:  # all of them always have a frame
            inbox.put(query(name))
        inbox.put(query(camera))
    for start in range(len(served) - 2):
        assert sorted(served[start : start + 3]) == ["a", "b", "c"]
