"""edgekit: from a trained PyTorch perception model to an engine whose KPIs are proven on the target.

    import edgekit
    bundle = edgekit.build("edgekit.yaml", target="cpu")
    print(edgekit.gate(bundle).verdict)

The functions are those of :mod:`edgekit.pipeline`; importing this package loads none of them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
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


def _lazy(home: str, name: str) -> property:
    def find(self: ModuleType) -> Any:
        return getattr(importlib.import_module(home), name)

    # The import system binds submodules to their package: edgekit.gate must stay the function.
    return property(find, lambda self, value: None)


class _Api(ModuleType):
    open_bundle = _lazy("edgekit.bundle", "open_bundle")
    read_spec = _lazy("edgekit.core.specfile", "read_spec")
    build = _lazy("edgekit.pipeline", "build")
    compress = _lazy("edgekit.pipeline", "compress")
    evaluate = _lazy("edgekit.pipeline", "evaluate")
    gate = _lazy("edgekit.pipeline", "gate")
    profile = _lazy("edgekit.pipeline", "profile")
    rebuild = _lazy("edgekit.pipeline", "rebuild")
    report = _lazy("edgekit.pipeline", "report")
    run = _lazy("edgekit.pipeline", "run")
    sensitivity = _lazy("edgekit.pipeline", "sensitivity")
    verify = _lazy("edgekit.pipeline", "verify")


sys.modules[__name__].__class__ = _Api
