"""Channel pruning on every reference network: what it leaves goes all the way that the network before it went."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgekit.core import plugins
from edgekit.engine import ort
from edgekit.prune import channels
from edgekit.technique import Change, Changed, Job
from tests.support import tensorrt_rtx
from tests.support.graphs import relative_l2
from tests.support.pruning import job_of
from tests.support.reference_models import NETWORKS, Frames, Network

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "prune.json").read_text())
MODEL = pytest.mark.parametrize("model", NETWORKS)
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Pruned:
    """A network, what pruning made of it, and the job."""

    reference: Network
    job: Job
    made: Changed

    def network(self) -> nn.Module:
        assert self.job.network is not None
        change = Change(json.loads(json.dumps(dict(self.made.change.record))), self.made.change.weights)
        return channels.rebuild(self.job.network(), change)

    def feeds(self) -> Arrays:
        return next(iter(Frames(self.reference.shapes, 1, first=100)))


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pruned]:
    @cache
    def make(model: str) -> Pruned:
        job = job_of(model, tmp_path_factory.mktemp(model))
        config = channels.Config(method="channels", ratio=0.5, round_to=4)
        return Pruned(NETWORKS[model], job, channels.apply(job, config))

    return make


def run(model: bytes, feeds: Arrays, folder: Path) -> Arrays:
    """On the engine that a build makes."""
    backend = ort.Backend(ort.Config(engine="ort"))
    (folder / "model.onnx").write_bytes(model)
    target = folder / f"engine{backend.suffix}"
    backend.build(folder / "model.onnx", target)
    with backend.engine(target) as engine:
        return engine.infer(feeds)


@MODEL
class TestPruned:
    def test_widths(self, pruned: Callable[[str], Pruned], model: str) -> None:
        record = pruned(model).made.change.record
        expected = LIMITS["widths"][model]
        assert {group["layers"][0]: [group["before"], group["after"]] for group in record["groups"]} == expected

    def test_it_is_smaller_and_keeps_its_interface(self, pruned: Callable[[str], Pruned], model: str) -> None:
        found = pruned(model)
        before, after = onnx.load(found.job.source), onnx.load_from_string(found.made.model)
        onnx.checker.check_model(after, full_check=True)
        for old, new in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
            assert [(v.name, v.type) for v in new] == [(v.name, v.type) for v in old]
        sizes = [sum(np.prod(t.dims) for t in one.graph.initializer) for one in (before, after)]
        assert sizes[1] < 0.7 * sizes[0]

    def test_engine_equals_the_rebuilt_network(
        self, pruned: Callable[[str], Pruned], tmp_path: Path, model: str
    ) -> None:
        found = pruned(model)
        feeds = found.feeds()
        with torch.no_grad():
            outputs = found.network()(*(torch.from_numpy(array) for array in feeds.values()))
        made = run(found.made.model, feeds, tmp_path)
        for name, expected in zip(found.job.outputs, outputs, strict=True):
            assert relative_l2(made[name], expected.numpy()) < LIMITS["relative_l2_to_torch"]

    def test_tensorrt_takes_it(self, pruned: Callable[[str], Pruned], model: str) -> None:
        assert tensorrt_rtx.parse(pruned(model).made.model) == []

    def test_int8_follows(self, pruned: Callable[[str], Pruned], tmp_path: Path, model: str) -> None:
        found = pruned(model)
        (tmp_path / "pruned.onnx").write_bytes(found.made.model)
        ptq = plugins.load("quantize", "ptq")
        typed = ptq.apply(Job(tmp_path / "pruned.onnx", found.job.frames), ptq.Config(method="ptq"))
        expected = run(found.made.model, found.feeds(), tmp_path)
        made = run(typed.model, found.feeds(), tmp_path)
        worst = max(relative_l2(made[name], expected[name]) for name in expected)
        assert 1e-6 < worst < LIMITS["relative_l2_of_int8"]


@pytest.mark.parametrize("model", ["vit", "segmenter"])
class TestAgain:
    def test_same_frames_same_bytes(self, pruned: Callable[[str], Pruned], model: str) -> None:
        found = pruned(model)
        again = channels.apply(found.job, channels.Config(method="channels", ratio=0.5, round_to=4))
        assert again.model == found.made.model
        assert again.change == found.made.change

    def test_a_second_pruning_follows(self, pruned: Callable[[str], Pruned], model: str) -> None:
        found = pruned(model)
        again = replace(found.job, network=found.network)
        made = channels.apply(again, channels.Config(method="channels", ratio=0.5, round_to=2))
        assert made.change.record["parameters"]["after"] < found.made.change.record["parameters"]["after"]
