"""Space-to-depth stems become the strided convolution that they are, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgekit.core.tensors import TensorSpec
from edgekit.model.export import export
from edgekit.model.load import LoadedModel
from edgekit.model.stem import merged

END = 2**31 - 1


def focus(
    offsets: Sequence[tuple[int, int]] = ((0, 0), (1, 0), (0, 1), (1, 1)),
    step: int = 2,
    kernel: int = 3,
    pads: Sequence[int] = (1, 1, 1, 1),
    strides: Sequence[int] = (1, 1),
    cells: Sequence[int] = (5, 4),
    channels: int = 3,
    more: Sequence[str] = (),
    **attributes: object,
) -> bytes:
    """A convolution over grids of ``x``, each by one Slice of two axes; ``more``: further outputs."""
    rng = np.random.default_rng(0)
    group = int(str(attributes.get("group", 1)))
    weight = rng.standard_normal((4, channels * len(offsets) // group, kernel, kernel)).astype(np.float32)
    held = {"w": weight, "axes": np.array([2, 3]), "ends": np.array([END, END]), "steps": np.array([step, step])}
    nodes = []
    for index, offset in enumerate(offsets):
        held[f"s{index}"] = np.array(offset)
        nodes.append(helper.make_node("Slice", ["x", f"s{index}", "ends", "axes", "steps"], [f"g{index}"]))
    nodes.append(helper.make_node("Concat", [f"g{index}" for index in range(len(offsets))], ["cells"], axis=1))
    convolution = helper.make_node("Conv", ["cells", "w"], ["y"], name="stem", pads=pads, strides=strides, **attributes)
    return model([*nodes, convolution], held, [1, channels, cells[0] * step, cells[1] * step], ("y", *more))


def model(nodes: list[onnx.NodeProto], held: dict[str, np.ndarray], shape: list[int], outputs: Sequence[str]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "stem",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString()
    return content


def outputs(content: bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    return np.asarray(session.run(None, {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)})[0])


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


@given(
    step=st.sampled_from([2, 3]),
    order=st.randoms(use_true_random=False),
    kernel=st.sampled_from([1, 2, 3]),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    strides=st.tuples(*[st.integers(1, 2)] * 2),
    channels=st.integers(1, 3),
)
def test_a_focus_stem_is_one_convolution(
    step: int, order: object, kernel: int, pads: tuple[int, ...], strides: tuple[int, ...], channels: int
) -> None:
    offsets = [(y, x) for y in range(step) for x in range(step)]
    order.shuffle(offsets)  # type: ignore[attr-defined]
    content = focus(offsets, step, kernel, pads, strides, channels=channels)
    found = merged(content)
    assert operators(found) == ["Conv"]
    (node,) = onnx.load_from_string(found).graph.node
    assert (node.name, list(node.input), list(node.output)) == ("stem", ["x", f"w_{step}x{step}"], ["y"])
    assert len(onnx.load_from_string(found).graph.initializer) == 1
    np.testing.assert_allclose(outputs(found), outputs(content), rtol=1e-5, atol=1e-5)


def test_space_to_depth_is_one_too() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 12, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("SpaceToDepth", ["x"], ["cells"], blocksize=2),
        helper.make_node("Conv", ["cells", "w"], ["y"], name="stem", pads=[1, 1, 1, 1]),
    ]
    content = model(nodes, {"w": weight}, [1, 3, 8, 10], ["y"])
    assert operators(merged(content)) == ["Conv"]
    np.testing.assert_allclose(outputs(merged(content)), outputs(content), rtol=1e-5, atol=1e-5)


KEPT = {
    "a grid is missing": focus([(0, 0), (1, 0), (0, 1)]),
    "a grid comes twice": focus([(0, 0), (1, 0), (0, 1), (0, 1)]),
    "another reader": focus(more=["cells"]),
    "groups": focus(channels=2, group=2),
    "dilation": focus(dilations=[2, 2], pads=[2, 2, 2, 2]),
    "padding by name": focus(pads=[0, 0, 0, 0], auto_pad="VALID"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_no_stem_keeps_its_bytes(case: str) -> None:
    assert merged(KEPT[case]) is KEPT[case]


class Focus(nn.Module):
    """As public detectors write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        blocks = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return (self.conv(torch.cat(blocks, 1)),)


def test_an_exported_network_has_it(tmp_path: Path) -> None:
    network = Focus().eval()
    loaded = LoadedModel((TensorSpec("x", (1, 3, 16, 24), "float32"),), ("y",), network)
    export(loaded, tmp_path / "m.onnx")
    content = (tmp_path / "m.onnx").read_bytes()
    assert operators(content) == ["Conv"]
    x = np.random.default_rng(1).standard_normal((1, 3, 16, 24)).astype(np.float32)
    np.testing.assert_allclose(outputs(content), loaded.run({"x": x})["y"], rtol=1e-4, atol=1e-5)
