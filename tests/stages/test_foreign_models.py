"""Models that are quantized, or in 16 bits, before edgekit sees them: built as they are and called what they are."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgekit
from edgekit.core.errors import ModelError, SpecError
from tests.support.projects import HEIGHT, SPEC, WIDTH
from tests.support.runtime import session

MODEL = SPEC[SPEC.index("model:") : SPEC.index("preprocess:")]
STEP = SPEC[SPEC.index("compress:") : SPEC.index("targets:")]
KPIS = SPEC[SPEC.index("kpis:") :]
ONNX = """\
model:
  onnx: model.onnx
  inputs: {image: {shape: [1, 3, 32, 48]}}
  outputs: [logits]
"""


def rounded() -> Any:
    """A convolution between Q/DQ pairs, as a quantizer of other makes writes it."""
    rng = np.random.default_rng(0)
    arrays = {
        "scale": np.float32(1 / 255),
        "zero": np.uint8(0),
        "w": rng.integers(-127, 128, (3, 3, 3, 3)).astype(np.int8),
        "ws": np.full(3, 0.01, np.float32),
        "wz": np.zeros(3, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], name="dw", axis=0),
        helper.make_node("Conv", ["d", "dw"], ["logits"], name="conv", pads=[1, 1, 1, 1]),
    ]
    shape = [1, 3, HEIGHT, WIDTH]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "logits")]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def project(_tiny_source: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(_tiny_source, tmp_path / "project"))
    onnx.save(rounded(), folder / "model.onnx")
    return folder


def write(project: Path, *, step: bool = False, model: str = ONNX) -> Path:
    text = SPEC.replace(MODEL, model).replace(KPIS, "")
    (project / "edgekit.yaml").write_text(text if step else text.replace(STEP, ""))
    return project / "edgekit.yaml"


def test_a_quantized_file_is_built_as_int8(project: Path) -> None:
    bundle = edgekit.build(write(project), "cpu")
    assert (bundle.contents.candidate.precision, bundle.contents.control) == ("int8", None)
    assert {path.name for path in (project / "artifacts/tiny-compressed").iterdir()} == {
        "int8.onnx",
        "golden.npz",
        "export.json",
        "variants.json",
    }
    golden = bundle.golden()
    feeds = golden.feeds(0)
    (expected,) = session((project / "model.onnx").read_bytes()).run(None, feeds)
    np.testing.assert_allclose(golden.output(0, "logits"), expected, rtol=1e-4, atol=1e-5)
    with bundle.engine() as engine:
        np.testing.assert_allclose(engine.infer(feeds)["logits"], expected, rtol=0.02, atol=0.02)


def test_a_quantized_file_is_not_quantized_again(project: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx is quantized already: leave out compress, and it is built as"):
        edgekit.build(write(project, step=True), "cpu")
    with pytest.raises(ModelError, match="is quantized already: leave out compress"):
        edgekit.sensitivity(write(project))


def test_a_quantized_file_has_no_float32_engine(project: Path) -> None:
    spec = write(project)
    spec.write_text(spec.read_text().replace("threads: 1}", "threads: 1, precision: fp32}"))
    with pytest.raises(SpecError, match=r"precision fp32 cannot be built: .*no quantize step, and its model is int8"):
        edgekit.build(spec, "cpu")


def test_a_network_in_sixteen_bits(project: Path) -> None:
    code = """
        import torch
        class build(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = torch.nn.Conv2d(3, 3, 1).half()
            def forward(self, image): return self.conv(image.half()).float()
    """
    (project / "half.py").write_text(textwrap.dedent(code))
    model = ONNX.replace("onnx: model.onnx", "factory: half.py:build")
    with pytest.raises(ModelError, match="computes in fp16 already: give the float32 model, or leave out compress"):
        edgekit.compress(write(project, step=True, model=model))


def test_outputs_in_64_bits_are_refused_before_calibration(project: Path) -> None:
    """Engines keep the type, which no task reads; the golden outputs, all in float32, do not show it."""
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["y"], name="conv"),
        helper.make_node("Cast", ["y"], ["logits"], name="cast", to=TensorProto.DOUBLE),
    ]
    kinds = {"image": TensorProto.FLOAT, "logits": TensorProto.DOUBLE}
    (given,), (made,) = (
        [helper.make_tensor_value_info(name, kinds[name], [1, 3, HEIGHT, WIDTH])] for name in ("image", "logits")
    )
    graph = helper.make_graph(nodes, "net", [given], [made], [weight])
    file = project / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    with pytest.raises(SpecError, match=r"logits: float64\[1, 3, 32, 48\]: cast the output to float32"):
        edgekit.compress(write(project, step=True))
    assert list((project / ".edgekit").glob("quantize-*")) == []
