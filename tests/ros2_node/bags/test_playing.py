"""What is replayed, when, and when a frame's results are complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.bags import Bag
from edgekit.core.errors import DataError, InputError
from edgekit.ros2_node.bags.definitions import Definitions
from edgekit.ros2_node.bags.playing import Pace, Play, Results, chosen, remapped
from edgekit.ros2_node.bags.recording import ROLES
from edgekit.ros2_node.bags.writer import BagWriter, TopicEntry

STRING = Definitions()["std_msgs/msg/String"]
TOPICS = ("/camera/image", "/camera/info", "/edgekit/output/mask", "/diagnostics", "/clock")


def bag(folder: Path, roles: dict[str, str] | None, empty: tuple[str, ...] = ()) -> Path:
    writer = BagWriter(folder, custom=None if roles is None else {ROLES: json.dumps(roles)})
    for topic in TOPICS:
        writer.add(TopicEntry(topic, STRING))
        if topic not in empty:
            writer.write(topic, 1, b"x")
    writer.close()
    return folder


def topics(path: Path, *patterns: str, remap: dict[str, str] | None = None) -> list[str]:
    with Bag(path) as opened:
        return sorted(chosen(opened, patterns, remap or {}))


ROLES_OF = {"/camera/image": "input", "/edgekit/output/mask": "output", "/diagnostics": "diagnostics"}


class TestChosen:
    def test_the_inputs_of_the_recorded_node(self, tmp_path: Path) -> None:
        assert topics(bag(tmp_path / "bag", ROLES_OF)) == ["/camera/image"]

    def test_without_roles_all_but_what_watches(self, tmp_path: Path) -> None:
        assert topics(bag(tmp_path / "bag", None)) == ["/camera/image", "/camera/info", "/edgekit/output/mask"]

    def test_roles_without_an_input(self, tmp_path: Path) -> None:
        found = topics(bag(tmp_path / "bag", {"/edgekit/output/mask": "output", "/camera/image": "other"}))
        assert found == ["/camera/image", "/camera/info"]

    def test_patterns(self, tmp_path: Path) -> None:
        path = bag(tmp_path / "bag", ROLES_OF)
        assert topics(path, "/camera/*") == ["/camera/image", "/camera/info"]
        assert topics(path, "/diagnostics", "/c?ock") == ["/clock", "/diagnostics"]
        with pytest.raises(InputError, match=r"/front/\*: fits no topic"):
            topics(path, "/front/*")
        with pytest.raises(InputError, match="/camra/image: fits no topic"):
            topics(path, remap={"/camra/image": "/x"})

    def test_nothing_is_left(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has no message to replay"):
            topics(bag(tmp_path / "bag", ROLES_OF, empty=("/camera/image",)))


class TestRemap:
    def test_rules(self) -> None:
        assert remapped(["/a:=/b", "/c:=/d", "/a:=/b"]) == {"/a": "/b", "/c": "/d"}

    @pytest.mark.parametrize("rules", [["a:=/b"], ["/a:=b"], ["/a=/b"], ["/a:=/b", "/a:=/c"]])
    def test_mistakes(self, rules: list[str]) -> None:
        with pytest.raises(InputError, match="--remap"):
            remapped(rules)


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": float("nan")}, {"wait_s": 0}, {"timeout_s": -1}])
def test_mistakes(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Play(**wrong)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.floats(0, 1e6), st.integers(0, 2 * 10**18), st.floats(0.01, 100), st.integers(0, 10**13))
def test_the_clock_says_what_is_due(start: float, first: int, rate: float, after: int) -> None:
    pace = Pace(start, first, rate)
    due = pace.due_s(first + after)
    assert due == pytest.approx(start + after / 1e9 / rate)
    assert abs(pace.bag_ns(due) - first - after) <= max(10_000, 1e-3 * after * 1e-6 + 1e9 * rate * 1e-9)


class TestResults:
    def test_a_frame_is_complete_when_every_topic_has_its_stamp(self) -> None:
        results = Results(["/edgekit/output/mask", "/edgekit/output/boxes"])
        results.add("/edgekit/output/mask", 5, b"old")
        results.add("/edgekit/output/mask", 7, b"mask")
        assert results.complete(7) == []
        assert results.lacking(7) == ["/edgekit/output/boxes"]
        results.add("/edgekit/output/boxes", 7, b"boxes")
        assert results.complete(7) == [("/edgekit/output/boxes", b"boxes"), ("/edgekit/output/mask", b"mask")]
        assert results.complete(7) == []  # they are given once

    def test_each_camera_has_its_topics(self) -> None:
        results = Results(["/edgekit/front/output/mask", "/edgekit/rear/output/mask"])
        results.add("/edgekit/rear/output/mask", 7, b"rear")
        assert results.complete(7) == [("/edgekit/rear/output/mask", b"rear")]
        assert results.topics == ["/edgekit/front/output/mask", "/edgekit/rear/output/mask"]

    def test_no_topic_is_never_complete(self) -> None:
        assert Results([]).complete(7) == []
