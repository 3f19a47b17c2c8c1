"""A bundle's chain with all three stages in C++: the fast path of the ROS 2 node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.bundle import Bundle
from edgekit.core.errors import DataError, EnvironmentFault
from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Chain
from edgekit.preprocess import Prepared, Preprocess
from edgekit_native import _native
from edgekit_native.plugin import Backend, Config, NativeEngine

ENGINES = ("ort", "native")
"""Engines of bundles whose files this runtime opens."""


class NativePreprocess(Preprocess):
    """The preprocessing of a bundle; what it says of itself is Python's, what it computes is not."""

    def __init__(self, bundle: Bundle, section: Mapping[str, Any]) -> None:
        super().__init__(bundle.contents.preprocess)
        self._native = _native.Preprocess(json.dumps(section), bundle.contents.inputs)

    def __call__(self, images: Mapping[str, Array], frame: str = "") -> Prepared:
        given = {name: np.ascontiguousarray(image) for name, image in images.items()}
        try:
            return Prepared(*self._native(given))
        except DataError as error:
            raise DataError(f"frame {frame!r}: {error}" if frame else str(error)) from error


@dataclass(frozen=True)
class NativeChain(Chain):
    """A chain whose stages are all the C++ runtime's."""

    decoder: _native.Decoder

    def decode(self, outputs: Arrays, geometry: Geometry) -> Any:
        """The prediction of an engine's outputs."""
        return self.decoder.decode(outputs, geometry)


@contextmanager
def opened(bundle: Bundle) -> Iterator[NativeChain]:
    """The chain of an open bundle, its engine loaded; released at the end.

    Raises:
        EnvironmentFault: the bundle asks for something that the C++ runtime has not; names it.
        BundleError: it was built for another machine.
    """
    target, document = bundle.contents.engine, bundle.contents.model_dump(mode="json")
    if target.engine not in ENGINES:
        raise EnvironmentFault(
            f"engine {target.engine!r} is run by Python here; the C++ runtime has {', '.join(ENGINES)}"
        )
    preprocess = NativePreprocess(bundle, document["preprocess"])
    decoder = _native.Decoder(json.dumps(document["task"]), bundle.contents.outputs)
    config = Config.model_validate(document["engine"] | {"engine": "native"})
    bundle.require(Backend(config))
    with NativeEngine(bundle.path / bundle.contents.candidate.file, config) as engine:
        yield NativeChain(preprocess, engine, bundle.task(), decoder)
