"""What operators of edgekit-ops would compute, and what holds where the package is not. cpp/ops/tests runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.support.graphs import convnet, node, normal, write
from tests.support.rounded import CASES, DEPTHWISE, GELU, SILU, SILU_ROUNDED, STEMS, G, Rounded, S

from edgekit.core.errors import EnvironmentFault, MissingRequirement
from edgekit.engine import ort
from edgekit.engine.ort import convolutions, extension, grids, operators
from edgekit.onnxfile.parts import opsets, parts_of
from edgekit.quantize import ptq
from edgekit.technique import Job

OFF = ort.Backend(ort.Config(engine="ort", operators=False))
ON = ort.Backend(ort.Config(engine="ort"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building asks for a version alone: what runs such an engine is another matter."""
    monkeypatch.setattr(extension, "version", lambda: 1)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "version", lambda: None)


def found(path: Path) -> list[operators.Region]:
    return operators.regions(parts_of(path.read_bytes()))


def ops(path: Path) -> list[str]:
    return [one.op_type for one in onnx.load(path).graph.node]


def table_of(path: Path) -> np.ndarray:
    model = onnx.load(path)
    (lut,) = [one for one in model.graph.node if one.op_type == "LutU8"]
    (table,) = [t for t in model.graph.initializer if t.name == lut.input[1]]
    return onnx.numpy_helper.to_array(table)


