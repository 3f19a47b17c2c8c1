"""What measuring asks of its data."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError
from edgekit.profiling import Load
from edgekit.profiling.scenarios import SingleStream
from edgekit.sensors import rapl
from edgekit.stages import measure
from edgekit.stages.measure import ProfileOptions
from tests.support import shell
from tests.support.sysfs_trees import plant

LOAD = Load(queries=700, warmup=1, openings=2)


def test_time_needs_no_labels(tiny_bundle: Path, tiny_project: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    shutil.rmtree(tiny_project / "data/masks")
    with pytest.raises(DataError, match="masks"):
        edgekit.profile(bundle, ProfileOptions(LOAD, root=tiny_project / "data"))
    report = edgekit.profile(bundle, ProfileOptions(LOAD, images=tiny_project / "data/images"))
    assert report.settings.frames == 8
    assert report.latency_ms.p50 > 0


def test_two_places_of_frames(tiny_bundle: Path, tmp_path: Path) -> None:
    found = shell.edgekit("profile", tiny_bundle, "--root", tmp_path, "--images", tmp_path)
    assert shell.error_of(found, 2) == "--root and --images both name the frames; give one"


class Meter(rapl.Rapl):
    """A processor that takes a joule more whenever somebody looks."""

    def read(self) -> rapl.Reading:
        self.looked = getattr(self, "looked", 0) + 1
        return rapl.Reading(counter_j={"package-0": float(self.looked)})


def test_energy_is_of_one_engine_or_of_none(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = "intel-rapl:0"
    plant(tmp_path, {f"{zone}/name": "package-0", f"{zone}/energy_uj": 1, f"{zone}/max_energy_range_uj": 10**9})
    monkeypatch.setattr(rapl.Config, "reader", lambda config: Meter(tmp_path))
    bundle, queries = open_bundle(tiny_bundle), 100
    alone = edgekit.profile(bundle, ProfileOptions(scenario=SingleStream(queries=queries), sensors=("rapl",))).power
    assert alone is not None
    assert alone.energy_j is not None
    assert alone.energy_j > 0
    assert alone.energy_j_per_query == alone.energy_j / queries
    turns = edgekit.profile(bundle, ProfileOptions(Load(queries, warmup=1, openings=1), sensors=("rapl",))).power
    assert turns is not None
    assert turns.energy_j is not None
    assert turns.energy_j > 0
    assert turns.energy_j_per_query is None  # the engine and its control took turns


def test_frames_are_spread_over_all(tmp_path: Path) -> None:
    data = range(10 * measure.FRAMES)
    bundle, options = SimpleNamespace(dataset=lambda root: data), SimpleNamespace(images=None, root=None)
    assert measure._frames(cast("Any", bundle), cast("Any", options)) == list(data[::10])


def test_a_size_is_in_mebibytes(tmp_path: Path) -> None:
    (tmp_path / "engine").write_bytes(bytes(3 * 2**20))
    assert measure._size_mib(cast("Any", SimpleNamespace(path=tmp_path)), "engine") == 3


def test_a_report_names_its_data(tiny_bundle: Path) -> None:
    report = edgekit.evaluate(tiny_bundle)
    assert report.dataset == f"image_mask:{report.dataset_hash[:16]}"
