"""2:4 sparsity: which weights go, what is refused, and what follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.plugins import load
from edgekit.prune import sparsity24
from edgekit.technique import Changed, Job
from edgekit.training import tensors, unpacked
from tests.support.pruning import job_of
from tests.support.tiny_segmentation import Flat, Net, make_job

SPARSE = ["down.0", "wide", "refine.0", "head"]


def config(**given: Any) -> sparsity24.Config:
    return sparsity24.Config(method="sparsity24", **given)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return replace(job_of("segmenter", tmp_path_factory.mktemp("segmenter")), profile="tensorrt")


@pytest.fixture(scope="module")
def made(job: Job) -> Changed:
    return sparsity24.apply(job, config())


def fours(weight: torch.Tensor) -> torch.Tensor:
    """Weights by four along the input channels."""
    return weight.movedim(1, -1).reshape(-1, 4)


@settings(deadline=None, max_examples=30)
@given(outputs=st.integers(1, 5), inputs=st.integers(1, 4), kernel=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_two_largest_of_each_four_stay(outputs: int, inputs: int, kernel: int, seed: int) -> None:
    weight = torch.randn(outputs, 4 * inputs, kernel, kernel, generator=torch.Generator().manual_seed(seed))
    held = fours(weight * sparsity24.mask(weight))
    assert ((held != 0).sum(1) == 2).all()
    expected = fours(weight).abs().sort(1).values[:, 2:].sum(1)
    torch.testing.assert_close(held.abs().sum(1), expected)


def test_of_equal_weights_the_first_stay() -> None:
    assert sparsity24.mask(torch.ones(2, 8)).tolist() == [[1, 1, 0, 0] * 2] * 2


def test_as_modelopt_does() -> None:
    sparsity = pytest.importorskip("modelopt.torch.sparsity")
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Conv2d(16, 16, 3), torch.nn.Linear(32, 16))
    expected = [sparsity24.mask(one.weight) for one in layer]
    found = sparsity.sparsify(layer, mode="sparse_magnitude")
    for one, kept in zip(found, expected, strict=True):
        torch.testing.assert_close((one.weight != 0).float(), kept)


def test_layers(made: Changed) -> None:
    record = made.change.record
    assert record["sparse"] == SPARSE
    assert record["dense"] == {"stem.0": "3 inputs are no multiple of 4", "attend": "2 inputs are no multiple of 4"}
    state = unpacked(made.change.weights)
    for name in SPARSE:
        assert ((fours(state[f"network.{name}.weight"]) != 0).sum(1) <= 2).all()
    assert 0.5 < record["share"] < 1


def test_the_network_is_rebuilt(job: Job, made: Changed) -> None:
    assert job.network is not None
    rebuilt = tensors(sparsity24.rebuild(job.network(), made.change))
    state = unpacked(made.change.weights)
    assert all(torch.equal(tensor, state[name]) for name, tensor in rebuilt.items())


def test_int8_keeps_the_zeros(job: Job, made: Changed, tmp_path: Path) -> None:
    (tmp_path / "sparse.onnx").write_bytes(made.model)
    ptq = load("quantize", "ptq")
    typed = ptq.apply(Job(tmp_path / "sparse.onnx", job.frames, "tensorrt"), ptq.Config(method="ptq"))
    model = onnx.load_from_string(typed.model)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    read = [makers[node.input[1]].input[0] for node in model.graph.node
            if node.op_type == "Conv" and node.input[1] in makers]  # fmt: skip
    sparse = 0
    for name in read:
        weight = weights[name] if name in weights else weights[makers[name].input[0]]
        if weight.shape[1] % 4 == 0:
            sparse += bool((np.count_nonzero(fours(torch.from_numpy(weight.copy())).numpy(), axis=1) <= 2).all())
    assert sparse == len(SPARSE)


def test_training_holds_the_zeros(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = replace(make_job(tensors(Flat(Net())), tmp_path), inputs=("image",), outputs=("logits", "gate"))
    quick = {"steps": 3, "batch": 4, "learning_rate": 0.01, "validate_every": 3, "device": "cpu"}
    made = sparsity24.apply(replace(start, profile="tensorrt"), config(training=quick, keep=["head", "gate"]))
    state, before = unpacked(made.change.weights), tensors(start.network())  # type: ignore[misc]
    assert state.keys() == before.keys()
    assert made.change.record["steps"] == 3
    for name in made.change.record["sparse"]:
        key = f"network.{name}.weight"
        assert ((fours(state[key]) != 0).sum(1) <= 2).all()
        kept = state[key] != 0
        assert not torch.allclose(state[key][kept], before[key][kept]), "what stays was trained"
    assert made.change.record["dense"]["head"] == "keep: head"


class TestRefused:
    def test_a_cpu(self, job: Job) -> None:
        message = r"gains nothing on this target.*ort-x86.*use method channels, or leave the step out"
        with pytest.raises(SpecError, match=message):
            sparsity24.apply(replace(job, profile="ort-x86", network=None), config())

    def test_onnx_file(self, job: Job) -> None:
        with pytest.raises(ModelError, match=r"the model is an ONNX file; give model\.factory"):
            sparsity24.apply(replace(job, network=None), config())

    def test_no_training_frames(self, job: Job) -> None:
        with pytest.raises(SpecError, match=r"give data\.training"):
            sparsity24.apply(job, config(training={"steps": 1}))

    def test_a_pattern_that_matches_nothing(self, job: Job) -> None:
        with pytest.raises(SpecError, match=r"keep: no layer is called 'refyne'; did you mean 'refine'"):
            sparsity24.apply(job, config(keep=["refyne"]))

    def test_nothing_left(self, job: Job) -> None:
        with pytest.raises(ModelError, match=r"no layer that can be sparse: stem.0: 3 inputs"):
            sparsity24.apply(job, config(keep=["*"]))
