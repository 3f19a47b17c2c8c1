"""docs/datasets.md shows every format, with an example that a spec takes and with all its keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from edgekit.core import plugins
from edgekit.core.spec import DataSection
from edgekit.data import NamedConfig
from edgekit.data._objects import ObjectsConfig

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
NAMES = PAGE.split("## Classes agree by name")[1].split("\n## ")[0]
SHARED = PAGE.split("## What all formats with boxes share")[1].split("\n## ")[0]


def example(name: str) -> dict[str, Any]:
    (block,) = re.findall(r"```yaml\n(.*?)```", SECTIONS[name], flags=re.DOTALL)
    loaded = YAML(typ="safe", pure=True).load(block)
    assert isinstance(loaded, dict)
    return loaded


def test_every_format_has_a_section_and_a_row() -> None:
    assert set(plugins.names("data")) <= set(SECTIONS)
    for name in plugins.names("data"):
        assert f"](#{name})" in PAGE.split("\n## ")[0], name


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() & set(plugins.names("data"))))
def test_the_example_is_a_section_of_a_spec_and_shows_every_key(name: str) -> None:
    written = example(name)
    config = TypeAdapter(DataSection).validate_python(written)
    assert config.format == name
    assert set(written) == set(type(config).model_fields)


def test_shared_keys_and_their_defaults() -> None:
    for config, section in ((NamedConfig, NAMES), (ObjectsConfig, SHARED)):
        for key in (
            config.model_fields.keys()
            - {"format"}
            - (NamedConfig.model_fields.keys() if config is ObjectsConfig else set())
        ):
            (row,) = [line for line in section.splitlines() if line.startswith(f"| `{key}` |")]
            default = config.model_fields[key].get_default(call_default_factory=True)
            assert not default or f"| `{default}` |" in row
