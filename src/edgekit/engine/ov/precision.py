"""What float layers compute in: asked by the typed model, and tried on this processor before an engine relies on it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.engine._requested import requested
from edgekit.engine.ov import executed
from edgekit.engine.ov.session import DEVICE, core, runtime, translated
from edgekit.onnxfile.graph import Graph
from edgekit.runtime.denormals import flushed

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_NEEDS = {
    "bf16": "bf16 arithmetic (AVX512-BF16, AMX, or Arm's)",
    "fp16": "fp16 arithmetic (AVX512-FP16, AMX-FP16, or Arm's)",
}


def asked(source: Graph) -> str:
    """The precision of a typed model's float layers: the narrowest that one of them is written in."""
    found = set(requested(source).values())
    return next((narrow for narrow in ("fp16", "bf16") if narrow in found), "fp32")


def require(precision: str | None) -> None:
    """Raise unless a layer really computes in ``precision`` here; INT8 and FP32 do everywhere.

    Raises:
        MissingRequirement: it does not, or OpenVINO is not installed.
    """
    runtime()
    if precision in _NEEDS and (found := computes_in(HINTS[precision])) != HINTS[precision]:
        raise MissingRequirement(
            f"{_NEEDS[precision]}, in which OpenVINO would compute a {precision} engine,",
            note=f"a layer that was asked for it ran in {found}; take precision: int8 or fp32 for this machine",
        )


@functools.cache
def computes_in(hint: str) -> str:
    """What a convolution runs in here that was asked for ``hint``, by a run, in OpenVINO's words."""
    with translated("the model that OpenVINO is tried with", ModelError):
        layers = executed.layers_of(tried(hint))
    return next(layer.precision for layer in layers if layer.op == "Convolution")


def tried(hint: str) -> Any:
    """A compiled convolution that has run: sixteen ones times sixteen ones.

    Raises:
        ModelError: its results are wrong.
    """
    operators = runtime().opset13
    x = operators.parameter([1, 16, 8, 8], np.float32)
    weight = operators.constant(np.ones((16, 16, 1, 1), np.float32))
    y = operators.convolution(x, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    # OpenVINO hands the threads of a model that is gone to the next one of this process, with the control register
    # that they were made under.
    with flushed():
        model = core().compile_model(runtime().Model([y], [x], "probe"), DEVICE, settings)
        result = model(np.ones((1, 16, 8, 8), np.float32))[0]
    if not (result == 16).all():
        raise ModelError(f"OpenVINO computes a convolution wrong here: {float(result.flat[0])} in place of 16")
    return model
