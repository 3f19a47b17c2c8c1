"""Reads ``.safetensors``: the length of a JSON header (8 bytes), the header, then the tensors' bytes.

The format: https://huggingface.co/docs/safetensors/index#format .  Read here, with Python's own ``open``, so that it
needs no further package and is seen as a file that a build depends on.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edgekit.core.errors import ModelError

if TYPE_CHECKING:
    import torch

_LONGEST_HEADER = 100_000_000  # bytes, as the reference implementation allows
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip


def is_safetensors(path: Path) -> bool:
    """By content: the header is JSON, and PyTorch's own files begin otherwise."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST_HEADER


def read(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU, in the dtypes of the file.

    Raises:
        ModelError: the file is damaged or truncated, or holds a dtype that PyTorch lacks.
    """
    with path.open("rb") as stream:
        length = stream.seek(0, 2)
        stream.seek(0)
        start = 8 + int.from_bytes(stream.read(8), "little")
        try:
            header: Any = json.loads(stream.read(start - 8))
            header.pop("__metadata__", None)
            return {name: _tensor(stream, start, length, entry) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # whatever a damaged header leads to
            raise ModelError(
                f"weights {path} ({length} bytes) are not a complete safetensors file ({error}); "
                "copy or download it again"
            ) from error


def _tensor(stream: BinaryIO, body: int, length: int, entry: Any) -> torch.Tensor:
    import torch

    dtype = getattr(torch, _DTYPES[entry["dtype"]])
    shape, (start, end) = [int(side) for side in entry["shape"]], entry["data_offsets"]
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not 0 <= start <= end <= length - body or end - start != size:
        raise ValueError(f"a tensor of shape {shape} at bytes {start} to {end} of {length - body}")
    if size == 0:
        return torch.empty(shape, dtype=dtype)
    stream.seek(body + start)
    return torch.frombuffer(bytearray(stream.read(size)), dtype=dtype).reshape(shape)
