"""docs/tasks.md: every example is a section of a spec, and every task has one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from edgekit.core import plugins
from edgekit.core.spec import TaskSection

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
EXAMPLES = [f"task:{part}" for block in BLOCKS for part in re.split(r"^task:", block, flags=re.MULTILINE)[1:]]


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_makes_a_task(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('["vehicle", "person", "road"]')
    (tmp_path / "imagenet.json").write_text(json.dumps([f"class {i}" for i in range(1000)]))
    (tmp_path / "priors.json").write_text("[[0.5, 0.5, 0.2, 0.2]]")
    config: Any = TypeAdapter(TaskSection).validate_python(
        YAML(typ="safe").load(text)["task"], context={"base": tmp_path}
    )
    assert config.create().metrics


def test_every_task_has_an_example() -> None:
    kinds = {match for text in EXAMPLES for match in re.findall(r"kind: (\w+)", text)}
    assert kinds == set(plugins.names("tasks"))
