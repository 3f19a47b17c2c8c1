"""Weights too small to count, in what is exported from a network and in an ONNX file of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgekit.core.tensors import TensorSpec
from edgekit.model.denormals import Denormals, without_denormals
from edgekit.model.export import export
from edgekit.model.load import LoadedModel
from edgekit.runtime.denormals import flushed
from tests.support.graphs import node, write

WEIGHTS = np.array([[1e-40, -1e-45, 0.0, 1.2e-38], [1e-30, -0.0, np.nan, 1.0]], np.float32)
KEPT = np.array([[0.0, 0.0, 0.0, 1.2e-38], [1e-30, -0.0, np.nan, 1.0]], np.float32)
VALUES = [("x", (2, 4), "float32")], [("y", (2, 4), "float32")]


def model_with(path: Path, weights: np.ndarray, dtype: str = "float32") -> bytes:
    values = [("x", (2, 4), dtype)], [("y", (2, 4), dtype)]
    return write(path, [node("Mul", "x w", "y")], *values, {"w": weights}).read_bytes()


def weight_of(content: bytes) -> np.ndarray:
    return onnx.numpy_helper.to_array(onnx.load_from_string(content).graph.initializer[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormals_are_zero_and_the_rest_stays(tmp_path: Path, dtype: str) -> None:
    scale = 1.0 if dtype == "float32" else np.finfo(np.float64).tiny / np.finfo(np.float32).tiny
    weights, kept = (values.astype(dtype) * scale for values in (WEIGHTS, KEPT))
    content, counted = without_denormals(model_with(tmp_path / "m.onnx", weights, dtype))
    assert counted == Denormals(2, 1, ())
    np.testing.assert_array_equal(weight_of(content), kept)


def test_a_thread_that_flushes_sees_them_too(tmp_path: Path) -> None:
    content = model_with(tmp_path / "m.onnx", WEIGHTS)
    with flushed():
        assert without_denormals(content)[1].zeroed == 2


def test_without_any_the_bytes_are_the_same(tmp_path: Path) -> None:
    content = model_with(tmp_path / "m.onnx", KEPT)
    assert without_denormals(content) == (content, Denormals(0, 0, ()))


def test_half_precision_keeps_its_small_numbers(tmp_path: Path) -> None:
    content = model_with(tmp_path / "m.onnx", np.full((2, 4), 6e-8, np.float16), "float16")
    assert without_denormals(content) == (content, Denormals(0, 0, ()))


def test_a_single_number_is_named_and_left(tmp_path: Path) -> None:
    """An epsilon is arithmetic that somebody wrote, not a weight that decayed."""
    content = model_with(tmp_path / "m.onnx", np.array(1e-40, np.float32))
    assert without_denormals(content) == (content, Denormals(0, 0, ("w",)))


def test_constants_and_inner_graphs_are_looked_at(tmp_path: Path) -> None:
    value = onnx.numpy_helper.from_array(WEIGHTS)
    inner = onnx.helper.make_graph(
        [node("Constant", "", "c", value=value), node("Mul", "x c", "m")], "then", [],
        [onnx.helper.make_tensor_value_info("m", 1, (2, 4))],
    )  # fmt: skip
    inner.node[0].ClearField("input")
    nodes = [node("If", "yes", "y", then_branch=inner, else_branch=inner)]
    content = write(tmp_path / "m.onnx", nodes, *VALUES, {"yes": np.array(True)}).read_bytes()
    assert without_denormals(content)[1] == Denormals(4, 2, ())


class Dead(nn.Module):
    """A convolution whose first channel died by weight decay."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        with torch.no_grad():
            self.conv.weight[0] = 1e-40

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.conv(x),)


def test_export_zeroes_and_counts(tmp_path: Path) -> None:
    inputs = (TensorSpec("x", (1, 3, 8, 8)),)
    network = LoadedModel(inputs, ("y",), module=Dead().eval())
    assert export(network, tmp_path / "m.onnx") == Denormals(27, 1, ())
    given = {"x": np.ones((1, 3, 8, 8), np.float32)}
    foreign = LoadedModel(inputs, ("y",), onnx=tmp_path / "m.onnx")
    np.testing.assert_allclose(foreign.run(given)["y"], network.run(given)["y"], rtol=1e-5, atol=1e-6)


def test_a_foreign_file_gets_the_same(tmp_path: Path) -> None:
    (tmp_path / "foreign.onnx").write_bytes(model_with(tmp_path / "made.onnx", WEIGHTS))
    foreign = LoadedModel((TensorSpec("x", (2, 4)),), ("y",), onnx=tmp_path / "foreign.onnx")
    assert export(foreign, tmp_path / "fp32.onnx").zeroed == 2
    np.testing.assert_array_equal(weight_of((tmp_path / "fp32.onnx").read_bytes()), KEPT)
