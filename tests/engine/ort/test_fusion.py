"""Which source nodes a fused node stands for, on graphs written out by hand."""

from __future__ import annotations

from edgekit.engine import LayerTensor
from edgekit.engine.ort.fusion import origins
from edgekit.onnxfile.graph import Graph, Node

WEIGHT = LayerTensor("float32", (8, 8, 3, 3))


def node(op: str, name: str, inputs: str, outputs: str, module: str = "") -> Node:
    return Node(name, op, tuple(inputs.split()), tuple(outputs.split()), module)


def graph(*nodes: Node) -> Graph:
    return Graph(nodes, {"w1": WEIGHT, "w2": WEIGHT})


RESIDUAL = graph(
    node("Conv", "first", "x w1", "c1", "a.conv"),
    node("Relu", "act1", "c1", "r1", "a.act"),
    node("Conv", "second", "r1 w2", "c2", "b.conv"),
    node("Add", "sum", "r1 c2", "s", "b"),
    node("Relu", "act2", "s", "y", "b.act"),
)


def nodes_of(engine: Graph, source: Graph) -> list[tuple[str, ...]]:
    return [origin.nodes for origin in origins(engine, source)]


def test_a_residual_sum_belongs_to_the_later_convolution() -> None:
    engine = graph(
        node("ReorderInput", "ReorderInput/0", "x", "x_blocked"),
        node("Conv", "r1_nchwc", "x_blocked w1", "reorder_0"),
        node("Conv", "c2_nchwc", "reorder_0 w2 reorder_0", "reorder_1"),
        node("ReorderOutput", "ReorderOutput/3", "reorder_1", "y"),
    )
    assert nodes_of(engine, RESIDUAL) == [(), ("first", "act1"), ("second", "sum", "act2"), ()]
    found = origins(engine, RESIDUAL)
    assert [origin.module for origin in found] == ["a.conv", "a.conv", "b.conv", "b.conv"]
    assert [origin.weight for origin in found] == [None, WEIGHT, WEIGHT, None]


def test_a_kept_tensor_ends_a_group() -> None:
    engine = graph(
        node("FusedConv", "fused 1", "x w1", "r1"),
        node("FusedConv", "fused 2", "r1 w2 r1", "y"),
    )
    assert nodes_of(engine, RESIDUAL) == [("first", "act1"), ("second", "sum", "act2")]


def test_what_was_not_fused_is_itself() -> None:
    assert nodes_of(RESIDUAL, RESIDUAL) == [(n.name,) for n in RESIDUAL.nodes]


def test_pieces_of_a_normalisation_do_not_go_to_the_layer_before() -> None:
    source = graph(
        node("Conv", "conv", "x w1", "c", "conv"),
        node("ReduceMean", "mean", "c", "m", "norm"),
        node("Sub", "centre", "c m", "d", "norm"),
        node("Div", "scale", "d k", "y", "norm"),
    )
    engine = graph(node("Conv", "conv_token_3", "x w1", "t"), node("LayerNormalization", "ln", "t k", "y"))
    assert nodes_of(engine, source) == [("conv",), ("mean", "centre", "scale")]


def test_rounding_around_a_layer() -> None:
    source = graph(
        node("QuantizeLinear", "x/Q", "x s z", "xq"),
        node("DequantizeLinear", "x/D", "xq s z", "xd"),
        node("DequantizeLinear", "w1/D", "w1 s z", "wd"),
        node("Conv", "conv", "xd wd", "c", "conv"),
        node("Relu", "act", "c", "r", "act"),
        node("QuantizeLinear", "r/Q", "r s z", "rq"),
        node("DequantizeLinear", "r/D", "rq s z", "y"),
    )
    engine = graph(
        node("QuantizeLinear", "x/Q", "x s z", "q"),
        node("Transpose", "Transpose", "q", "t"),
        node("QLinearConv", "conv_token_1", "t s z w1 s z s z", "conv"),
        node("Transpose", "Transpose_token_2", "conv", "rq"),
        node("DequantizeLinear", "r/D", "rq s z", "y"),
    )
    assert nodes_of(engine, source) == [("x/Q",), (), ("conv", "act"), (), ("r/D",)]
    found = origins(engine, source)
    assert {origin.module for origin in found} == {"conv"}
    assert found[2].weight == WEIGHT  # through DequantizeLinear


def test_a_transpose_of_the_model_keeps_its_name() -> None:
    source = graph(node("Conv", "conv", "x w1", "c", "conv"), node("Transpose", "turn", "c", "y", "head"))
    assert nodes_of(source, source) == [("conv",), ("turn",)]
    assert origins(source, source)[1].module == "head"
