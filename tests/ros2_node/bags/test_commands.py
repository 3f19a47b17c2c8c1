"""``edgekit record`` and ``replay`` where ROS is not, or where the command makes no sense."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from edgekit.core.bags import Bag, require_rosbags
from edgekit.core.errors import MissingRequirement
from tests.support import shell
from tests.support.projects import write_frames

NO_ROS = pytest.mark.skipif(importlib.util.find_spec("rclpy") is not None, reason="ROS 2 is here")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_frames(tmp_path, 3)
    return tmp_path / "images"


def test_a_folder_of_images_becomes_a_bag(images: Path, tmp_path: Path) -> None:
    made = shell.edgekit(
        *("record", "--from", images, tmp_path / "bag", "--rate", 10, "--frame-id", "front"),
        *("--topic", "/front/image", "--start", 7.5, "--raw", "--json"),
    )
    assert json.loads(made.stdout) == {"bag": str(tmp_path / "bag"), "messages": 3}
    with Bag(tmp_path / "bag") as bag:
        stamps = [bag.decode(m).header.stamp for m in bag.messages(["/front/image"])]
        assert [(s.sec, s.nanosec) for s in stamps] == [(7, 500_000_000), (7, 600_000_000), (7, 700_000_000)]
    again = shell.edgekit("record", "--from", images, tmp_path / "bag")
    assert "bag: is there already" in shell.error_of(again, 2)


def test_a_bag_becomes_a_bag(images: Path, tmp_path: Path) -> None:
    assert shell.edgekit("record", "--from", images, tmp_path / "one").returncode == 0
    assert shell.edgekit("record", "--from", tmp_path / "one", tmp_path / "two").returncode == 0
    with Bag(tmp_path / "one") as one, Bag(tmp_path / "two") as two:
        assert list(one.messages()) == list(two.messages())
        assert one.topics == two.topics
    assert (tmp_path / "two" / "frames.csv").read_text() == (tmp_path / "one" / "frames.csv").read_text()


@NO_ROS
@pytest.mark.parametrize("command", ["record", "replay"])
def test_without_ros(command: str, tmp_path: Path) -> None:
    said = shell.error_of(shell.edgekit(command, tmp_path / "bag"), 3)
    assert said.startswith(f"rclpy, which edgekit {command} needs, is not available on this machine; source the setup")
    assert not (tmp_path / "bag").exists()


def test_without_rosbags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rosbags", None)
    for need in (require_rosbags, lambda: Bag(tmp_path)):
        with pytest.raises(MissingRequirement, match=r'install it with: pip install "edgekit\[bags\]"'):
            need()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("record", "bag", "--after", "1"), "say how long it is with --ring"),
        (("record", "bag", "--when-full", "newest"), "allowed values: stop, oldest"),
        (("replay", "bag", "--rate", "2", "--step"), "choose one"),
        (("replay", "bag", "--out", "results"), "add --step"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    assert message in shell.error_of(shell.edgekit(*words), 2)
