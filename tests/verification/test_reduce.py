"""The smallest part of a model that departs, found by Polygraphy through a backend that gets some layers wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit import pipeline
from edgekit.core import plugins
from edgekit.core.errors import CheckFailed, InputError, MissingRequirement
from edgekit.core.progress import Silent
from edgekit.core.reports import Reduction
from edgekit.engine import backend, ort
from edgekit.verification import reduce
from edgekit.verification.parity import LIMITS
from tests.support.keeping_engine import install_engine
from tests.support.shell import edgekit as run
from tests.support.shell import error_of
from tests.verification.test_bisect import LAYERS, LIMIT, chain, golden_of

WRONG = """
from typing import Literal

import numpy as np
import onnx

from edgekit.core.errors import ModelError
from edgekit.engine import ort


class Config(ort.Config):
    engine: Literal["wrong"]
    weights: tuple[str, ...] = ()
    fewest: int = 0


class Backend(ort.Backend):
    def build(self, source, target, progress=ort.SILENT):
        model = onnx.load(source)
        if len(model.graph.node) < self.config.fewest:
            raise ModelError("too small for this backend")
        for tensor in model.graph.initializer:
            if tensor.name in self.config.weights:
                array = onnx.numpy_helper.to_array(tensor) * np.float32(1.1)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        changed = target.with_suffix(".changed")
        onnx.save(model, changed)
        super().build(changed, target)
"""


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install_engine(tmp_path / "site", monkeypatch, "wrong", WRONG)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "acme_engine", raising=False)
    plugins.forget()
    yield plugins.load("engine", "wrong")
    plugins.forget()


def reduced(config: Any, folder: Path) -> Reduction | None:
    model = chain(folder / "m.onnx")
    return reduce.reduce(backend(config), model, golden_of(model), LIMIT, folder / "part.onnx", Silent())


@pytest.mark.parametrize("layer", [0, 4, LAYERS - 1])
def test_the_layer_alone_is_left(layer: int, wrong: Any, tmp_path: Path) -> None:
    found = reduced(wrong.Config(engine="wrong", weights=(f"w{layer}",)), tmp_path)
    assert found is not None
    assert (found.nodes, found.of) == (1, LAYERS + 1)
    assert found.rel_l2 == pytest.approx(0.1, rel=0.01)
    (node,) = onnx.load(tmp_path / "part.onnx").graph.node
    assert node.input[:2] == [f"a[{layer}]", f"w{layer}"]
    with np.load(tmp_path / "part.npz") as stored:
        arrays = dict(stored)
    assert set(arrays) == {f"input.a[{layer}]", f"expected.a[{layer + 1}]", f"found.a[{layer + 1}]"}
    np.testing.assert_allclose(arrays[f"found.a[{layer + 1}]"], 1.1 * arrays[f"expected.a[{layer + 1}]"], rtol=1e-3)
    with ort.reference(tmp_path / "part.onnx") as engine:
        again = engine.infer({f"a[{layer}]": arrays[f"input.a[{layer}]"]})
    np.testing.assert_allclose(again[f"a[{layer + 1}]"], arrays[f"expected.a[{layer + 1}]"], rtol=1e-5)


def test_parts_that_cannot_be_built_are_no_proof(wrong: Any, tmp_path: Path) -> None:
    found = reduced(wrong.Config(engine="wrong", weights=("w4",), fewest=3), tmp_path)
    assert found is not None
    assert 3 <= found.nodes < LAYERS


def test_nothing_is_written_of_an_engine_that_holds(wrong: Any, tmp_path: Path) -> None:
    assert reduced(wrong.Config(engine="wrong"), tmp_path) is None
    assert not (tmp_path / "part.onnx").exists()
    assert not (tmp_path / "part.npz").exists()


def test_a_bundle(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = run("verify", tiny_bundle, "--reduce", tmp_path / "part.onnx")
    assert healthy.returncode == 0, healthy.stderr
    assert "no part departs: nothing is written" in healthy.stdout
    monkeypatch.setitem(LIMITS, "int8", -1.0)  # even no error at all is too much
    strict = pipeline.verify(tiny_bundle, reduce=tmp_path / "part.onnx")
    assert strict.reduction is not None
    assert strict.reduction.nodes < strict.reduction.of
    onnx.checker.check_model(onnx.load(tmp_path / "part.onnx"), full_check=True)
    assert strict.to_dict()["reduction"]["nodes"] == strict.reduction.nodes


def test_a_name_that_is_no_onnx_file(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match=r"part\.npz: expected a name that ends in \.onnx"):
        pipeline.verify(tiny_bundle, reduce=Path("part.npz"))
    assert "expected a name that ends in .onnx" in error_of(run("verify", tiny_bundle, "--reduce", "part.npz"), 2)


def test_without_polygraphy(wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx_graphsurgeon", None)
    with pytest.raises(MissingRequirement, match=r"edgekit\[compress\]"):
        reduced(wrong.Config(engine="wrong"), tmp_path)


def test_polygraphy_gives_up(wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "_polygraphy", lambda: "/bin/false")
    with pytest.raises(CheckFailed, match="polygraphy debug reduce ended with 1"):
        reduced(wrong.Config(engine="wrong", weights=("w4",)), tmp_path)
    assert not (tmp_path / "part.onnx").exists()
