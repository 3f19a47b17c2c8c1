"""Recordings: what is received is on the disk, bounded, in order, and what is lost is counted."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.bags import Bag
from edgekit.core.errors import InputError, OutputError
from edgekit.ros2_node.bags.backlog import OVERHEAD, Backlog
from edgekit.ros2_node.bags.definitions import Definitions
from edgekit.ros2_node.bags.recording import LOST, Plan, Recording, RingPlan
from edgekit.ros2_node.bags.ring import Received, Ring
from edgekit.ros2_node.bags.triggers import Seen, Triggers, checked
from edgekit.ros2_node.bags.writer import MIB, Limits, TopicEntry
from tests.support.waiting import until

SECOND = 10**9
STRING = Definitions()["std_msgs/msg/String"]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


class TestRing:
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40)), max_size=60),
        st.integers(1, 100),
        st.integers(0, 200),
    )
    def test_both_bounds_hold_and_the_newest_stay(self, steps: list[tuple[int, int]], span: int, most: int) -> None:
        ring, time, sent = Ring(span, most), 0, []
        for step, size in steps:
            time += step
            sent.append(Received("/a", time, bytes(size)))
            ring.add(sent[-1])
            assert ring.size <= most
        held = list(ring.take())
        assert held == sent[len(sent) - len(held) :]
        assert all(one.time_ns >= time - span for one in held)
        assert len(ring) == ring.size == 0
        # Nothing went that had to go by neither bound.
        if len(held) < len(sent):
            before = sent[len(sent) - len(held) - 1]
            room = sum(len(one.data) for one in held) + len(before.data) > most or any(
                sum(len(m.data) for m in sent[len(sent) - len(held) - 1 : end]) > most
                for end in range(1, len(sent) + 1)
            )
            assert before.time_ns < time - span or room

    def test_latched_messages_stay_and_come_first(self) -> None:
        ring = Ring(10, 1000)
        ring.add(Received("/labels", 1, b"old"), latched=True)
        ring.add(Received("/labels", 2, b"new"), latched=True)
        for time in range(50, 80):
            ring.add(Received("/a", time, b"x"))
        taken = list(ring.take())
        assert taken[0] == Received("/labels", 69, b"new")
        assert [one.time_ns for one in taken[1:]] == list(range(69, 80))
        assert [one.topic for one in ring.take()] == ["/labels"]


class TestTriggers:
    def test_a_status_that_stays_bad_triggers_once(self) -> None:
        triggers = Triggers(frozenset({"error"}), "/edgekit")
        levels = [0, 2, 2, 0, 1, 2]
        found = [triggers.see([Seen("edgekit: engine", level)]) for level in levels]
        assert found == [[], ["error: edgekit: engine"], [], [], [], ["error: edgekit: engine"]]

    @pytest.mark.parametrize(
        ("kind", "name", "level", "fires"),
        [
            ("drift", "edgekit: input drift", 1, True),
            ("drift", "edgekit: front: input drift", 2, True),
            ("drift", "edgekit: deadline", 1, False),
            ("deadline", "edgekit: deadline", 1, True),
            ("deadline", "edgekit: deadline", 0, False),
            ("deadline", "edgekit: deadline", 3, False),  # stale
            ("error", "edgekit: deadline", 1, False),
            ("error", "other: engine", 2, False),
            ("service", "edgekit: engine", 2, False),
        ],
    )
    def test_kinds(self, kind: str, name: str, level: int, fires: bool) -> None:
        found = Triggers(frozenset({kind}), "/edgekit").see([Seen(name, level)])
        assert found == ([f"{kind}: {name}"] if fires else [])

    def test_unknown_kinds(self) -> None:
        assert checked(["error", " drift", ""]) == {"error", "drift"}
        with pytest.raises(InputError, match="'erorr' triggers nothing; did you mean 'error'"):
            checked(["erorr"])


class TestBacklog:
    def test_what_does_not_fit_is_dropped_and_counted(self) -> None:
        backlog = Backlog(2 * (10 + OVERHEAD))
        assert [backlog.put(Received(f"/{i % 2}", i, bytes(10))) for i in range(5)] == [True, True, False, False, False]
        assert backlog.dropped == {"/0": 2, "/1": 1}
        first = backlog.take(0)
        assert first is not None
        assert first.time_ns == 0
        assert backlog.put(Received("/0", 9, bytes(10)))
        backlog.close()
        assert not backlog.put(Received("/0", 10, b""))
        assert [one.time_ns for one in iter(lambda: backlog.take(0), None)] == [1, 9]
        assert backlog.ended
        assert backlog.most == 2 * (10 + OVERHEAD)


def recording(folder: Path, plan: Plan | None = None, clock: Clock | None = None, **keys: object) -> Recording:
    made = Recording(folder, plan, now_ns=clock or Clock(), **keys)  # type: ignore[arg-type]
    made.add(TopicEntry("/a", STRING))
    made.add(TopicEntry("/labels", STRING), latched=True)
    return made


class TestEverything:
    def test_messages_of_several_threads_are_all_there(self, tmp_path: Path) -> None:
        made = Recording(tmp_path / "bag")
        for i in range(4):
            made.add(TopicEntry(f"/{i}", STRING))

        def send(topic: int) -> None:
            for number in range(50):
                made.receive(f"/{topic}", str(number).encode())

        threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made.describe("edgekit.identity", {"bundle": "b@1"})
        summary = made.close()
        assert summary.written == summary.received == {f"/{i}": 50 for i in range(4)}
        with Bag(tmp_path / "bag") as bag:
            for i in range(4):
                assert [m.data for m in bag.messages([f"/{i}"])] == [str(n).encode() for n in range(50)]
            assert json.loads(bag.custom["edgekit.identity"]) == {"bundle": "b@1"}
            assert json.loads(bag.custom[LOST]) == {"lost": {}, "dropped": {}, "refused": {}}

    def test_what_the_middleware_lost_is_kept(self, tmp_path: Path) -> None:
        told: list[str] = []
        made = recording(tmp_path / "bag", told=told.append)
        made.lose("/a", 2)
        made.lose("/a", 1)
        assert made.close().lost == {"/a": 3}
        assert told == ["/a: the middleware lost messages before they were received"]
        with Bag(tmp_path / "bag") as bag:
            assert json.loads(bag.custom[LOST])["lost"] == {"/a": 3}

    def test_a_full_bag_ends_it(self, tmp_path: Path) -> None:
        told: list[str] = []
        made = recording(tmp_path / "bag", Plan(Limits(MIB)), told=told.append)
        for _ in range(8):
            made.receive("/a", bytes(200_000))
        until(lambda: not made.running, "the end of the recording")
        summary = made.close()
        assert summary.refused["/a"] + summary.written["/a"] == 8
        assert summary.refused["/a"] > 0
        assert any("is full" in sentence for sentence in told)
        assert summary.size <= MIB
        with Bag(tmp_path / "bag") as bag:
            assert json.loads(bag.custom[LOST])["refused"] == {"/a": summary.refused["/a"]}

    def test_a_full_disk_ends_it_and_what_was_written_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from rosbags.rosbag2 import Writer

        write, count = Writer.write, iter(range(100))

        def full(*arguments: object) -> None:
            if next(count) >= 5:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Writer, "write", full)
        made = recording(tmp_path / "bag")
        for number in range(5):
            made.receive("/a", str(number).encode())

        def flushed() -> bool:
            if not any((tmp_path / "bag").rglob("*.mcap")):
                return False
            with Bag(tmp_path / "bag") as bag:
                return bag.topics.get("/a") is not None and bag.topics["/a"].count == 5

        until(flushed, "five messages on the disk")
        made.receive("/a", b"too much")
        until(lambda: not made.running, "the end of the recording")
        with pytest.raises(OutputError, match="no space left on device; free space there"):
            made.close()
        with Bag(tmp_path / "bag") as bag:
            assert [m.data for m in bag.messages(["/a"])] == [b"0", b"1", b"2", b"3", b"4"]

    def test_a_slow_disk_drops_and_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from edgekit.ros2_node.bags.writer import BagWriter

        gate, write = threading.Event(), BagWriter.write

        def slow(*arguments: object) -> bool:
            gate.wait()
            return write(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(BagWriter, "write", slow)
        told: list[str] = []
        made = recording(tmp_path / "bag", Plan(backlog_bytes=5 * (100 + OVERHEAD)), told=told.append)
        for _ in range(20):
            made.receive("/a", bytes(100))  # returns though the disk stands still
        gate.set()
        summary = made.close()
        assert summary.received["/a"] == 20
        assert summary.written["/a"] in (5, 6)
        assert summary.dropped["/a"] == 20 - summary.written["/a"]
        assert told == ["/a: the disk is too slow, messages are dropped"]
        with Bag(tmp_path / "bag") as bag:
            assert json.loads(bag.custom[LOST])["dropped"] == {"/a": summary.dropped["/a"]}

    def test_something_is_there_already(self, tmp_path: Path) -> None:
        (tmp_path / "mine").touch()
        for plan in (Plan(), Plan(ring=RingPlan())):
            with pytest.raises(InputError, match="is there already"):
                Recording(tmp_path, plan)


class TestRingOfBags:
    PLAN = Plan(ring=RingPlan(span_s=10, after_s=2))

    def fill(self, made: Recording, clock: Clock, count: int) -> None:
        """A message a second."""
        for _ in range(count):
            clock.now += SECOND
            made.receive("/a", str(clock.now // SECOND).encode())

    def test_the_seconds_around_a_trigger_are_saved(self, tmp_path: Path) -> None:
        clock = Clock()
        made = recording(tmp_path / "bags", self.PLAN, clock)
        made.receive("/labels", b"labels")
        self.fill(made, clock, 30)
        began = clock.now
        assert made.trigger("error: edgekit: engine")
        assert not made.trigger("error: edgekit: camera")  # the same seconds
        self.fill(made, clock, 2)
        until(lambda: made.summary.bags, "a saved bag")
        self.fill(made, clock, 3)
        summary = made.close()
        assert summary.bags == ["20231114T221350.000Z_error_edgekit_engine"]
        with Bag(tmp_path / "bags" / summary.bags[0]) as bag:
            times = [m.time_ns for m in bag.messages(["/a"])]
            assert times[-1] == began + 2 * SECOND
            assert times[0] == began + 2 * SECOND - 10 * SECOND
            assert [m.data for m in bag.messages(["/labels"])] == [b"labels"]
            assert json.loads(bag.custom["edgekit.trigger"])["why"] == "error: edgekit: engine"

    def test_bags_do_not_overlap(self, tmp_path: Path) -> None:
        clock = Clock()
        made = recording(tmp_path / "bags", self.PLAN, clock)
        for number in range(3):
            self.fill(made, clock, 4)
            until(lambda: made.trigger("service"), "room for a trigger")
            self.fill(made, clock, 2)
            until(lambda: len(made.summary.bags) == number + 1, "a saved bag")  # noqa: B023
        times = []
        for name in made.close().bags:
            with Bag(tmp_path / "bags" / name) as bag:
                times += [m.time_ns for m in bag.messages(["/a"])]
        assert times == sorted(set(times))
        assert len(times) == 18

    def test_a_trigger_just_before_the_end_is_saved(self, tmp_path: Path) -> None:
        clock = Clock()
        made = recording(tmp_path / "bags", self.PLAN, clock)
        self.fill(made, clock, 3)
        made.trigger("service")
        assert len(made.close().bags) == 1

    def test_without_a_trigger_nothing_is_written(self, tmp_path: Path) -> None:
        clock = Clock()
        made = recording(tmp_path / "bags", self.PLAN, clock)
        self.fill(made, clock, 3)
        assert made.close().bags == []
        assert list((tmp_path / "bags").iterdir()) == []

    @pytest.mark.parametrize("when_full", ["stop", "oldest"])
    def test_all_bags_together_are_bounded(self, when_full: str, tmp_path: Path) -> None:
        clock = Clock()
        plan = Plan(Limits(4 * MIB, when_full=when_full), RingPlan(10, 0))  # type: ignore[arg-type]
        made = recording(tmp_path / "bags", plan, clock)
        for number in range(6):
            for _ in range(10):
                clock.now += SECOND
                made.receive("/a", bytes(100_000))
            until(lambda: made.trigger("service"), "room for a trigger")
            outcomes = (made.summary.bags, made.summary.unsaved, made.summary.removed)
            until(lambda: sum(map(len, outcomes)) > number, "a save")  # noqa: B023
            size = sum(file.stat().st_size for file in (tmp_path / "bags").rglob("*.mcap"))
            assert size <= 4 * MIB
        summary = made.close()
        kept = sorted(path.name for path in (tmp_path / "bags").iterdir())
        assert kept == sorted(summary.bags)
        assert kept
        if when_full == "stop":
            assert summary.unsaved or summary.refused
            assert not summary.removed
        else:
            assert summary.removed
            assert not summary.unsaved

    @pytest.mark.parametrize("wrong", [{"span_s": 0}, {"span_s": 5, "after_s": 6}, {"max_bytes": 10}])
    def test_mistakes(self, wrong: dict[str, int]) -> None:
        with pytest.raises(InputError):
            RingPlan(**wrong)
