"""edgekit: from a trained PyTorch perception model to an engine whose KPIs are proven on the target.

    import edgekit
    bundle = edgekit.build("edgekit.yaml", target="cpu")
    print(edgekit.gate(bundle).verdict)

The functions are those of :mod:`edgekit.pipeline`; importing this package loads none of them (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.bundle import open_bundle as open_bundle
    from edgekit.core.specfile import read_spec as read_spec
    from edgekit.pipeline import build, compress, evaluate, gate, profile, rebuild, report, run, sensitivity, verify

__version__ = "0.1.0"
__all__ = [
    "build",
    "compress",
    "evaluate",
    "gate",
    "open_bundle",
    "profile",
    "read_spec",
    "rebuild",
    "report",
    "run",
    "sensitivity",
    "verify",
]
_HOMES = {"open_bundle": "edgekit.bundle", "read_spec": "edgekit.core.specfile"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "edgekit.pipeline")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
