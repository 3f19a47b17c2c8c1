"""The guide names every key, and its examples are steps that can be read."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekit.core import plugins
from edgekit.core.spec import CompressStep
from edgekit.distill.logits import Offline

PAGE = (Path(__file__).parents[2] / "docs" / "distill.md").read_text("utf-8")
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"\n\n((?:    .*\n)+)", PAGE)]


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_is_a_list_of_steps(block: str) -> None:
    document = YAML(typ="safe").load(block)
    for step in document["compress"]:
        CompressStep.model_validate(step, context={"base": Path("project")})


def test_every_key_is_named() -> None:
    keys = {key for name in plugins.names("distill") for key in plugins.load("distill", name).Config.model_fields}
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert (keys | set(Offline.model_fields)) - named == {"method"}
