"""Where each target wants its Q/DQ pairs, as data.

One calibration serves every profile: the ranges are of tensors, and a profile says
which tensors are rounded, to which grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgekit.core.errors import SpecError
from edgekit.core.suggest import allowed

# Operators with weights, whose integer kernels are what INT8 is for.
COMPUTE = frozenset({"Conv", "Gemm", "MatMul"})
# Operators that move values without changing them: one grid goes through.
MOVES = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Transpose", "DepthToSpace", "SpaceToDepth"}
)
# Functions that saturation at the end of the range replaces.
SATURATIONS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True)
class Profile:
    """The placement rules of one runtime.

    Args:
        name: as in ``profiles`` of a spec.
        activation: ``uint8`` or ``int8``.
        symmetric: activations have zero point 0 (or, for uint8, the middle).
        quantized_bias: biases are int32 with scale input x weight.
        rounds_outputs: every integer operator's output is rounded, because the runtime's integer
            kernels give integers; otherwise only the inputs of compute operators are.
        compute: operators that get integer weights.
        glue: operators with an integer kernel for activations only; used between integer operators.
        on_integers: glue that is written on the integers themselves, all operands on one grid, because the
            runtime has that kernel and does not find it between Q/DQ pairs.
        folds_saturation: a Relu or Clip before rounding is dropped, the grid's end replaces it.
        float_outputs: compute operators whose integer kernel can give float, so that no rounding is
            needed where only float operators read them.
        weight_bits: most that weights may have.
        carriers: operators that integers pass where the runtime rounds inputs: what is rounded behind them is rounded
            before them instead.
        by_channel: inputs that depthwise convolutions alone read have a grid per channel.
        kernels: (height, width) of the depthwise convolutions that can read such a grid; None: any.
        tables: the runtime computes any function of one rounded tensor, element by element, as a table: nothing is
            rounded inside of one.  By channel is what one makes of a convolution for depthwise convolutions alone, and
            what it reads.
    """

    name: str
    activation: str
    symmetric: bool
    quantized_bias: bool
    rounds_outputs: bool
    compute: frozenset[str] = COMPUTE
    glue: frozenset[str] = frozenset()
    on_integers: frozenset[str] = frozenset()
    folds_saturation: bool = False
    float_outputs: frozenset[str] = frozenset()
    weight_bits: int = 8
    carriers: frozenset[str] = frozenset()
    by_channel: bool = False
    kernels: tuple[tuple[int, int], ...] | None = None
    tables: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer of an activation."""
        return (0, 255) if self.activation == "uint8" else (-128, 127)

    def bits(self, wanted: int) -> int:
        """Of weights, where ``wanted`` are asked for."""
        return min(wanted, self.weight_bits)


_ORT_ON_INTEGERS = frozenset({"Max"})
_ORT_GLUE = _ORT_ON_INTEGERS | frozenset(
    {"Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu"}
)

# x86: only unsigned activations meet VNNI's u8 x s8 instruction without a fix-up.
_ORT_X86 = Profile(
    "ort-x86",
    "uint8",
    symmetric=False,
    quantized_bias=True,
    rounds_outputs=True,
    glue=_ORT_GLUE,
    on_integers=_ORT_ON_INTEGERS,
    folds_saturation=True,
    float_outputs=frozenset({"MatMul", "Gemm"}),
)
# TensorRT takes symmetric int8 only, no quantized bias, and fuses the convolution with what follows.
_TENSORRT = Profile(
    "tensorrt",
    "int8",
    symmetric=True,
    quantized_bias=False,
    rounds_outputs=False,
    compute=COMPUTE | {"ConvTranspose"},
)

# OpenVINO takes asymmetric activations, and carries rounding down as TensorRT does but not up: a MaxPool or Concat of
# which only the result is rounded computes in float.  The scales of a grid per channel go into the multipliers of its
# depthwise kernels.  A Slice of integers is slower there than one of floats.
_OPENVINO = replace(
    _TENSORRT,
    name="openvino",
    activation="uint8",
    symmetric=False,
    carriers=MOVES - {"Slice"} | {"Concat", "Resize"},
    by_channel=True,
)

PROFILES = {
    profile.name: profile
    for profile in (
        _ORT_X86,
        # With edgekit-ops: LutU8, and DepthwiseU8 of these sizes.
        replace(_ORT_X86, name="ort-x86-ops", by_channel=True, kernels=((3, 3), (5, 5)), tables=True),
        # ARM: sdot and smmla multiply signed by signed.
        replace(_ORT_X86, name="ort-arm", activation="int8"),
        _TENSORRT,
        _OPENVINO,
        # x86 without VNNI: OpenVINO adds products of eight bits in pairs of 16, which saturate with larger weights.
        replace(_OPENVINO, name="openvino-avx2", weight_bits=7),
    )
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        SpecError: there is none; the message names the nearest one.
    """
    if name not in PROFILES:
        raise SpecError(f"profiles: no Q/DQ profile {name!r}; {allowed(name, tuple(PROFILES))}")
    return PROFILES[name]
