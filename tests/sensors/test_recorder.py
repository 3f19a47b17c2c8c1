"""Sums over readings, and every sensor around one piece of work."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from edgekit.core import plugins
from edgekit.core.errors import DataError, EnvironmentFault, InputError, MissingRequirement
from edgekit.core.reports.power import Watts
from edgekit.sensors import (
    ClockSources,
    Reading,
    Recorder,
    Samples,
    SensorConfig,
    ina,
    kernel,
    nvml,
    probe,
    rapl,
    tegrastats,
)
from tests.support.sysfs_trees import plant, printer, recorded

SEEN = recorded("counters")["ina"]


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(-1, 100)), min_size=2, max_size=30), st.floats(0.1, 100))
def test_energy_of_a_power_is_its_area(steps: list[tuple[float, float]], seconds: float) -> None:
    times = np.cumsum([step for step, _ in steps])
    watts = np.array([value for _, value in steps])
    samples = Samples.of(list(times), [Reading(power_w={"VDD_IN": value}) for value in watts], seconds)
    area = float(trapezoid(watts, times))
    assert samples.mean_w("VDD_IN") == pytest.approx(area / (times[-1] - times[0]), abs=1e-9)
    assert samples.energy_j("VDD_IN") == pytest.approx(area / (times[-1] - times[0]) * seconds, abs=1e-6)
    assert samples.peak_w(["VDD_IN"]) == pytest.approx(watts.max())


@given(st.lists(st.floats(0, 50), min_size=2, max_size=30))
def test_energy_of_a_counter_is_its_difference(gains: list[float]) -> None:
    joules = 1e5 + np.cumsum(gains)
    samples = Samples.of(list(range(len(gains))), [Reading(counter_j={"package-0": value}) for value in joules], 1.0)
    assert samples.energy_j("package-0") == pytest.approx(joules[-1] - joules[0])
    assert samples.mean_w("package-0") == pytest.approx((joules[-1] - joules[0]) / (len(gains) - 1))
    assert samples.peak_w(["package-0"]) == pytest.approx(max(gains[1:]), abs=1e-6)


def test_the_peak_of_a_sum_is_not_the_sum_of_peaks() -> None:
    rows = [Reading(power_w={"a": 10.0, "b": 1.0}), Reading(power_w={"a": 1.0, "b": 10.0})]
    assert Samples.of([0.0, 1.0], rows, 1.0).peak_w(["a", "b"]) == 11.0


def test_a_rail_that_is_missing_now_and_then() -> None:
    rows = [Reading(power_w={"a": 4.0}), Reading(), Reading(power_w={"a": 6.0})]
    samples = Samples.of([0.0, 1.0, 2.0], rows, 2.0)
    assert samples.mean_w("a") == 5.0
    assert list(samples.watts_at("a", np.array([0.5, 1.0]))) == [4.5, 5.0]


@pytest.mark.parametrize(
    ("times", "rows", "words"),
    [
        ([], [], "has no reading"),
        ([2.0, 1.5], [Reading(), Reading()], r"the clock goes backwards: reading 1 is 0\.500000 s before reading 0"),
        ([0.0, 1.0], [Reading(counter_j={"p": v}) for v in (2.0, 1.0)], "energy counter 'p' goes backwards"),
    ],
)
def test_what_cannot_be_is_refused(times: list[float], rows: list[Reading], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Samples.of(times, rows, 1.0)


def machine(root: Path, **tools: tuple[str, ...]) -> tuple[dict[str, SensorConfig], ClockSources]:
    """Sensors of a machine that is all in ``root``: an empty one until something is planted."""
    none = (str(root / "none"),)
    configs: dict[str, SensorConfig] = {
        "rapl": rapl.Config(root=root / "class/powercap"),
        "ina": ina.Config(root=root / "class/hwmon"),
        "kernel": kernel.Config(root=root),
        "nvml": nvml.Config(),
        "tegrastats": tegrastats.Config(command=none),
    }
    return configs, ClockSources(root, none, tools.get("jetson_clocks", none))


def package(root: Path, energy_uj: int) -> None:
    zone = "class/powercap/intel-rapl:0"
    plant(root, {f"{zone}/name": "package-0", f"{zone}/energy_uj": energy_uj, f"{zone}/max_energy_range_uj": 2**32})


def without_gpu(configs: Mapping[str, SensorConfig], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, SensorConfig]:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return configs


def test_energy_of_each_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, 1_000_000)
    configs, clocks = machine(tmp_path)
    with Recorder(configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        package(tmp_path, 6_000_000)
    power = recorder.report(queries=10)
    assert (power.scope, power.energy_j, power.energy_j_per_query) == ("cpu", 5.0, 0.5)
    assert (power.mean_w or 0.0) > 0
    assert power.readers["rapl"].rails["package-0"].energy_j == 5.0
    assert set(power.unavailable) == {"ina", "kernel", "nvml", "tegrastats"}
    assert power.throttled is None
    json.dumps(power.to_dict(), allow_nan=False)


def test_the_widest_scope_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, 0)
    chip = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": SEEN["in_mv"], "curr1_input": SEEN["curr_ma"]}
    plant(tmp_path, {f"class/hwmon/hwmon0/{name}": value for name, value in chip.items()})
    configs, clocks = machine(tmp_path)
    with Recorder(configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        time.sleep(0.01)
    power = recorder.report(queries=4)
    assert power.scope == "module"
    assert (power.mean_w, power.peak_w) == pytest.approx((SEEN["watts"], SEEN["watts"]))
    assert power.energy_j_per_query == pytest.approx((power.energy_j or 0.0) / 4)
    assert set(power.readers) == {"ina", "rapl"}


def test_gpu_and_processor_are_added() -> None:
    from edgekit.sensors import Total
    from edgekit.sensors._recorder import _whole

    samples = {
        "nvml": Samples.of([0.0, 1.0], [Reading(power_w={"gpu0": 100.0})] * 2, 1.0),
        "rapl": Samples.of([0.0, 1.0], [Reading(counter_j={"package-0": v}) for v in (0.0, 40.0)], 1.0),
    }
    totals = {"nvml": Total("gpu", ("gpu0",)), "rapl": Total("cpu", ("package-0",))}
    assert _whole(samples, totals) == ("gpu+cpu", Watts(140.0, 140.0, 140.0))


def test_clocks_and_temperatures_before_during_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, zone = "devices/system/cpu/cpu0/cpufreq", "class/thermal/thermal_zone0"
    limits = {"scaling_governor": "schedutil", "scaling_min_freq": 1_000_000, "scaling_max_freq": 1_000_000}
    plant(tmp_path, {f"{folder}/{name}": value for name, value in limits.items()})
    plant(tmp_path, {f"{folder}/scaling_cur_freq": 1_000_000, f"{zone}/type": "cpu-thermal", f"{zone}/temp": 40_000})
    throttles = "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    plant(tmp_path, {throttles: 0})
    configs, clocks = machine(tmp_path)
    with Recorder(configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        plant(tmp_path, {f"{folder}/scaling_max_freq": 2_000_000, f"{folder}/scaling_cur_freq": 600_000})
        plant(tmp_path, {f"{zone}/temp": 80_000, throttles: 1})
    power = recorder.report(queries=1)
    assert power.clocks is not None
    assert power.clocks.before.locked is True
    assert power.clocks.after.locked is False
    assert power.clocks.locked is False  # a run on unlocked clocks says so
    assert power.clocks.reason == "cpu0: 1000 to 2000 MHz, governor schedutil"
    during = power.clocks.during["kernel/cpu0"]
    assert (during.min, during.max) == (600.0, 1000.0)
    temperature = power.temperature_c
    assert temperature.before == {"kernel/cpu-thermal": 40.0}
    assert temperature.peak == temperature.after == {"kernel/cpu-thermal": 80.0}
    assert (power.throttled, power.throttle_reasons) == (True, ("cpu0.core",))
    assert (power.scope, power.mean_w, power.energy_j_per_query) == (None, None, None)


def test_no_sensor_at_all_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs, clocks = machine(tmp_path)
    with Recorder(configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        pass
    power = recorder.report(queries=1)
    assert power.readers == {}
    assert set(power.unavailable) == set(plugins.names("sensors"))
    assert power.clocks is not None
    assert power.clocks.locked is None


def test_a_sensor_asked_for_by_name_must_work(tmp_path: Path) -> None:
    configs, clocks = machine(tmp_path)
    with pytest.raises(EnvironmentFault, match="the sensor rapl does not work here: no energy counter"):
        Recorder(["rapl"], configs=configs, clocks=clocks).__enter__()
    with pytest.raises(MissingRequirement, match=r"the sensor tegrastats: .* machine; it is part of JetPack"):
        Recorder(["tegrastats"], configs=configs, clocks=clocks).__enter__()
    with pytest.raises(InputError, match="no sensor named 'rappl'; did you mean 'rapl'"):
        Recorder(["rappl"])


@pytest.mark.parametrize("asked", [False, True])
def test_a_sensor_that_fails_on_the_way(tmp_path: Path, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, 5)
    configs, clocks = machine(tmp_path)
    names = ["rapl"] if asked else []
    with Recorder(names, configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        package(tmp_path, -1)
    if asked:
        with pytest.raises(DataError, match="expected an energy of 0 to"):
            recorder.report(queries=1)
    else:
        assert recorder.report(queries=1).unavailable["rapl"].startswith("failed on the way: ")


def test_a_sensor_that_says_nonsense_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, -1)
    configs, clocks = machine(tmp_path)
    with Recorder(configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        pass
    assert "expected an energy of 0 to" in recorder.report(queries=1).unavailable["rapl"]
    assert not configs["rapl"].reader().probe().works
    with pytest.raises(EnvironmentFault, match="expected an energy of 0 to"):
        Recorder(["rapl"], configs=configs, clocks=clocks).__enter__()


def test_wrong_use(tmp_path: Path) -> None:
    configs, clocks = machine(tmp_path)
    for rate in (0.0, -1.0, 2000.0, float("nan")):
        with pytest.raises(InputError, match="sampling rate"):
            Recorder(rate_hz=rate)
    recorder = Recorder(["rapl"], configs=configs, clocks=clocks)
    with pytest.raises(InputError, match="the recorder has not run"):
        recorder.report(queries=1)
    with pytest.raises(InputError, match="energy of 0 queries"):
        recorder.report(queries=0)


def test_jetson_clocks_is_asked_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = recorded("clocks")["jetson_clocks"][1]
    configs, clocks = machine(tmp_path, jetson_clocks=printer(tmp_path / "show", held["shown"]))
    with Recorder(configs=without_gpu(configs, monkeypatch), clocks=clocks) as recorder:
        pass
    found = recorder.report(queries=1).clocks
    assert found is not None
    assert (found.locked, found.before.emc_locked, found.after.emc_locked) == (True, True, True)


def test_every_sensor_is_probed_on_this_machine() -> None:
    found = probe()
    assert [finding.name for finding in found] == list(plugins.names("sensors"))
    assert all(finding.detail for finding in found)
