"""Every name of rclpy that the node uses is there in Humble, Jazzy and Kilted, or the code does without it."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from tests.support.rclpy_usage import DISTRIBUTIONS, lacking, recorded, uses

ROOM = Path(__file__).parents[2] / "src" / "edgekit" / "ros2_node"
MODULES = [
    path
    for path in sorted(ROOM.rglob("*.py"))
    if any(use.name.startswith("rclpy") for use in uses(ast.parse(path.read_text("utf-8"))))
]


def test_there_are_modules_to_look_at() -> None:
    assert ROOM / "ros" / "node.py" in MODULES


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOM)))
def test_the_node_uses_names_that_a_distribution_has(path: Path, distribution: str) -> None:
    found = {use: lacking(use, distribution) for use in uses(ast.parse(path.read_text("utf-8"))) if not use.guarded}
    wrong = [f"{path.relative_to(ROOM)}:{use.line}: {what}" for use, what in found.items() if what]
    assert not wrong, f"rclpy of {distribution} has not:\n" + "\n".join(wrong)


def missing(source: str, distribution: str = "humble") -> list[str]:
    tree = ast.parse(textwrap.dedent(source))
    return [what for use in uses(tree) if not use.guarded and (what := lacking(use, distribution))]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("from rclpy.type_hash import TypeHash", ["rclpy.type_hash.TypeHash"]),
        ("import rclpy.event_handler", ["rclpy.event_handler"]),
        ("import rclpy\nrclpy.clock_type.ClockType", ["rclpy.clock_type.ClockType"]),
        (
            "from rclpy.qos import ReliabilityPolicy as R\nR.BEST_AVAILABLE",
            ["rclpy.qos.ReliabilityPolicy.BEST_AVAILABLE"],
        ),
        ("node.create_timer(1, f, autostart=False)", ["create_timer(autostart=)"]),
        ("info.topic_type_hash", ["topic_type_hash"]),
        ("from rclpy.lifecycle import LifecycleNode\nLifecycleNode('x', nonsense=1)", []),  # **kwargs
        ("from rclpy.node import Node\nNode('x', nonsense=1)", ["rclpy.node.Node(nonsense=)"]),
        ("from rclpy.qos import QoSProfile, ReliabilityPolicy as R\nQoSProfile(depth=1, reliability=R.RELIABLE)", []),
        ("node.create_timer(1, f, clock=c)\nframe.autostart(x=1)", []),
        ("import rclpy\nrclpy.init(args=[])\nrclpy.signals.SignalHandlerOptions.NO", []),
    ],
)  # fmt: skip
def test_what_is_younger_than_humble_is_found(source: str, named: list[str]) -> None:
    assert missing(source) == named
    assert missing(source, "kilted") == [one for one in named if "nonsense" in one]


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    from rclpy.type_hash import TypeHash\nexcept ImportError:\n    TypeHash = None",
        "if hasattr(info, 'topic_type_hash'):\n    print(info.topic_type_hash)",
        "try:\n    from rclpy.event_handler import X\nexcept ImportError:\n    from rclpy.qos_event import X\nX(a=1)",
        "hash = info.topic_type_hash if hasattr(info, 'topic_type_hash') else None",
    ],
)
def test_a_guarded_name_is_none(source: str) -> None:
    assert missing(source) == []


def test_the_other_branch_of_a_guard_is_not_guarded() -> None:
    assert missing("if hasattr(x, 'y'):\n    pass\nelse:\n    x.topic_type_hash") == ["topic_type_hash"]


def test_three_distributions_are_recorded() -> None:
    sizes = [len(recorded(one)) for one in DISTRIBUTIONS]
    assert sizes == sorted(sizes)
    assert sizes[0] > 500
