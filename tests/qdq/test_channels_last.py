from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.qdq.calibrate import calibrate
from edgekit.qdq.graph import Graph, run, session, simplified
from edgekit.qdq.insert import insert
from edgekit.qdq.placement import plan
from edgekit.qdq.profiles import profile
from edgekit.qdq.ranges import MinMax
from tests.support.graphs import node, normal, write

SIZE = (1, 8, 6, 5)
FEED = {"x": normal(4, *SIZE)}
WEIGHTS = {"w": normal(1, 8, 8, 1, 1), "v": normal(2, 4, 8, 1, 1)}
MOVED = ["Transpose", "Gather", "Gather", "Transpose"]


def between_convolutions(path: Path, move: Any, weights: dict[str, np.ndarray], made: tuple[int, ...]) -> Graph:
    nodes = [node("Conv", "x w", "a"), move, node("Conv", "b v", "y")]
    held = WEIGHTS | {"v": WEIGHTS["v"][:, : made[1]]} | weights
    return Graph(simplified(write(path, nodes, [("x", SIZE, "float32")], [("y", (1, 4, *made[2:]), "float32")], held)))


def both(graph: Graph, name: str = "ort-x86") -> tuple[list[str], np.ndarray, np.ndarray]:
    """Operators between the integers of the move, and the outputs of the model with and without the rewriting."""
    placed = plan(graph, profile(name))
    ranges = calibrate(graph, placed.tensors, [FEED], MinMax).ranges(placed.profile)
    models = [insert(graph, p, ranges) for p in (placed, replace(placed, channels_last={}))]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    outputs = [run(session(model, options), ["y"], FEED)[0] for model in models]
    moves = [n.op_type for n in models[0].graph.node if n.op_type in {"Transpose", "Gather", "Reshape", "Resize"}]
    return moves, outputs[0], outputs[1]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(3, 14),
    width=st.integers(2, 13),
    coordinates=st.sampled_from(["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"]),
    rounding=st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    by_size=st.booleans(),
)
def test_nearest_neighbours_are_copied_exactly(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, coordinates: str, rounding: str, by_size: bool
) -> None:
    scales = np.array([1, 1, height / 4, width / 4], np.float32)  # exact, so that every rounding agrees on the size
    made = (height, width) if by_size else (SIZE[2] * height // 4, SIZE[3] * width // 4)
    weights = {"sizes": np.array([1, 8, *made])} if by_size else {"scales": scales}
    move = node(
        "Resize",
        "a  sizes" if by_size else "a scales",
        "b",
        mode="nearest",
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
    )
    del move.input[:]
    move.input.extend(["a", "", "", "sizes"] if by_size else ["a", "", "scales"])
    graph = between_convolutions(tmp_path_factory.mktemp("m") / "m.onnx", move, weights, (1, 8, *made))
    moves, found, wanted = both(graph)
    assert moves == MOVED or made == SIZE[2:]  # one that changes nothing is optimised away
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("block", [1, 2])
def test_depth_to_space(tmp_path: Path, block: int) -> None:
    made = (1, 8 // block**2, SIZE[2] * block, SIZE[3] * block)
    move = node("DepthToSpace", "a", "b", blocksize=block)
    moves, found, wanted = both(between_convolutions(tmp_path / "m.onnx", move, {}, made))
    assert moves == ["Transpose", "Reshape", "Transpose", "Reshape", "Transpose"]
    np.testing.assert_array_equal(found, wanted)


def test_another_order_of_blocks_stays(tmp_path: Path) -> None:
    move = node("DepthToSpace", "a", "b", blocksize=2, mode="CRD")
    moves, found, wanted = both(between_convolutions(tmp_path / "m.onnx", move, {}, (1, 2, 12, 10)))
    assert moves == []
    np.testing.assert_array_equal(found, wanted)


def test_other_profiles_keep_the_operator(tmp_path: Path) -> None:
    move = node("DepthToSpace", "a", "b", blocksize=2)
    graph = between_convolutions(tmp_path / "m.onnx", move, {}, (1, 2, 12, 10))
    assert plan(graph, profile("tensorrt")).channels_last == {}


def test_a_shuffle_that_only_floats_read_moves_bytes(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("DepthToSpace", "a", "b", blocksize=2),
        node("Softmax", "b", "y", axis=1),
    ]
    ends = ([("x", SIZE, "float32")], [("y", (1, 2, 12, 10), "float32")])
    graph = Graph(simplified(write(tmp_path / "m.onnx", nodes, *ends, {"w": WEIGHTS["w"]})))
    assert set(plan(graph, profile("ort-x86")).channels_last) == {"DepthToSpace_b"}
    _, found, wanted = both(graph)
    np.testing.assert_array_equal(found, wanted)
