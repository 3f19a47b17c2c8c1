"""What measuring asks of its data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError
from edgekit.profiling import Load
from edgekit.stages.measure import Timing
from tests.support import shell

LOAD = Load(queries=700, warmup=1, loads=2)


def test_time_needs_no_labels(tiny_bundle: Path, tiny_project: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    shutil.rmtree(tiny_project / "data/masks")
    with pytest.raises(DataError, match="masks"):
        edgekit.profile(bundle, Timing(LOAD, root=tiny_project / "data"))
    report = edgekit.profile(bundle, Timing(LOAD, images=tiny_project / "data/images"))
    assert report.settings["frames"] == 8
    assert report.latency_ms.p50 > 0


def test_two_places_of_frames(tiny_bundle: Path, tmp_path: Path) -> None:
    found = shell.edgekit("profile", tiny_bundle, "--root", tmp_path, "--images", tmp_path)
    assert shell.error_of(found, 2) == "--root and --images both name the frames; give one"
