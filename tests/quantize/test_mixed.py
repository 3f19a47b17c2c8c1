from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from edgekit.core.errors import CheckFailed, ModelError, SpecError
from edgekit.core.reports import LayerNoise, Metric
from edgekit.quantize import mixed
from edgekit.quantize.mixed import sensitivity
from edgekit.quantize.mixed.sensitivity import analyse, analyse_blocks, picture
from edgekit.quantize.mixed.variants import Variants
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.technique import Job
from tests.support.benches import CountingBench, frames, uneven

PER_TENSOR = PtqConfig(weights="per-tensor", calibrator="minmax")


def job(source: Path, metric: Metric | None = None) -> Job:
    bench = CountingBench(source, frames()[0])
    if metric is not None:
        bench.metric = metric
    return Job(source, frames(), bench=bench)


def float_convs(model: bytes) -> set[str]:
    graph = onnx.load_from_string(model).graph
    integers = {name for n in graph.node if n.op_type == "DequantizeLinear" for name in n.output}
    return {n.name for n in graph.node if n.op_type == "Conv" and n.input[1] not in integers}


class TestSensitivity:
    def test_blames_the_layer_that_was_made_bad(self, tmp_path: Path) -> None:
        source = uneven(tmp_path / "m.onnx", bad=(2,))
        layers = analyse(Variants(job(source), PER_TENSOR))
        assert layers[0].node == "Conv_c2"
        assert {layer.node for layer in layers} == {"Conv_c0", "Conv_c1", "Conv_c2", "Conv_c3", "Conv_y"}
        assert sum(layer.noise_share for layer in layers) == pytest.approx(1.0)
        assert layers[0].noise_share > 0.5
        assert layers[0].sqnr_db == min(layer.sqnr_db for layer in layers)
        assert all(layer.drop is None for layer in layers)

    def test_the_metric_can_rank_too(self, tmp_path: Path) -> None:
        made = job(uneven(tmp_path / "m.onnx", bad=(1,)))
        assert made.bench is not None
        layers = analyse(Variants(made, PER_TENSOR), made.bench)
        assert layers[0].node == "Conv_c1"
        drops = [layer.drop for layer in layers]
        assert all(drop is not None and drop >= 0 for drop in drops)
        assert drops == sorted(drops, key=lambda drop: -(drop or 0.0))

    def test_the_picture_is_a_png_that_is_equal_for_equal_layers(self, tmp_path: Path) -> None:
        layers = analyse(Variants(job(uneven(tmp_path / "m.onnx")), PER_TENSOR))
        drawn = picture(layers, "title", {"Conv_c2"})
        assert drawn.startswith(b"\x89PNG")
        assert drawn == picture(layers, "title", {"Conv_c2"})
        assert drawn != picture(layers, "title")

    def test_blocks_first_and_then_their_layers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sensitivity, "BLOCKS", 2)
        variants = Variants(job(uneven(tmp_path / "m.onnx", bad=(3,))), PER_TENSOR)
        layers = analyse_blocks(variants)
        alone = {layer.node: layer for layer in analyse(variants)}
        assert layers[0].node == "Conv_c3"
        assert sum(layer.noise_share for layer in layers) == pytest.approx(1.0)
        assert {layer.node for layer in layers} == alone.keys()
        assert layers[0].sqnr_db == alone["Conv_c3"].sqnr_db
        shared = {layer.sqnr_db for layer in layers if layer.node in ("Conv_c0", "Conv_c1")}
        assert len(shared) == 1  # their block makes little, and nobody looked into it

    def test_a_shallow_network_is_looked_at_layer_by_layer(self, tmp_path: Path) -> None:
        variants = Variants(job(uneven(tmp_path / "m.onnx")), PER_TENSOR)
        assert analyse_blocks(variants) == analyse(variants)


class TestMixed:
    @pytest.mark.parametrize("bad", [(0,), (1, 2)])
    def test_first_layers_that_are_enough_need_no_ranking(self, tmp_path: Path, bad: tuple[int, ...]) -> None:
        made = job(uneven(tmp_path / "m.onnx", bad=bad))
        assert made.bench is not None

        def ranked() -> list[LayerNoise]:
            raise AssertionError("nothing is to be ranked")

        found = mixed.search(Variants(made, PER_TENSOR), made.bench, 0.9, ranked)
        assert found.holds
        assert found.exclude == tuple(f"Conv_c{index}" for index in bad)

    def test_other_layers_are_ranked(self, tmp_path: Path) -> None:
        made = job(uneven(tmp_path / "m.onnx", bad=(3,)))
        assert made.bench is not None
        variants = Variants(made, PER_TENSOR)
        found = mixed.search(variants, made.bench, 0.9, lambda: analyse(variants))
        assert found.holds
        assert found.exclude == ("Conv_c3",)

    @pytest.mark.parametrize("bad", [(2,), (0, 3)])
    def test_leaves_the_bad_layers_in_float_and_no_other(self, tmp_path: Path, bad: tuple[int, ...]) -> None:
        source = uneven(tmp_path / "m.onnx", bad=bad)
        found = mixed.apply(job(source), mixed.Config(max_drop=0.1, ptq=PER_TENSOR))
        assert float_convs(found.model) == {f"Conv_c{index}" for index in bad}
        assert found.record["excluded"] == sorted(found.record["excluded"])
        assert found.record["accuracy"]["int8"] >= found.record["accuracy"]["fp32"] - 0.1
        assert json.loads(json.dumps(found.record)) == found.record
        assert set(found.files) == {"sensitivity.png"}

    def test_a_metric_whose_lower_values_are_better(self, tmp_path: Path) -> None:
        source = uneven(tmp_path / "m.onnx")
        found = mixed.apply(job(source, Metric("distance", higher=False)), mixed.Config(max_drop=0.1, ptq=PER_TENSOR))
        assert float_convs(found.model) == {"Conv_c2"}

    def test_a_floor_that_plain_int8_holds_excludes_nothing(self, tmp_path: Path) -> None:
        source = uneven(tmp_path / "m.onnx", bad=())
        found = mixed.apply(job(source), mixed.Config(max_drop=0.2))
        assert float_convs(found.model) == set()

    def test_a_floor_that_cannot_be_held(self, tmp_path: Path) -> None:
        source = uneven(tmp_path / "m.onnx")
        with pytest.raises(CheckFailed, match=r"closeness within 0 of FP32's 1\.0000; the best is 0\.9"):
            mixed.apply(job(source), mixed.Config(max_drop=0.0, ptq=PER_TENSOR))

    def test_without_a_bench(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"method mixed measures on the target: give data\.validation"):
            mixed.apply(Job(uneven(tmp_path / "m.onnx"), frames()), mixed.Config(max_drop=0.1))

    def test_an_unknown_excluded_node(self, tmp_path: Path) -> None:
        config = mixed.Config(max_drop=0.1, ptq=PtqConfig(exclude=("Conv_c9",)))
        with pytest.raises(ModelError, match="no node 'Conv_c9'"):
            mixed.apply(job(uneven(tmp_path / "m.onnx")), config)
