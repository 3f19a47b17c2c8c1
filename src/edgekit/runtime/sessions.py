"""What every ONNX Runtime session of edgekit is set to, whatever it is for: so that all of them compute the same."""

from __future__ import annotations

from typing import Any

from edgekit.runtime import processor
from edgekit.runtime.unshared import unshared

_EVERYWHERE = {
    # The threads of its pool; the calling thread: edgekit.runtime.denormals.
    "session.set_denormal_as_zero": "1",
}
_EXACT = {
    # Before VNNI, x86 adds products of uint8 and int8 in pairs of 16 bits, which saturate: silently a sum is
    # too small.  ONNX Runtime then multiplies uint8 by uint8 instead.  It does so with VNNI too, where nothing
    # saturates and where that takes twice the time: so it is asked only where sums are wrong otherwise.
    "session.x64quantprecision": "1",
}


def settings() -> dict[str, str]:
    """What this machine's sessions are configured with: ONNX Runtime's keys and values."""
    return _EVERYWHERE if processor.int8_products() is None else _EVERYWHERE | _EXACT


def configure(options: Any) -> None:
    """Put :func:`settings` into an ``onnxruntime.SessionOptions``."""
    for key, value in settings().items():
        options.add_session_config_entry(key, value)


def unwanted() -> list[str]:
    """Names of ONNX Runtime's optimisers that no session of edgekit runs."""
    # It gives integer weights, one scale per tensor, to every float layer between rounded tensors: to the very layers
    # that were left in float because INT8 costs them most.
    found = ["WeightBiasQuantization"]
    # It makes layers share what they must not: edgekit.runtime.unshared.
    return found if processor.int8_products() is None else [*found, "ConstantSharing"]


def prepared(model: bytes) -> bytes:
    """A serialised model as it is given to an optimising session on this processor."""
    return model if processor.int8_products() is None else unshared(model)
