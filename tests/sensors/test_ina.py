"""INA power monitors as hwmon folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import DataError, EnvironmentFault
from edgekit.sensors import ina
from tests.support.sysfs_trees import plant, recorded

SEEN = recorded("counters")["ina"]


def board(root: Path) -> Path:
    """One INA3221 with a rail in use, one that is off and one not connected, beside a fan."""
    return plant(
        root,
        {
            "hwmon0/name": "pwm_tach",
            "hwmon3/name": "ina3221",
            "hwmon3/in1_label": SEEN["label"],
            "hwmon3/in1_input": SEEN["in_mv"],
            "hwmon3/curr1_input": SEEN["curr_ma"],
            "hwmon3/in2_label": "VDD_CPU_GPU_CV",  # a channel that is off answers with an error
            "hwmon3/in3_label": "NC",
            "hwmon3/in3_input": 5000,
            "hwmon3/curr3_input": 10,
            "hwmon3/in7_label": "sum of shunt voltages",
            "hwmon3/in7_input": 0,
            "hwmon3/curr4_input": 6060,
        },
    )


def test_power_is_voltage_times_current(tmp_path: Path) -> None:
    reader = ina.Config(root=board(tmp_path)).reader()
    reader.start()
    assert reader.read().power_w == {"VDD_IN": pytest.approx(SEEN["watts"])}
    total = reader.total(["VDD_IN", "VDD_SOC"])
    assert total is not None
    assert (total.scope, total.rails) == ("module", ("VDD_IN",))
    assert reader.probe().detail == "VDD_IN 30.35 W"


def test_a_chip_of_one_channel_reports_power_in_microwatts(tmp_path: Path) -> None:
    plant(tmp_path, {"hwmon1/name": "ina238", "hwmon1/power1_input": 19_780_000, "hwmon1/in1_input": 19_800})
    reader = ina.Config(root=tmp_path).reader()
    reader.start()
    assert reader.read().power_w == {"ina238": 19.78}
    plant(tmp_path, {"hwmon1/label": "VIN"})
    reader.start()
    assert reader.read().power_w == {"VIN": 19.78}


def test_a_rail_that_goes_off_is_missing_not_zero(tmp_path: Path) -> None:
    reader = ina.Config(root=board(tmp_path)).reader()
    reader.start()
    (tmp_path / "hwmon3/curr1_input").unlink()
    assert reader.read().power_w == {}


def test_a_machine_without_one(tmp_path: Path) -> None:
    reader = ina.Config(root=tmp_path).reader()
    with pytest.raises(EnvironmentFault, match=r"no INA power monitor below .* not a Jetson board"):
        reader.start()
    assert not reader.probe().works


def test_a_value_that_is_no_number(tmp_path: Path) -> None:
    plant(board(tmp_path), {"hwmon3/in1_input": "5.0"})
    with pytest.raises(DataError, match=r"in1_input: expected an integer, found '5\.0'"):
        ina.Config(root=tmp_path).reader().start()
