"""The widths that a target computes as fast as the next narrower ones: its staircase.

ONNX Runtime's blocked convolutions hold 16 channels with AVX-512 and 8 without; TensorRT's kernels take 8 (FP16) to 32
(INT8) channels at once, and pad what is missing.  A prior: ``round_to`` says otherwise.
"""

from __future__ import annotations

from edgekit.runtime import processor

_WIDE, _USUAL = 16, 8


def step(profile: str) -> int:
    """Channels in one stair of the target whose Q/DQ placement is ``profile``."""
    wide = profile == "ort-x86" and "avx512f" in processor.instruction_sets()
    return _WIDE if wide else _USUAL
