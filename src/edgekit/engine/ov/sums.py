"""Sums of eight-bit products that would saturate.

Before VNNI, x86 multiplies uint8 by int8 with ``vpmaddubsw``, which adds two products in 16 bits: beyond 32,767 the sum
is cut off, in silence.  OpenVINO's integer kernels use it there.  With weights of at most 64 nothing saturates.
Source: https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import EnvironmentFault
from edgekit.runtime import processor

LARGEST = 64
"""255 x 64 twice is 32,640."""


def require_exact(model: Any, source: Path) -> None:
    """Raise where integer weights of a model may saturate on this processor.

    Args:
        model: as OpenVINO read it.
        source: its file, for the message.

    Raises:
        EnvironmentFault: it has no VNNI, and the weights use all of eight bits.
    """
    if processor.int8_products() is None:
        return
    for op in model.get_ops():
        if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i8" and op.get_shape():
            values = op.data
            if values.ndim > 1 and values.size and int(np.abs(values.astype(np.int16)).max()) > LARGEST:
                raise EnvironmentFault(
                    f"{source}: this processor has no VNNI, so OpenVINO adds eight-bit products in 16 bits, which "
                    f"saturate with weights beyond {LARGEST}; {op.get_friendly_name()!r} has larger ones: quantize "
                    "for this machine (the target's profile: openvino-avx2 gives weights of seven bits), or take "
                    "engine: ort"
                )
