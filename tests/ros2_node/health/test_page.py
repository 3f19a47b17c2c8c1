"""The page of the diagnostics says what the code does."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.evaluation.input_statistics import JUDGED
from edgekit.ros2_node.health import Limits
from edgekit.ros2_node.parameters import as_table, declarations
from tests.ros2_node.health.test_monitor import GOLDEN

PAGE = Path(__file__).parents[3] / "docs" / "diagnostics.md"


def part(name: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text.split(f"<!-- {name}: made from the code -->\n")[1].split(f"<!-- end of {name} -->")[0]


def test_the_limits_are_those_of_the_code() -> None:
    assert part("limits") == as_table(declarations(Limits))


def test_the_features_are_those_of_the_code() -> None:
    rows = ["| feature | what it is | least width | margin | judged |", "|---|---|---|---|---|"]
    rows += [
        f"| `{name}` | {one.description} | {one.width:g} | {one.margin:g} | {one.sides} |"
        for name, one in JUDGED.items()
    ]
    assert part("features").splitlines() == rows


def test_every_status_and_key_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for status in json.loads(GOLDEN.read_text(encoding="utf-8")):
        assert f"| `{status['name']}` |" in text
        missing = [key for key in status["values"] if f"`{key}`" not in text and status["name"] != "engine"]
        assert not missing, status["name"]
