"""NVML: power, energy, clocks, temperature and throttling of NVIDIA GPUs.

https://docs.nvidia.com/deploy/nvml-api/.  On Jetson the library loads but answers no such question:
``tegrastats`` and ``ina`` do there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pydantic import Field

from edgekit.core.errors import EnvironmentFault, MissingRequirement
from edgekit.sensors._reader import PollingReader, SensorConfig
from edgekit.sensors._samples import Reading, Total

INSTALL = 'pip install "edgekit[nvidia]" (and an NVIDIA driver)'
# nvmlClocksEventReasons of nvml.h that mean a GPU is slowed; idle and chosen clocks are none of them.
SLOWED = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}


class Config(SensorConfig):
    """Which GPUs to read, by their NVML number."""

    gpus: tuple[int, ...] = Field((0,), min_length=1)

    def reader(self) -> Nvml:
        return Nvml(self.gpus)


class Nvml(PollingReader):
    """``library`` is the module ``pynvml``; None: import it."""

    name = "nvml"

    def __init__(self, gpus: tuple[int, ...], library: Any = None) -> None:
        self._gpus = gpus
        self._library = library
        self._handles: dict[str, Any] = {}

    def start(self) -> None:
        self._library = self._library or _library()
        try:
            self._library.nvmlInit()
        except self._library.NVMLError as error:
            raise MissingRequirement(f"NVML ({error})", INSTALL) from error
        try:
            handles = {f"gpu{index}": self._library.nvmlDeviceGetHandleByIndex(index) for index in self._gpus}
        except self._library.NVMLError as error:
            self.stop()
            raise EnvironmentFault(f"NVML: no GPU of the numbers {list(self._gpus)}: {error}") from error
        self._handles = handles
        if not (reading := self.read()).power_w and not reading.clock_mhz:
            self.stop()
            raise EnvironmentFault("NVML reports neither power nor clocks of this GPU (Jetson: use tegrastats or ina)")

    def stop(self) -> None:
        self._library.nvmlShutdown()

    def read(self) -> Reading:
        nvml = self._library
        clocks = {
            f"{name}.{unit}": float(mhz)
            for unit, kind in (("sm", nvml.NVML_CLOCK_SM), ("mem", nvml.NVML_CLOCK_MEM))
            for name, mhz in self._ask(nvml.nvmlDeviceGetClockInfo, kind).items()
        }
        celsius = self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage)
        millijoules = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
        masks = self._ask(nvml.nvmlDeviceGetCurrentClocksEventReasons)
        return Reading(
            power_w={name: value / 1e3 for name, value in milliwatts.items()},
            counter_j={name: value / 1e3 for name, value in millijoules.items()},
            temperature_c={name: float(value) for name, value in celsius.items()},
            clock_mhz=clocks,
            throttled=_reasons(masks) if masks else None,
        )

    def total(self, rails: Collection[str]) -> Total | None:
        return Total("gpu", tuple(rails)) if rails else None

    def _ask(self, question: Callable[..., int], *arguments: int) -> dict[str, int]:
        """The answer of each GPU that has one."""
        answers = {}
        for name, handle in self._handles.items():
            try:
                answers[name] = question(handle, *arguments)
            except self._library.NVMLError_NotSupported:
                continue
            except self._library.NVMLError as error:
                raise EnvironmentFault(f"NVML: {name} does not answer: {error}") from error
        return answers


def _reasons(masks: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{name} {why}" for name, mask in masks.items() for bit, why in SLOWED.items() if mask & bit)


def _library() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise MissingRequirement("NVML", INSTALL) from error
    return pynvml
