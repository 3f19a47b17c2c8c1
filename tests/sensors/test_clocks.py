"""Whether clocks stand still: recorded outputs of Jetson tools, and folders like the kernel's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import EnvironmentFault
from edgekit.sensors import ClockSources, clock_state, kernel
from edgekit.sensors._clocks import parse_jetson_clocks, parse_nvpmodel
from tests.support.sysfs_trees import plant, printer, recorded

SHOWN = recorded("clocks")
THERMAL = recorded("counters")["thermal"]
CPUFREQ = "devices/system/cpu/cpu{}/cpufreq/{}"


def sources(root: Path, **tools: tuple[str, ...]) -> ClockSources:
    absent = (str(root / "absent"),)
    return ClockSources(root, tools.get("nvpmodel", absent), tools.get("jetson_clocks", absent))


def cpu(root: Path, number: int, governor: str, low_khz: int, high_khz: int, now_khz: int) -> None:
    names = ("scaling_governor", "scaling_min_freq", "scaling_max_freq", "scaling_cur_freq")
    values = (governor, low_khz, high_khz, now_khz)
    plant(root, {CPUFREQ.format(number, name): value for name, value in zip(names, values, strict=True)})


@pytest.mark.parametrize("entry", SHOWN["jetson_clocks"], ids=lambda entry: entry["board"])
def test_jetson_clocks_as_printed(entry: dict[str, Any], tmp_path: Path) -> None:
    clocks, emc_locked = parse_jetson_clocks(entry["shown"])
    assert len(clocks) == entry["units"]
    for name, (governor, low, high, now) in entry["clocks"].items():
        found = clocks[name]
        assert (found.governor, found.min_mhz, found.max_mhz, found.current_mhz) == (governor, low, high, now)
    assert emc_locked is entry["emc_locked"]
    state = clock_state(sources(tmp_path, jetson_clocks=printer(tmp_path / "show", entry["shown"])))
    assert (state.locked, state.reason) == (entry["locked"], entry["reason"])


def test_nvpmodel_as_printed(tmp_path: Path) -> None:
    (entry,) = SHOWN["nvpmodel"]
    assert parse_nvpmodel(entry["shown"]) == entry["mode"]
    assert parse_nvpmodel("NVPM ERROR: cannot open the file") is None
    state = clock_state(sources(tmp_path, nvpmodel=printer(tmp_path / "q", entry["shown"])))
    assert state.mode == entry["mode"]


def test_a_tool_that_wants_root_says_nothing(tmp_path: Path) -> None:
    refusing = printer(tmp_path / "show", "Error: Run this script as a root user", status=1)
    state = clock_state(sources(tmp_path, jetson_clocks=refusing))
    assert (state.locked, state.emc_locked) == (None, None)


def test_a_machine_that_shows_no_clock(tmp_path: Path) -> None:
    state = clock_state(sources(tmp_path))
    assert state.locked is None
    assert "cannot be seen" in state.reason
    json.dumps(state.to_dict())


def test_one_clock_that_moves_unlocks_the_machine(tmp_path: Path) -> None:
    cpu(tmp_path, 0, "schedutil", 1_728_000, 1_728_000, 1_728_000)
    assert clock_state(sources(tmp_path)).locked is True
    cpu(tmp_path, 10, "schedutil", 729_600, 1_728_000, 1_190_400)
    state = clock_state(sources(tmp_path))
    assert (state.locked, state.reason) == (False, "cpu10: 730 to 1728 MHz, governor schedutil")
    assert state.clocks["cpu10"].current_mhz == 1190.4


def test_the_gpus_clock_counts(tmp_path: Path) -> None:
    cpu(tmp_path, 0, "schedutil", 1_728_000, 1_728_000, 1_728_000)
    gpu = "class/devfreq/17000000.gpu"
    limits = {f"{gpu}/min_freq": 306_000_000, f"{gpu}/max_freq": 1_020_000_000, f"{gpu}/cur_freq": 306_000_000}
    plant(tmp_path, limits | {f"{gpu}/governor": "nvhost_podgov"})
    state = clock_state(sources(tmp_path))
    assert state.reason == "17000000.gpu: 306 to 1020 MHz, governor nvhost_podgov"
    plant(tmp_path, {f"{gpu}/min_freq": 1_020_000_000})
    assert clock_state(sources(tmp_path)).locked is True


@pytest.mark.parametrize(
    ("switch", "locked"),
    [
        ({}, False),
        ({"devices/system/cpu/intel_pstate/no_turbo": 0}, False),
        ({"devices/system/cpu/intel_pstate/no_turbo": 1}, True),
        ({"devices/system/cpu/cpufreq/boost": 1}, False),
        ({"devices/system/cpu/cpufreq/boost": 0}, True),
    ],
)
def test_governor_performance_is_locked_without_boost_only(
    tmp_path: Path, switch: dict[str, int], locked: bool
) -> None:
    cpu(tmp_path, 0, "performance", 800_000, 4_200_000, 3_900_000)
    plant(tmp_path, switch)
    assert clock_state(sources(tmp_path)).locked is locked


def test_zones_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    for number, (name, milli) in enumerate(zip(THERMAL["names"], THERMAL["zones"], strict=True)):
        zone = f"class/thermal/thermal_zone{number}"
        plant(tmp_path, {f"{zone}/type": name} | ({} if milli is None else {f"{zone}/temp": milli}))
    found = clock_state(sources(tmp_path)).temperature_c
    assert found == {n: t / 1e3 for n, t in zip(THERMAL["names"], THERMAL["zones"], strict=True) if t is not None}


def test_zones_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for number in (0, 1):
        plant(tmp_path, {f"class/thermal/thermal_zone{number}/{k}": v for k, v in (("type", "acpitz"), ("temp", 1000))})
    assert set(clock_state(sources(tmp_path)).temperature_c) == {"acpitz", "acpitz.thermal_zone1"}


def test_throttling_is_what_was_counted_since(tmp_path: Path) -> None:
    counter = "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    event = "class/hwmon/hwmon4/oc1_event_cnt"
    plant(tmp_path, {counter: 7, event: 0})
    reader = kernel.Config(root=tmp_path).reader()
    reader.start()
    assert reader.read().throttled == ()
    plant(tmp_path, {counter: 8, event: 2})
    assert reader.read().throttled == ("cpu0.package", "hwmon4.oc1")
    assert reader.read().throttled == ()
    assert clock_state(sources(tmp_path)).throttle_counts == {"cpu0.package": 8, "hwmon4.oc1": 2}


def test_the_kernel_reader_of_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="a virtual machine"):
        kernel.Config(root=tmp_path).reader().start()
    plant(tmp_path, {CPUFREQ.format(3, "scaling_cur_freq"): 2_112_000})
    reader = kernel.Config(root=tmp_path).reader()
    reader.start()
    assert reader.read().clock_mhz == {"cpu3": 2112.0}
    assert reader.read().throttled is None
    assert reader.total(()) is None
