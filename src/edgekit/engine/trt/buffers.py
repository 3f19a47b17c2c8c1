"""Memory of an engine's inputs and outputs, page-locked on the host and on the device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array, TensorSpec
from edgekit.engine.trt.cuda import Cuda


@dataclass
class _Place:
    spec: TensorSpec
    on_host: bool
    host: Array
    view: Array
    device: int | None = None


class Buffers:
    """One place for each tensor; it grows with the shapes it is asked for and shrinks only when closed."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._places: dict[str, _Place] = {}

    def add(self, spec: TensorSpec, on_host: bool = False) -> None:
        """A tensor; ``on_host``: TensorRT reads or writes it in host memory."""
        self._places[spec.name] = _Place(spec, on_host, np.empty(0, np.uint8), np.empty(0, spec.dtype))

    def take(self, name: str, shape: tuple[int, ...]) -> None:
        """Make the place of ``name`` fit ``shape``; new memory is zero on the host.

        Raises:
            EnvironmentFault: too little memory.
        """
        place = self._places[name]
        dtype = np.dtype(place.spec.dtype)
        need = math.prod(shape) * dtype.itemsize
        if place.host.nbytes < need or (place.device is None and not place.on_host):
            place.host = self._cuda.pinned(need)
            place.host[:] = 0
            if not place.on_host:
                self._free(place)
                place.device = self._cuda.allocate(need)
        place.view = place.host[:need].view(dtype).reshape(shape)

    def views(self, specs: Iterable[TensorSpec]) -> dict[str, Array]:
        """The page-locked arrays, in the shape that was taken last."""
        return {spec.name: self._places[spec.name].view for spec in specs}

    def addresses(self) -> dict[str, int]:
        """What TensorRT is given for every tensor."""
        found = {}
        for name, place in self._places.items():
            found[name] = int(place.host.ctypes.data) if place.device is None else place.device
        return found

    def copy_in(self, specs: Iterable[TensorSpec], stream: int) -> None:
        """Queue the copies of ``specs`` to the device."""
        for place in (self._places[spec.name] for spec in specs):
            if place.device is not None:
                self._cuda.copy_in(place.device, place.host[: place.view.nbytes], stream)

    def copy_out(self, specs: Iterable[TensorSpec], stream: int) -> None:
        """Queue the copies of ``specs`` from the device."""
        for place in (self._places[spec.name] for spec in specs):
            if place.device is not None:
                self._cuda.copy_out(place.host[: place.view.nbytes], place.device, stream)

    def device_bytes(self) -> int:
        """What is held on the device."""
        return sum(place.host.nbytes for place in self._places.values() if place.device is not None)

    def close(self) -> None:
        """Free the device memory; host memory goes with the last array that shows it."""
        for place in self._places.values():
            self._free(place)

    def _free(self, place: _Place) -> None:
        if place.device is not None:
            device, place.device = place.device, None
            self._cuda.free(device)
