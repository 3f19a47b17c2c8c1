from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import InputError
from edgekit.ros2_node.health import Hardware, Level, Limits
from edgekit.ros2_node.health.hardware import Machine, hardware_status
from edgekit.sensors import Reading, SensorConfig
from edgekit.sensors.kernel import Config
from edgekit.sensors.rapl import Config as Rapl
from tests.support.waiting import until

MEMINFO = "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:    8192000 kB\n"


def zone(root: Path, milli: int) -> Path:
    folder = root / "class" / "thermal" / "thermal_zone0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "type").write_text("CPU-therm\n")
    (folder / "temp").write_text(f"{milli}\n")
    return root


def test_sensors_are_read_in_the_background_and_what_is_not_here_is_told(tmp_path: Path) -> None:
    root = zone(tmp_path / "sys", 45_000)
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(MEMINFO)
    configs: dict[str, SensorConfig] = {"kernel": Config(root=root), "rapl": Rapl(root=tmp_path / "nothing")}
    with Hardware(100, ("kernel", "rapl"), configs, meminfo) as hardware:
        machine = hardware.machine()
        assert list(machine.readings) == ["kernel"]
        assert list(machine.unavailable) == ["rapl"]
        zone(root, 97_000)
        until(lambda: max(hardware.machine().readings["kernel"].temperature_c.values()) == 97)
        status = hardware_status("hardware", hardware.machine(), Limits())
    assert status.level == Level.ERROR
    assert "97 Celsius, at most 95 are normal" in status.message
    values = dict(status.values)
    assert values["memory used (MiB)"] == "8000.000000"
    assert "rapl not read" in values


def test_a_sensor_that_fails_on_the_way_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    root = zone(tmp_path / "sys", 45_000)
    with Hardware(200, ("kernel",), {"kernel": Config(root=root)}, tmp_path / "none") as hardware:
        (root / "class/thermal/thermal_zone0/temp").write_text("broken\n")
        until(
            lambda: (
                "kernel" in hardware.machine().unavailable or not hardware.machine().readings["kernel"].temperature_c
            )
        )
        assert "memory" in hardware.machine().unavailable


def test_names() -> None:
    with pytest.raises(InputError, match="no sensor named 'kernal'; did you mean 'kernel'"):
        Hardware(names=("kernal",))


@pytest.mark.parametrize(
    ("machine", "level", "words"),
    [
        (Machine({"a": Reading(temperature_c={"cpu": 84.0})}), Level.OK, "well"),
        (Machine({"a": Reading(temperature_c={"cpu": 86.0, "gpu": 50.0})}), Level.WARN, "a/cpu has 86 Celsius"),
        (
            Machine({"a": Reading(temperature_c={"cpu": 86.0}), "b": Reading(temperature_c={"x": 99.0})}),
            Level.ERROR,
            "b/x",
        ),
        (Machine({"a": Reading(throttled=("power cap",))}), Level.WARN, "lowered: power cap"),
        (Machine({"a": Reading(throttled=())}), Level.OK, "well"),
        (Machine(memory_used_mib=95.0, memory_total_mib=100.0), Level.WARN, "95 % of the memory"),
        (Machine(), Level.OK, "well"),
    ],
)
def test_levels(machine: Machine, level: Level, words: str) -> None:
    status = hardware_status("hardware", machine, Limits())
    assert status.level == level
    assert words in status.message
