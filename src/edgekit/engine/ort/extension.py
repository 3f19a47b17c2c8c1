"""The package ``edgekit-ops``: operators for ONNX Runtime that engines may be built with.

A model that uses them names their domain and its version among its opsets, so a file says itself what it needs.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.core.errors import EnvironmentFault, MissingRequirement, ModelError
from edgekit.core.probes import Probe
from edgekit.onnxfile import parts

DOMAIN = "edgekit"
"""Domain of the operators in a model."""
FACT = "operators"
"""What a fingerprint calls their version."""
PACKAGE = "edgekit-ops"
INSTALL = "pip install edgekit-ops (built from a checkout of edgekit: pip wheel cpp/ops, docs/operators.md)"
GAIN = (
    "INT8 networks with SiLU, GELU, hard-swish or PReLU are faster with it, and on processors with VNNI more accurate "
    "(docs/operators.md)"
)


def version() -> int | None:
    """Version of the operators that are installed here; None: the package is not.

    Raises:
        EnvironmentFault: it is, and does not load.
    """
    return _installed() if importlib.util.find_spec("edgekit_ops") is not None else None


@cache
def _installed() -> int:
    import edgekit_ops

    try:
        return int(edgekit_ops.version())
    except OSError as error:
        raise EnvironmentFault(f"{PACKAGE} is installed, but its library does not load: {error}") from error


def needed(model: Path | bytes) -> int | None:
    """Version of the operators that a model uses; None: it uses none, or is no model at all."""
    try:
        found = parts.parts_of(model).opsets if isinstance(model, bytes) else parts.opsets(model)
    except (OSError, ModelError):
        return None  # the runtime says in its own words what is wrong with it
    return found.get(DOMAIN)


def register(options: Any, wanted: int) -> None:
    """Let the sessions of an ``onnxruntime.SessionOptions`` use the operators of version ``wanted``.

    Raises:
        MissingRequirement: they are not here, or of another version.
        EnvironmentFault: their library does not load.
    """
    require(wanted)
    import edgekit_ops

    options.register_custom_ops_library(str(edgekit_ops.library()))


def require(wanted: int) -> None:
    """Raise unless the operators of version ``wanted`` are here; see :func:`register`."""
    here = version()
    if here != wanted:
        has = "" if here is None else f"; the one that is installed has version {here}"
        raise MissingRequirement(
            f"{PACKAGE} with version {wanted} of the operators, with which the engine was built (edgekit bundle "
            f"rebuild makes one for what is here{has}),",
            INSTALL,
        )


def absent() -> str:
    """That they are not installed, how they are and what they bring, in one sentence."""
    return f"{PACKAGE} is not installed; install it with: {INSTALL}; {GAIN}"


def probe() -> Probe:
    """Whether the operators are here and load; they are optional."""
    name = "ort/operators"
    try:
        here = version()
    except EnvironmentFault as fault:
        return Probe(name, False, str(fault), INSTALL)
    if here is None:
        return Probe(name, False, f"{PACKAGE} is not installed: {GAIN}", INSTALL, optional=True)
    return Probe(name, True, f"{PACKAGE}, version {here} of the operators", optional=True)
