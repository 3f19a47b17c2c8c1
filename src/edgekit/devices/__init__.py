"""The devices that engines are built for, as data: one YAML file each, with the source of every fact.

A request that a device cannot meet is refused from here, before any work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Literal

from edgekit.core.suggest import allowed

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8", "fp4"]
# What NVIDIA's deep-learning accelerator of Orin computes in:
# https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-with-dla.html
_DLA_PRECISIONS = ("fp16", "int8")
_FACTS = ("compute_capability", "dla_cores", "memory_mib", "precisions", "power_modes", "jetpack", "tensorrt")


@dataclass(frozen=True)
class Device:
    """One device; ``sources`` names the document of each fact.

    ``compute_capability`` such as ``8.7`` and ``memory_mib`` are None for a family whose members differ, and so is
    ``precisions`` (what its kernels compute in; ``int8`` is that of Q/DQ networks). ``unified_memory``: processor
    and GPU share it. ``jetpack`` and ``tensorrt`` are (first, last) versions, None: open or not bundled.
    ``dla_tensorrt`` are the (first, last) ranges of TensorRT that drive its DLA.
    """

    name: str
    title: str
    compute_capability: str | None
    dla_cores: int
    memory_mib: int | None
    unified_memory: bool
    precisions: tuple[Precision, ...] | None
    power_modes: tuple[str, ...]
    jetpack: tuple[str, str | None] | None
    tensorrt: tuple[str, str | None]
    sources: dict[str, str]
    dla_tensorrt: tuple[tuple[str, str | None], ...] = ()

    def __post_init__(self) -> None:
        lacking = [fact for fact in _FACTS if getattr(self, fact) and fact not in self.sources]
        if lacking:
            raise ValueError(f"{self.name}: no source for {', '.join(lacking)}")
        if self.compute_capability is not None and not re.fullmatch(r"\d{1,2}\.\d", self.compute_capability):
            raise ValueError(f"{self.name}: compute_capability {self.compute_capability!r}; expected a text like '8.7'")

    def objection(
        self,
        precision: str | None = None,
        dla_core: int | None = None,
        compute_capability: str | None = None,
        workspace_mib: int | None = None,
    ) -> str | None:
        """Why the request cannot be met on this device, with the fix; None when it can."""
        if self.precisions is not None and precision is not None and precision not in self.precisions:
            return f"precision: {self.title} has no {precision.upper()} kernels; choose {', '.join(self.precisions)}"
        if compute_capability not in (None, self.compute_capability) and self.compute_capability is not None:
            return (
                f"compute_capability: {self.title} has {self.compute_capability}, not {compute_capability}; "
                "remove the key, or name another device"
            )
        if self.memory_mib is not None and workspace_mib is not None and workspace_mib > self.memory_mib:
            return f"workspace_mib: {workspace_mib} is more than the {self.memory_mib} MiB of {self.title}"
        return None if dla_core is None else self._dla_objection(dla_core, precision)

    def _dla_objection(self, core: int, precision: str | None) -> str | None:
        if self.dla_cores == 0:
            return f"dla_core: {self.title} has no DLA; remove the key"
        if core >= self.dla_cores:
            return f"dla_core: {self.title} has {self.dla_cores} DLA core(s), counted from 0; found {core}"
        if precision is not None and precision not in _DLA_PRECISIONS:
            return f"dla_core: the DLA computes in {' and '.join(_DLA_PRECISIONS)} only; found precision {precision}"
        return None

    def version_objection(self, tensorrt: str, dla: bool = False) -> str | None:
        """Why TensorRT ``tensorrt`` (not TensorRT for RTX) cannot build for this device; None when it can."""
        if not _within(tensorrt, self.tensorrt):
            return f"{self.title} needs TensorRT {_range(self.tensorrt)}; found {tensorrt}"
        if dla and not any(_within(tensorrt, each) for each in self.dla_tensorrt):
            ranges = " or ".join(map(_range, self.dla_tensorrt)) or "none"
            return f"dla_core: TensorRT {tensorrt} does not drive the DLA of {self.title}; versions that do: {ranges}"
        return None


@cache
def names() -> tuple[str, ...]:
    """Names of all devices, sorted: the YAML files beside this module."""
    folder = resources.files("edgekit.devices")
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


@cache
def get(name: str) -> Device:
    """The device of that name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if name not in names():
        raise ValueError(f"device: {name!r} is unknown; {allowed(name, names())}")
    from ruamel.yaml import YAML

    text = (resources.files("edgekit.devices") / f"{name}.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = YAML(typ="safe").load(text)
    unknown = set(document) - {field.name for field in fields(Device)}
    if unknown:
        raise ValueError(f"{name}.yaml: unknown key {', '.join(sorted(unknown))}")
    return Device(name=name, **{key: _frozen(value) for key, value in document.items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _within(version: str, limits: tuple[str, str | None]) -> bool:
    """Whether a version lies between two, both included as far as they are written: 10.7.0 is within (.., 10.7)."""
    first, last = limits
    found = _numbers(version)
    return found >= _numbers(first) and (last is None or found[: len(_numbers(last))] <= _numbers(last))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _range(limits: tuple[str, str | None]) -> str:
    first, last = limits
    return f"{first} or later" if last is None else f"{first} to {last}"