def by_channel(folder: Path) -> Path:
    """A typed model with a depthwise convolution between two SiLUs: grids per channel before it."""
    nodes = [
        node("Conv", "x w1 b1", "a", pads=[1, 1, 1, 1]), node("Sigmoid", "a", "s"), node("Mul", "a s", "b"),
        node("Conv", "b w2 b2", "c", pads=[1, 1, 1, 1], group=8), node("Sigmoid", "c", "t"), node("Mul", "c t", "d"),
        node("Conv", "d w3 b3", "y"),
    ]  # fmt: skip
    sizes = np.geomspace(0.1, 1, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    weights = {"w1": sizes * normal(1, 8, 5, 3, 3), "w2": normal(2, 8, 1, 3, 3), "w3": normal(3, 4, 8, 1, 1)}
    weights |= {"b1": normal(4, 8), "b2": normal(5, 8), "b3": normal(6, 4)}
    shape = (1, 5, 16, 16)
    source = write(folder / "m.onnx", nodes, [("x", shape, "float32")], [("y", (1, 4, 16, 16), "float32")], weights)
    job = Job(source, [{"x": normal(seed, *shape)} for seed in range(40)], "ort-x86-ops")
    (folder / "typed.onnx").write_bytes(ptq.apply(job, ptq.Config(method="ptq")).model)
    return folder / "typed.onnx"


class TestRegions:
    @pytest.mark.parametrize("case", CASES)
    def test_a_function_of_a_byte_is_one(self, case: str, tmp_path: Path) -> None:
        (only,) = found(CASES[case].write(tmp_path / "m.onnx"))
        assert only.given == "a_i"
        assert only.name == f"{CASES[case].middle[-1].op_type}_b"
        assert only.channels == (8 if case == "prelu" or "per channel" in case else 0)
        assert only.dtype == CASES[case].dtype

    @pytest.mark.parametrize(
        ("middle", "weights"),
        [
            ([node("Relu", "a", "b")], {}),  # a kernel does that on its way
            (
                [node("Add", "a other", "b")],
                {"other": np.ones((1, 8, 9, 11), np.float32)},
            ),  # differs from place to place
            ([node("Add", "a other", "b")], {"other": np.ones((9, 1), np.float32)}),
            ([node("Softmax", "a", "b", axis=1)], {}),
            ([node("Sigmoid", "c", "s"), node("Mul", "a s", "b")], {}),  # of what was not rounded
            ([node("MaxPool", "a", "p", kernel_shape=[1, 1]), node("Mul", "p a", "b")], {}),  # of two tensors
        ],
    )
    def test_what_is_none(self, middle: list[Any], weights: dict[str, Any], tmp_path: Path) -> None:
        assert found(Rounded(middle, weights).write(tmp_path / "m.onnx")) == []

    def test_not_where_somebody_else_reads_what_is_between(self, tmp_path: Path) -> None:
        other = node("Neg", "s", "other")
        assert found(Rounded(SILU, extra=[(other, "other")]).write(tmp_path / "m.onnx")) == []
        shown = onnx.load(Rounded(GELU, G).write(tmp_path / "m.onnx"))
        shown.graph.output.append(onnx.helper.make_tensor_value_info("e", 1, [1, 8, 9, 11]))
        assert operators.regions(parts_of(shown.SerializeToString())) == []

    def test_what_reads_the_result_or_the_start_does_not_matter(self, tmp_path: Path) -> None:
        extra = [(node("Neg", "a", "n"), "n"), (node("Abs", "b_f", "p"), "p")]
        assert len(found(Rounded(SILU, extra=extra).write(tmp_path / "m.onnx"))) == 1

    def test_a_float_model_has_none(self, tmp_path: Path) -> None:
        assert operators.applicable(convnet(tmp_path / "m.onnx").read_bytes()) == 0
        assert operators.applicable(b"no model") == 0


@pytest.mark.usefixtures("installed")
class TestBuild:
    def test_one_operator_takes_the_place_of_all(self, tmp_path: Path) -> None:
        target = tmp_path / "t.ort.onnx"
        ON.build(Rounded(SILU_ROUNDED, S).write(tmp_path / "m.onnx"), target)
        assert [op for op in ops(target) if op not in ("QuantizeLinear", "DequantizeLinear", "Transpose")] == [
            "QLinearConv",
            "LutU8",
            "QLinearConv",
        ]
        assert opsets(target)[extension.DOMAIN] == 1
        onnx.checker.check_model(onnx.load(target))

    def test_the_table_is_the_function_rounded_once(self, tmp_path: Path) -> None:
        target = tmp_path / "t.ort.onnx"
        ON.build(CASES["silu"].write(tmp_path / "m.onnx"), target)
        x = (np.arange(256) - 120.0) * np.float32(0.05)
        y = np.clip(np.rint(x / (1 + np.exp(-x)) / np.float32(0.04)) + 9, 0, 255)
        assert (table_of(target) == y).all()

    def test_each_channel_has_its_table(self, tmp_path: Path) -> None:
        target = tmp_path / "t.ort.onnx"
        ON.build(CASES["prelu"].write(tmp_path / "m.onnx"), target)
        slope = CASES["prelu"].weights["slope"].reshape(8, 1).astype(np.float64)
        x = (np.arange(256) - 120.0)[None] * np.float32(0.05)
        y = np.clip(np.where(x < 0, slope * x, x) / np.float32(0.04) + 9, 0, 255)
        assert (np.abs(table_of(target) - y) < 0.5001).all()

    @pytest.mark.parametrize("case", STEMS)
    def test_the_first_layer_reads_planes(self, case: str, tmp_path: Path) -> None:
        target = tmp_path / "t.ort.onnx"
        ON.build(STEMS[case].write(tmp_path / "m.onnx"), target)
        assert ops(target)[:2] == ["QuantizeLinear", "ConvU8"]
        assert ops(target).count("LutU8") == (case != "without a table")
        onnx.checker.check_model(onnx.load(target))

    @pytest.mark.parametrize("case", DEPTHWISE)
    def test_depthwise_layers_are_exchanged(self, case: str, tmp_path: Path) -> None:
        target = tmp_path / "t.ort.onnx"
        ON.build(DEPTHWISE[case].write(tmp_path / "m.onnx"), target)
        assert [op for op in ops(target) if op.startswith(("QLinearC", "LutU8", "Dep"))] == [
            "QLinearConv",
            "LutU8",
            "DepthwiseU8",
        ]
        onnx.checker.check_model(onnx.load(target))

    def test_grids_per_channel(self, tmp_path: Path) -> None:
        """Nothing stays float: a convolution and a table make them, the table and a depthwise one read them."""
        target = tmp_path / "t.ort.onnx"
        ON.build(by_channel(tmp_path), target)
        model = onnx.load(target)
        held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        assert ops(target).count("Conv") == 0
        tables = [held[one.input[1]] for one in model.graph.node if one.op_type == "LutU8"]
        assert [table.shape for table in tables] == [(8, 256), (256,)]
        (depthwise,) = [one for one in model.graph.node if one.op_type == "DepthwiseU8"]
        assert len(set(held[depthwise.input[4]].tolist())) > 1  # zero points of what it reads
        onnx.checker.check_model(model)

    def test_without_operators_they_are_computed_in_float(self, tmp_path: Path) -> None:
        OFF.build(by_channel(tmp_path), tmp_path / "t.ort.onnx")
        assert ops(tmp_path / "t.ort.onnx").count("Conv") == 2  # the last one has one grid on both sides
        feed = {"x": normal(1, 1, 5, 16, 16)}
        with OFF.engine(tmp_path / "t.ort.onnx") as engine, ort.reference(tmp_path / "typed.onnx") as typed:
            found, expected = engine.infer(feed)["y"], typed.infer(feed)["y"]
        step = np.diff(np.unique(expected)).min()
        assert np.abs(found - expected).max() <= 1.001 * step

    @pytest.mark.parametrize("lost", ["a kernel", "a stand-in"])
    def test_no_stand_in_is_left(self, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if lost == "a kernel":
            monkeypatch.setattr(convolutions, "_KERNELS", ())
        else:
            monkeypatch.setattr(operators, "_STAND_IN", "NoSuchOperator")
        ON.build(by_channel(tmp_path), tmp_path / "t.ort.onnx")
        assert ("DepthwiseU8" in ops(tmp_path / "t.ort.onnx")) == (lost != "a kernel")
        assert ("LutU8" in ops(tmp_path / "t.ort.onnx")) == (lost == "a kernel")
        read = [name for one in onnx.load(tmp_path / "t.ort.onnx").graph.node for name in one.input]
        assert [name for name in read if grids.READING in name] == []

    def test_the_first_layer_of_other_kinds_stays(self, tmp_path: Path) -> None:
        others: list[dict[str, Any]] = [{"dilations": [2, 2]}, {"auto_pad": "SAME_UPPER"}]
        for first in others:
            ON.build(Rounded(SILU, planes=3, first=first).write(tmp_path / "m.onnx"), tmp_path / "t.ort.onnx")
            assert "ConvU8" not in ops(tmp_path / "t.ort.onnx")
        ON.build(Rounded(SILU, planes=5).write(tmp_path / "m.onnx"), tmp_path / "t.ort.onnx")
        assert "ConvU8" not in ops(tmp_path / "t.ort.onnx")

    def test_without_vectors_the_first_layer_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ort.processor, "instruction_sets", lambda *sets: [])
        ON.build(STEMS["with its table"].write(tmp_path / "m.onnx"), tmp_path / "t.ort.onnx")
        assert "ConvU8" not in ops(tmp_path / "t.ort.onnx")
        assert "LutU8" in ops(tmp_path / "t.ort.onnx")

    def test_layout_is_not_kept_from_spreading(self, tmp_path: Path) -> None:
        counts = []
        for backend in (OFF, ON):
            backend.build(Rounded(SILU).write(tmp_path / "m.onnx"), tmp_path / "t.ort.onnx")
            counts.append(ops(tmp_path / "t.ort.onnx").count("Transpose"))
        assert counts[1] <= counts[0]

    def test_the_switch(self, tmp_path: Path) -> None:
        source = Rounded(SILU_ROUNDED, S).write(tmp_path / "m.onnx")
        OFF.build(source, tmp_path / "t.ort.onnx")
        assert "LutU8" not in ops(tmp_path / "t.ort.onnx")
        assert extension.FACT not in OFF.fingerprint()
        assert ON.fingerprint() == OFF.fingerprint() | {extension.FACT: 1}

    def test_not_on_another_provider(self) -> None:
        assert ort.Backend(ort.Config(engine="ort", provider="cuda")).operators() is None

    def test_a_stand_in_that_is_lost_stays_what_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(operators, "_STAND_IN", "NoSuchOperator")
        source = Rounded(SILU_ROUNDED, S).write(tmp_path / "m.onnx")
        ON.build(source, tmp_path / "on.ort.onnx")
        OFF.build(source, tmp_path / "off.ort.onnx")
        assert (tmp_path / "on.ort.onnx").read_bytes() == (tmp_path / "off.ort.onnx").read_bytes()

    def test_facts_name_operators_where_they_are_used(self, tmp_path: Path) -> None:
        target = tmp_path / "t.ort.onnx"
        ON.build(convnet(tmp_path / "float.onnx"), target)
        assert ON.made_for(target) == OFF.fingerprint()
        ON.build(Rounded(SILU).write(tmp_path / "m.onnx"), target)
        assert ON.made_for(target) == ON.fingerprint()

    def test_the_placement_is_for_what_is_fast_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ort.platform, "machine", lambda: "x86_64")
        for has, expected in {
            ("avx512_vnni",): "ort-x86-ops",
            ("avx_vnni",): "ort-x86-ops",
            ("avx2",): "ort-x86",
        }.items():
            monkeypatch.setattr(
                ort.processor, "instruction_sets", lambda sets, has=has: [one for one in has if one in sets]
            )
            assert ON.quantization_profile() == expected
            assert ON.portable_profile() == "ort-x86"
            assert OFF.quantization_profile() == "ort-x86"
        monkeypatch.setattr(ort.platform, "machine", lambda: "aarch64")
        assert ON.quantization_profile() == "ort-arm"

    def test_nothing_is_hinted_at(self, tmp_path: Path) -> None:
        assert ON.hint(Rounded(SILU).write(tmp_path / "m.onnx")) == ""


