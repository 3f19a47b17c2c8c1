"""Exchanged operators on every reference network that has some: what is left goes all the way that it went before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError

from edgekit.core import plugins
from edgekit.core.errors import DataError, ModelError, SpecError
from edgekit.engine import ort
from edgekit.prune import substitute
from edgekit.stats.faster import EACH, OPENINGS
from edgekit.technique import Change, Changed, Job
from tests.support import tensorrt_rtx
from tests.support.graphs import relative_l2
from tests.support.pruning import job_of
from tests.support.reference_models import NETWORKS, Frames

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "prune.json").read_text())
FORCED = {"force": True, "activation": "hardswish", "upsample": "half"}
GONE = {"yolox": {"Sigmoid"}, "vit": {"Gelu", "Erf", "LayerNormalization"}, "segmenter": set()}
KINDS = {"yolox": ["silu"], "vit": ["gelu", "layernorm"], "segmenter": ["upsample"]}
MODEL = pytest.mark.parametrize("model", KINDS)
Arrays = dict[str, np.ndarray]


def config(**keys: Any) -> substitute.Config:
    return substitute.Config.model_validate({"method": "substitute"} | keys)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Job, Changed]]:
    @cache
    def make(model: str) -> tuple[Job, Changed]:
        job = job_of(model, tmp_path_factory.mktemp(model))
        return job, substitute.apply(job, config(kinds=KINDS[model], **FORCED))

    return make


def feeds(model: str) -> Arrays:
    return next(iter(Frames(NETWORKS[model].shapes, 1, first=100)))


def run(model: bytes, given: Arrays, folder: Path) -> Arrays:
    (folder / "model.onnx").write_bytes(model)
    with ort.reference(folder / "model.onnx") as engine:
        return engine.infer(given)


@MODEL
class TestExchanged:
    def test_the_operators_are_gone_and_the_interface_stays(
        self, exchanged: Callable[[str], tuple[Job, Changed]], model: str
    ) -> None:
        job, made = exchanged(model)
        before, after = onnx.load(job.source), onnx.load_from_string(made.model)
        onnx.checker.check_model(after, full_check=True)
        for old, new in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
            assert [(v.name, v.type) for v in new] == [(v.name, v.type) for v in old]
        operators = [{node.op_type for node in one.graph.node} for one in (before, after)]
        if model == "yolox":  # a detector's scores are sigmoids too
            count = [sum(node.op_type == "Sigmoid" for node in one.graph.node) for one in (before, after)]
            assert (count[0] > count[1], "HardSwish" in operators[1]) == (True, True)
        else:
            assert not GONE[model] & operators[1]
        assert sorted({site["kind"] for site in made.change.record["sites"]}) == KINDS[model]

    def test_engine_equals_the_rebuilt_network(
        self, exchanged: Callable[[str], tuple[Job, Changed]], tmp_path: Path, model: str
    ) -> None:
        job, made = exchanged(model)
        assert job.network is not None
        change = Change(json.loads(json.dumps(dict(made.change.record))), made.change.weights)
        network, given = substitute.rebuild(job.network(), change), feeds(model)
        with torch.no_grad():
            outputs = network(*(torch.from_numpy(array) for array in given.values()))
        found = run(made.model, given, tmp_path)
        for name, expected in zip(job.outputs, outputs, strict=True):
            assert relative_l2(found[name], expected.numpy()) < LIMITS["relative_l2_to_torch"]

    def test_tensorrt_takes_it(self, exchanged: Callable[[str], tuple[Job, Changed]], model: str) -> None:
        assert tensorrt_rtx.parse(exchanged(model)[1].model) == []

    def test_int8_follows(self, exchanged: Callable[[str], tuple[Job, Changed]], tmp_path: Path, model: str) -> None:
        job, made = exchanged(model)
        (tmp_path / "changed.onnx").write_bytes(made.model)
        ptq = plugins.load("quantize", "ptq")
        typed = ptq.apply(Job(tmp_path / "changed.onnx", job.frames), ptq.Config(method="ptq"))
        expected, found = (run(one, feeds(model), tmp_path) for one in (made.model, typed.model))
        worst = max(relative_l2(found[name], expected[name]) for name in expected)
        assert 1e-6 < worst < LIMITS["relative_l2_of_int8"]

    def test_same_frames_same_bytes(self, exchanged: Callable[[str], tuple[Job, Changed]], model: str) -> None:
        job, made = exchanged(model)
        again = substitute.apply(job, config(kinds=KINDS[model], **FORCED))
        assert (again.model, again.change) == (made.model, made.change)


class Timed:
    """A bench where each exchange takes as long as it is said here; 10 ms as it is."""

    def __init__(self, times: Mapping[str, float]) -> None:
        self.times = {"as it is": 10.0, **times}
        self.models: dict[str, bytes] = {}

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        self.models = dict(models)
        return {name: [self.times[name]] * (OPENINGS * EACH) for name in models}


def test_int8_models_are_timed_and_what_pays_is_exchanged(
    exchanged: Callable[[str], tuple[Job, Changed]],
) -> None:
    bench, asked = Timed({"upsample half": 5.0}), list[bytes]()
    job = replace(
        exchanged("segmenter")[0],
        bench=bench,  # type: ignore[arg-type]
        placed=lambda model: asked.append(model) or b"typed",  # type: ignore[func-returns-value]
    )
    made = substitute.apply(job, config(upsample="half"))
    assert set(bench.models.values()) == {b"typed"}
    assert asked[0] == job.source.read_bytes()
    assert made.change.record["chosen"] == {"upsample": "half"}
    assert [one["verdict"] for one in made.change.record["measured"]] == ["faster"]
    substitute.apply(job, config(upsample="half", precision="fp32"))
    assert b"typed" not in bench.models.values()


class TestLayerNorm:
    def test_the_line_of_each_channel_is_the_nearest_there_is(
        self, exchanged: Callable[[str], tuple[Job, Changed]]
    ) -> None:
        """Checked against NumPy's own least squares on the same frames."""
        job, made = exchanged("vit")
        seen: list[tuple[np.ndarray, np.ndarray]] = []
        assert job.network is not None
        network = job.network()
        norm = network.get_submodule("network.norms.0")
        norm.register_forward_hook(lambda m, a, r: seen.append((a[0].detach().numpy(), r.detach().numpy())))
        with torch.no_grad():
            for one in job.frames:
                network(*(torch.from_numpy(array) for array in one.values()))
        x, y = (np.concatenate([pair[k].reshape(-1, 32) for pair in seen]).astype(np.float64) for k in (0, 1))
        affine = substitute.rebuild(job.network(), made.change).get_submodule("network.norms.0")
        for channel in (0, 7, 31):
            weight, bias = np.polyfit(x[:, channel], y[:, channel], 1)
            assert affine.weight[channel].item() == pytest.approx(weight, rel=1e-4)
            assert affine.bias[channel].item() == pytest.approx(bias, abs=1e-4)


