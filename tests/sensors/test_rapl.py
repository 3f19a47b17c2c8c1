"""Energy counters of processors as powercap folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError, EnvironmentFault
from edgekit.sensors import rapl
from tests.support.sysfs_trees import plant, recorded

SEEN = recorded("counters")["rapl"]
ZONES = recorded("counters")["rapl_zones"]


def zones(root: Path, energy_uj: int = SEEN["energy_uj"], limit_uj: int = SEEN["max_energy_range_uj"]) -> Path:
    for zone, name in ZONES["zones"].items():
        plant(root, {f"{zone}/name": name, f"{zone}/energy_uj": energy_uj, f"{zone}/max_energy_range_uj": limit_uj})
    return root


def test_zones_are_named_by_their_package(tmp_path: Path) -> None:
    reader = rapl.Config(root=zones(tmp_path)).reader()
    reader.start()
    joules = reader.read().counter_j
    assert sorted(joules) == sorted(ZONES["rails"])
    assert joules["package-0.dram"] == pytest.approx(SEEN["energy_uj"] / 1e6)


def test_what_adds_up_to_the_whole() -> None:
    reader = rapl.Config().reader()
    platform = reader.total(ZONES["rails"])
    assert platform is not None
    assert (platform.scope, platform.rails) == ("board", ("psys",))
    processors = reader.total([rail for rail in ZONES["rails"] if rail != "psys"])
    assert processors is not None
    assert (processors.scope, processors.rails) == ("cpu", ("package-0", "package-0.dram"))
    assert reader.total(["core"]) is None


@given(
    limit_uj=st.integers(10, 2**38),
    steps=st.lists(st.floats(0, 0.999), min_size=1, max_size=20),
    start=st.floats(0, 1),
)
def test_a_counter_that_turns_over_runs_on(
    tmp_path_factory: pytest.TempPathFactory, limit_uj: int, steps: list[float], start: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "energy_uj"
    true_uj = int(start * limit_uj)
    counter = rapl._Counter(path, limit_uj, true_uj)
    for step in steps:
        true_uj += int(step * limit_uj)
        path.write_text(f"{true_uj % (limit_uj + 1)}\n")
        assert counter.joules() == pytest.approx(true_uj / 1e6)


@pytest.mark.parametrize("energy", [-1, SEEN["max_energy_range_uj"] + 1])
def test_an_energy_out_of_range_is_refused(tmp_path: Path, energy: int) -> None:
    reader = rapl.Config(root=zones(tmp_path)).reader()
    reader.start()
    plant(tmp_path, {"intel-rapl:0/energy_uj": energy})
    with pytest.raises(DataError, match=f"expected an energy of 0 to 262143999938 uJ, found {energy}"):
        reader.read()


def test_permission_denied_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zones(tmp_path) / "intel-rapl:0" / "energy_uj"

    def refuse(self: Path, *args: object, **kwargs: object) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return self.read_bytes().decode()

    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(EnvironmentFault, match=r"permission denied; run as root.*sudo chmod a\+r .*energy_uj"):
        rapl.Config(root=tmp_path).reader().start()
    probe = rapl.Config(root=tmp_path).reader().probe()
    assert not probe.works
    assert "permission denied" in probe.detail


def test_a_machine_without_one(tmp_path: Path) -> None:
    assert "no energy counter" in rapl.Config(root=tmp_path).reader().probe().detail
