"""``.pt2`` and ONNX files as sources: what load_model takes and how it refuses."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.spec import ModelConfig
from edgekit.model.load import load_model

FEED = {"image": np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)}


def config(**given: Any) -> ModelConfig:
    return ModelConfig(**{"inputs": {"image": {"shape": [1, 3, 8, 8]}}, "outputs": ("out",), **given})


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.mark, "pwned"))


class Doubler(nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": 2 * image, "rest": image}


def save_pt2(path: Path) -> None:
    torch.export.save(torch.export.export(Doubler(), (torch.zeros(1, 3, 8, 8),)), path)


def test_exported_program(tmp_path: Path) -> None:
    save_pt2(tmp_path / "m.pt2")
    model = load_model(config(exported=tmp_path / "m.pt2"))
    np.testing.assert_array_equal(model.run(FEED)["out"], 2 * FEED["image"])
    with pytest.raises(ModelError, match=r"failed on inputs image: float32\[1, 3, 9, 9\].*Guard failed"):
        load_model(config(exported=tmp_path / "m.pt2", inputs={"image": {"shape": [1, 3, 9, 9]}}))


class Gain(nn.Module):
    def forward(self, image: torch.Tensor, *, gain: torch.Tensor) -> torch.Tensor:
        return image * gain


@pytest.mark.parametrize("first", ["image", "gain"])
def test_exported_program_with_keyword_inputs(tmp_path: Path, first: str) -> None:
    program = torch.export.export(Gain(), (torch.zeros(1, 3, 8, 8),), {"gain": torch.zeros(1)})
    torch.export.save(program, tmp_path / "m.pt2")
    shapes = {"image": {"shape": [1, 3, 8, 8]}, "gain": {"shape": [1]}}
    inputs = {name: shapes[name] for name in sorted(shapes, key=lambda name: name != first)}
    out = load_model(config(exported=tmp_path / "m.pt2", inputs=inputs)).run(FEED | {"gain": np.float32([3])})
    np.testing.assert_array_equal(out["out"], 3 * FEED["image"])


def test_exported_program_is_never_unpickled(tmp_path: Path) -> None:
    save_pt2(tmp_path / "m.pt2")
    torch.save(Payload(tmp_path / "pwned"), tmp_path / "evil.pt")
    with zipfile.ZipFile(tmp_path / "m.pt2") as source, zipfile.ZipFile(tmp_path / "e.pt2", "w") as target:
        for name in source.namelist():
            evil = name.endswith("sample_inputs/model.pt")
            target.writestr(name, (tmp_path / "evil.pt").read_bytes() if evil else source.read(name))
    with pytest.raises(ModelError, match="holds pickled Python objects, which are never unpickled"):
        load_model(config(exported=tmp_path / "e.pt2"))
    assert not (tmp_path / "pwned").exists()


def test_exported_program_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK" * 100)
    with pytest.raises(ModelError, match=r"m\.pt2 is not a complete \.pt2 file"):
        load_model(config(exported=tmp_path / "m.pt2"))


def save_onnx(path: Path, size: int | str = 8) -> None:
    shape = [1, 3, size, 8]
    nodes = [helper.make_node("Add", ["image", "image"], ["out"]), helper.make_node("Neg", ["image"], ["rest"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "out", "rest")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.mark.parametrize("size", [8, "height"])
def test_onnx_file(tmp_path: Path, size: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    save_onnx(tmp_path / "m.onnx", size)
    monkeypatch.setitem(sys.modules, "torch", None)
    model = load_model(config(onnx=tmp_path / "m.onnx"))
    assert model.module is None
    out = model.run(FEED)
    assert list(out) == ["out"]
    np.testing.assert_array_equal(out["out"], 2 * FEED["image"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": {"img": {"shape": [1, 3, 8, 8]}}}, r"takes image: float32\[1, 3, 8, 8\]; model\.inputs lists img"),
        ({"inputs": {"image": {"shape": [1, 3, 9, 8]}}}, r"takes image: .*8\]; model\.inputs says .*\[1, 3, 9, 8\]"),
        ({"inputs": {"image": {"shape": [1, 3, 8, 8], "dtype": "uint8"}}}, r"model\.inputs says image: uint8"),
        ({"outputs": ("logits",)}, r"returns out, rest; model\.outputs lists logits"),
    ],
)
def test_onnx_file_that_contradicts_the_spec(tmp_path: Path, given: Any, message: str) -> None:
    save_onnx(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=message):
        load_model(config(onnx=tmp_path / "m.onnx", **given))


def test_onnx_file_that_is_not_valid(tmp_path: Path) -> None:
    save_onnx(tmp_path / "m.onnx")
    (tmp_path / "half.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:60])
    with pytest.raises(ModelError, match=r"half\.onnx is not a valid ONNX model"):
        load_model(config(onnx=tmp_path / "half.onnx"))


def test_without_the_onnx_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_onnx(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingRequirement, match=r'onnx package .* pip install "edgekit\[compress\]"'):
        load_model(config(onnx=tmp_path / "m.onnx"))
    monkeypatch.undo()
    with pytest.raises(ModelError, match=r"no file .*absent\.onnx"):
        load_model(config(onnx=tmp_path / "absent.onnx"))
