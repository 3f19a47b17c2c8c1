"""The largest speed that ONNX Runtime reaches here: products of two 512 x 512 matrices.

The models are written field by field (onnx.proto), because the target half has no onnx package.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.onnxfile.fields import encode, number_of

SIZE = 512
_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6  # TensorProto.DataType
_WARMUP = 3


def measure_peaks(open_session: Callable[[bytes], Any], seconds: float) -> dict[str, float]:
    """Operations per second by dtype: the fastest of the products that fit in ``seconds`` for each."""
    rng = np.random.default_rng(0)
    floats = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
    unsigned = rng.integers(0, 255, (SIZE, SIZE), np.uint8)
    signed = rng.integers(-127, 127, (SIZE, SIZE), np.int8)
    cases = {
        "float32": (matmul("MatMul", _FLOAT, _FLOAT, _FLOAT, floats[1]), floats[0]),
        "int8": (matmul("MatMulInteger", _UINT8, _INT8, _INT32, signed), unsigned),
    }
    return {dtype: 2 * SIZE**3 / _fastest(open_session(model), left, seconds) for dtype, (model, left) in cases.items()}


def _fastest(session: Any, left: Array, seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) <= _WARMUP or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, {"x": left})
        times.append(time.perf_counter() - start)
    return min(times[_WARMUP:])


def matmul(operator: str, left: int, right: int, result: int, weight: Array) -> bytes:
    """An ONNX file with y = x @ ``weight``, x of its shape; dtypes are TensorProto.DataType."""
    shape = weight.shape
    node = _text(1, "x") + _text(1, "w") + _text(2, "y") + _text(3, "product") + _text(4, operator)
    tensor = b"".join(_value(1, size) for size in shape) + _value(2, right)
    tensor += _text(8, "w") + encode(9, np.ascontiguousarray(weight).tobytes())
    graph = encode(1, node) + _text(2, "peak") + encode(5, tensor)
    graph += encode(11, _info("x", left, shape)) + encode(12, _info("y", result, shape))
    return _value(1, 8) + encode(7, graph) + encode(8, _value(2, 17))


def _info(name: str, dtype: int, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(encode(1, _value(1, size)) for size in shape)
    return _text(1, name) + encode(2, encode(1, _value(1, dtype) + encode(2, sizes)))


def _text(number: int, text: str) -> bytes:
    return encode(number, text.encode())


def _value(number: int, value: int) -> bytes:
    return number_of(number << 3) + number_of(value)
