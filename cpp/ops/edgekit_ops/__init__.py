"""edgekit's operators for ONNX Runtime: where their library is, and which version of them it has.

edgekit uses it where it is installed: `engine: ort` builds INT8 engines with these operators, and opens them.
"""

from __future__ import annotations

import ctypes
from pathlib import Path


def library() -> Path:
    """The shared library, for ``onnxruntime.SessionOptions.register_custom_ops_library``."""
    return Path(__file__).with_name("libedgekit_ops.so")


def version() -> int:
    """Version of the operators: what the domain ``edgekit`` of a model must name.

    Raises:
        OSError: the library cannot be loaded here.
    """
    return int(ctypes.CDLL(str(library())).edgekit_ops_version())
