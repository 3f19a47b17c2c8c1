"""The files of a real bundle are what their published schemas say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from edgekit.bundle import MANIFEST, Contents, open_bundle
from edgekit.bundle.contents import PREDICTIONS
from edgekit.bundle.manifest import Manifest
from edgekit.core.decoded import PredictionsDocument
from tests.bundle.test_archive import OLD

FILES: dict[str, type] = {"bundle.json": Contents, MANIFEST: Manifest, PREDICTIONS: PredictionsDocument}


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_described(name: str, tiny_bundle: Path) -> None:
    document: dict[str, Any] = json.loads((tiny_bundle / name).read_text())
    schema = TypeAdapter(FILES[name]).json_schema()
    assert set(schema["required"]) <= set(document) <= set(schema["properties"])
    TypeAdapter(FILES[name]).validate_json((tiny_bundle / name).read_text())


def test_a_manifest_of_version_1_too() -> None:
    with open_bundle(OLD) as old:
        found = Manifest.model_validate(json.loads((old.path / MANIFEST).read_text()))
        assert (found.version, found.sizes, found.golden) == (1, {}, None)
        assert set(old.manifest) <= set(Manifest.model_fields)
