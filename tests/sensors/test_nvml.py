"""NVML through a stand-in for its library."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from edgekit.core.errors import EnvironmentFault, MissingRequirement
from edgekit.sensors import nvml
from tests.support.sysfs_trees import recorded

SEEN = recorded("counters")["nvml"]


class Library:
    """What pynvml offers; ``answers`` by function, and everything else is not supported."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801
        pass

    def __init__(self, **answers: Any) -> None:
        self.answers, self.open = answers, 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self.answers.get("nvmlInit") == "no driver":
            raise self.NVMLError("NVML Shared Library Not Found")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index >= 1:
            raise self.NVMLError("Invalid Argument")
        return index

    def __getattr__(self, name: str) -> Any:
        def ask(handle: int, *arguments: int) -> int:
            answer = self.answers.get(name)
            if answer is None:
                raise self.NVMLError_NotSupported("Not Supported")
            if answer == "lost":
                raise self.NVMLError("GPU is lost")
            return int(answer)

        return ask


def titan(**more: Any) -> Library:
    return Library(
        nvmlDeviceGetPowerUsage=15_900,
        nvmlDeviceGetTotalEnergyConsumption=SEEN["idle_mj"],
        nvmlDeviceGetClockInfo=300,
        nvmlDeviceGetTemperature=41,
        nvmlDeviceGetCurrentClocksEventReasons=1,
        **more,
    )


def test_units() -> None:
    library = titan()
    reader = nvml.Nvml((0,), library)
    reader.start()
    reading = reader.read()
    assert reading.power_w == {"gpu0": 15.9}
    assert reading.counter_j["gpu0"] / SEEN["seconds"] == pytest.approx(SEEN["idle_w"])
    assert reading.clock_mhz == {"gpu0.sm": 300, "gpu0.mem": 300}
    assert reading.temperature_c == {"gpu0": 41}
    assert reading.throttled == ()  # idle is no throttling
    assert reader.probe().works
    reader.stop()
    assert library.open == 0
    total = reader.total(["gpu0"])
    assert total is not None
    assert total.scope == "gpu"


def test_reasons_that_slow_the_gpu_are_named() -> None:
    library = titan()
    library.answers["nvmlDeviceGetCurrentClocksEventReasons"] = 0x01 | 0x02 | 0x04 | 0x40
    reader = nvml.Nvml((0,), library)
    reader.start()
    assert reader.read().throttled == ("gpu0 power cap", "gpu0 thermal (hardware)")


def test_a_jetson_answers_nothing() -> None:
    # https://github.com/HazyResearch/intelligence-per-watt/issues/40: NVML starts there, every query is refused.
    library = Library()
    probe = nvml.Nvml((0,), library).probe()
    assert not probe.works
    assert "use tegrastats or ina" in probe.detail
    assert library.open == 0


def test_a_gpu_without_an_energy_counter_still_has_power() -> None:
    library = titan()
    del library.answers["nvmlDeviceGetTotalEnergyConsumption"]
    reader = nvml.Nvml((0,), library)
    reader.start()
    assert (reader.read().counter_j, reader.read().power_w) == ({}, {"gpu0": 15.9})


def test_failures_are_translated() -> None:
    with pytest.raises(
        MissingRequirement, match=r"NVML \(NVML Shared Library Not Found\).*pip install \"edgekit\[nvidia\]\""
    ):
        nvml.Nvml((0,), Library(nvmlInit="no driver")).start()
    with pytest.raises(EnvironmentFault, match=r"no GPU of the numbers \[0, 3\]: Invalid Argument"):
        nvml.Nvml((0, 3), titan()).start()
    library = titan()
    reader = nvml.Nvml((0,), library)
    reader.start()
    library.answers["nvmlDeviceGetPowerUsage"] = "lost"
    with pytest.raises(EnvironmentFault, match="gpu0 does not answer: GPU is lost"):
        reader.read()


def test_without_the_package_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MissingRequirement, match=r"pip install \"edgekit\[nvidia\]\""):
        nvml.Config().reader().start()


def test_the_real_library_has_every_function_that_is_asked() -> None:
    pynvml = pytest.importorskip("pynvml")
    asked = [
        name for function in (nvml.Nvml.read, nvml.Nvml.start, nvml.Nvml.stop) for name in function.__code__.co_names
    ]
    wanted = [name for name in asked if name.startswith(("nvml", "NVML"))]
    assert len(wanted) >= 9
    assert [name for name in wanted if not hasattr(pynvml, name)] == []
    masks = {name: getattr(pynvml, name) for name in dir(pynvml) if name.startswith("nvmlClocksEventReason")}
    slowing = ("SwPowerCap", "HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
    assert sorted(nvml.SLOWED) == sorted(masks[f"nvmlClocksEventReason{name}"] for name in slowing)
