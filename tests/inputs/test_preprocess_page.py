"""docs/preprocess.md shows every kind of input, with an example that a spec takes and with all its keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from edgekit.core import plugins
from edgekit.core.spec import InputSection

PAGE = (Path(__file__).parents[2] / "docs" / "preprocess.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("kind", plugins.names("inputs"))
def test_the_example_is_a_section_of_a_spec_and_shows_every_key(kind: str) -> None:
    assert f"](#{kind})" in PAGE.split("\n## ")[0]
    written = YAML(typ="safe", pure=True).load(re.findall(r"```yaml\n(.*?)```", SECTIONS[kind], flags=re.DOTALL)[0])
    config = TypeAdapter(InputSection).validate_python(written)
    assert config.kind == kind
    assert set(written) == set(type(config).model_fields)
