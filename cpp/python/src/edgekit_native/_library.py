"""ONNX Runtime's library, before the module that needs it is imported.

It is that of the package ``onnxruntime``, so that the engine ``native`` and the engine ``ort`` are one version.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

from edgekit.core.errors import MissingRequirement


def load() -> None:
    """Load it; what is loaded under its name is what the module finds.

    Raises:
        MissingRequirement: the package is not here, or has no such library.
    """
    spec = importlib.util.find_spec("onnxruntime")
    folder = Path(spec.origin).parent / "capi" if spec is not None and spec.origin else None
    library = next(iter(sorted(folder.glob("libonnxruntime.so.*"))), None) if folder is not None else None
    if library is None:
        raise MissingRequirement("ONNX Runtime's shared library", "pip install onnxruntime")
    ctypes.CDLL(str(library))
