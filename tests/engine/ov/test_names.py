"""Names of layers that do not count what a process did before."""

from __future__ import annotations

from edgekit.engine.ov.names import stable

LAYERS = '<layer id="1" name="{}" /><attribute name="fused_names" value="{}" /><port names="{}" />'


def renamed(*names: str, known: frozenset[str] = frozenset()) -> str:
    return stable(LAYERS.format(*names).encode(), known).decode()


def test_numbers_of_the_process_start_at_0() -> None:
    first = renamed("Multiply_8516", "conv, Multiply_8516,Constant_7, Reshape_52_flatten", "Constant_7")
    later = renamed("Multiply_99999", "conv, Multiply_99999,Constant_12345, Reshape_6_flatten", "Constant_12345")
    assert first == later
    assert first == LAYERS.format("Multiply_0", "conv, Multiply_0,Constant_0, Reshape_0_flatten", "Constant_0")


def test_names_of_the_model_stay() -> None:
    known = frozenset({"Conv_12", "Multiply_0"})
    found = renamed("Conv_12/WithoutBiases", "Conv_12,Multiply_77", "Conv_13", known=known)
    assert found == LAYERS.format("Conv_12/WithoutBiases", "Conv_12,Multiply_1", "Conv_0")


def test_other_texts_stay() -> None:
    document = b'<net name="onnx"><data element_type="f32" shape="1,3" /><layer name="relu_1" /></net>'
    assert stable(document, frozenset()) == document