class TestAbsent:
    @pytest.fixture
    def engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(extension, "version", lambda: 1)
            ON.build(Rounded(SILU).write(tmp_path / "m.onnx"), tmp_path / "t.ort.onnx")
        return tmp_path / "t.ort.onnx"

    @pytest.mark.usefixtures("absent")
    def test_such_an_engine_is_refused(self, engine: Path) -> None:
        with pytest.raises(MissingRequirement, match=r"edgekit-ops with version 1 .*rebuild.* pip install") as at:
            ON.engine(engine).open()
        assert at.value.exit_code == 3
        with pytest.raises(MissingRequirement, match="edgekit-ops"):
            ON.admit({extension.FACT: 1})
        ON.admit({})

    def test_so_is_one_of_another_version(self, engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extension, "version", lambda: 2)
        with pytest.raises(MissingRequirement, match=r"version 1 .*the one that is installed has version 2"):
            ON.engine(engine).open()

    @pytest.mark.usefixtures("absent")
    def test_builds_do_without(self, tmp_path: Path) -> None:
        source = Rounded(SILU_ROUNDED, S).write(tmp_path / "m.onnx")
        ON.build(source, tmp_path / "t.ort.onnx")
        assert "LutU8" not in ops(tmp_path / "t.ort.onnx")
        assert ON.fingerprint() == OFF.fingerprint()
        assert "edgekit-ops is not installed" in ON.hint(source)
        assert ON.hint(source).endswith("1 parts of this one")
        assert OFF.hint(source) == ""
        assert ON.hint(convnet(tmp_path / "f.onnx")) == ""

    def test_an_engine_without_operators_runs_where_there_are_some(self) -> None:
        assert ON.same_fact(extension.FACT, None, 1)
        assert not ON.same_fact(extension.FACT, 1, None)
        assert not ON.same_fact(extension.FACT, 1, 2)
        assert not ON.same_fact("machine", None, "x86_64")


class TestProbe:
    def test_absent_is_no_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extension, "version", lambda: None)
        probe = extension.probe()
        assert (probe.works, probe.optional) == (False, True)
        assert "SiLU" in probe.detail
        assert "edgekit-ops" in (probe.install or "")
        assert probe in ort.Backend.probe()

    def test_installed(self, installed: None) -> None:
        assert extension.probe().works

    def test_a_library_that_does_not_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> int:
            raise EnvironmentFault("its library does not load")

        monkeypatch.setattr(extension, "version", broken)
        assert not extension.probe().works
        assert not extension.probe().optional