class TestRefused:
    def test_a_network_that_has_none_says_what_was_looked_for(
        self, exchanged: Callable[[str], tuple[Job, Changed]]
    ) -> None:
        job = exchanged("segmenter")[0]
        with pytest.raises(SpecError, match=r"has no SiLU or Swish, GELU, as modules or as calls .*leave the step out"):
            substitute.apply(job, config(kinds=["silu", "gelu"], **FORCED))
        with pytest.raises(SpecError, match="or give less in keep"):
            substitute.apply(exchanged("yolox")[0], config(keep=["*"], **FORCED))

    def test_an_onnx_file_no_frame_and_no_validation(self, exchanged: Callable[[str], tuple[Job, Changed]]) -> None:
        job = exchanged("segmenter")[0]
        with pytest.raises(ModelError, match=r"give model\.factory"):
            substitute.apply(replace(job, network=None), config(**FORCED))
        with pytest.raises(DataError, match="calibration set is empty"):
            substitute.apply(replace(job, frames=()), config(**FORCED))
        with pytest.raises(SpecError, match=r"substitute measures on the target: give data\.validation"):
            substitute.apply(job, config())

    def test_keys(self) -> None:
        with pytest.raises(ValidationError, match="force: true measures nothing, so activation: auto cannot choose"):
            config(force=True, kinds=["silu"])
        with pytest.raises(ValidationError, match="kinds is empty"):
            config(kinds=[])
        assert not config(force=True, kinds=["layernorm"]).measures
        assert config().measures
