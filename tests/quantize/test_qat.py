"""Quantization-aware training: it sees the rounding of the exported model, recovers what that costs, and resumes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from edgekit.core.errors import DataError, MissingRequirement, ModelError, SpecError
from edgekit.engine import ort
from edgekit.quantize import ptq, qat
from edgekit.quantize.qat import fakequant, fold
from edgekit.technique import Job
from edgekit.training import TrainingConfig, of_task, supervised, tensors, train
from tests.support.graphs import relative_l2
from tests.support.tiny_segmentation import CONFIG, SIZE, Bench, Flat, Frames, Net, frame, make_job, run

pytest.importorskip("modelopt")

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "qat.json").read_text())
QUICK = TrainingConfig(steps=6, batch=4, learning_rate=1e-3, validate_every=3, checkpoint_every=2, device="cpu")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """A trained network, its depthwise channels then spread over two decades without changing the function."""
    torch.manual_seed(1)
    network = Flat(Net())
    config = TrainingConfig(steps=150, batch=8, learning_rate=0.01, validate_every=150, device="cpu", ema=0.9)
    loss = of_task(CONFIG)
    assert loss is not None
    names: Any = {"inputs": ("image",), "outputs": ("logits", "gate")}
    train(network, Frames(0, 64), supervised(loss), config, **names)
    net: Any = network.network
    spread = torch.logspace(-1, 1, 16)[torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        net.depthwise[1].weight.mul_(spread)
        net.depthwise[1].bias.mul_(spread)
        net.project.weight.div_(spread.reshape(1, -1, 1, 1))
    return {name: tensor.detach().clone() for name, tensor in tensors(network).items()}


@pytest.fixture
def job(weights: dict[str, Tensor], tmp_path: Path) -> Job:
    return make_job(weights, tmp_path)


def student(job: Job, settings: ptq.Config) -> tuple[qat._Work, nn.Module, bytes]:
    work = qat._Work.of(job, qat.Config(ptq=settings))
    start = ptq.apply(job, settings)
    network, placed = work.student(work.folded().network, start)
    assert placed.missing == ()
    return work, network, start.model


class TestFolding:
    def test_the_function_stays(self, job: Job) -> None:
        assert job.network is not None
        feeds = torch.from_numpy(frame(5)[0]["image"])
        folded = fold.fold(job.network(), [feeds])
        assert set(folded.pairs) == {
            ("network.stem.0", "network.stem.1"),
            ("network.depthwise.0", "network.depthwise.1"),
        }
        assert folded.frozen == ("network.late",)  # it reads a concatenation
        with torch.no_grad():
            for found_array, expected_array in zip(folded.network(feeds), job.network()(feeds), strict=True):
                assert torch.allclose(found_array, expected_array, atol=1e-5)

    def test_there_and_back(self, job: Job) -> None:
        """Changed folded weights give the same outputs in the user's own network."""
        assert job.network is not None
        feeds = torch.from_numpy(frame(5)[0]["image"])
        folded = fold.fold(job.network(), [feeds])
        with torch.no_grad():
            for parameter in folded.network.parameters():
                parameter.mul_(1.1).add_(0.01)
        back = folded.unfold(tensors(folded.network), job.network())
        assert back.state_dict().keys() == job.network().state_dict().keys()
        with torch.no_grad():
            for found_array, expected_array in zip(back(feeds), folded.network(feeds), strict=True):
                assert torch.allclose(found_array, expected_array, atol=1e-5, rtol=1e-5)

    def test_without_affine_weights(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).eval()
        network[1].running_mean.fill_(0.3)
        network[1].running_var.fill_(4.0)
        fresh = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).eval()
        feeds = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        expected = network(feeds)
        folded = fold.fold(network, [feeds])
        assert folded.pairs == (("0", "1"),)
        assert torch.allclose(folded.unfold(tensors(folded.network), fresh)(feeds), expected, atol=1e-5)

    def test_a_tensor_with_two_readers_is_left_alone(self) -> None:
        class Forked(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

            def forward(self, x: Tensor) -> Tensor:
                x = self.conv(x)
                return self.norm(x) + x  # type: ignore[no-any-return]

        folded = fold.fold(Forked(), [torch.zeros(1, 3, 4, 4)])
        assert (folded.pairs, folded.frozen) == ((), ("norm",))


class TestRounding:
    @pytest.mark.parametrize("profile", ["ort-x86", "ort-arm", "tensorrt", "openvino"])
    @pytest.mark.parametrize("settings", [{}, {"weights": "per-tensor"}, {"weights": "per-tensor", "weight_bits": 4}])
    def test_the_network_rounds_as_the_exported_model(self, job: Job, profile: str, settings: Any) -> None:
        _, network, typed = student(replace(job, profile=profile), ptq.Config(**settings))
        for seed in range(300, 304):
            feeds = frame(seed)[0]
            with torch.no_grad():
                given = network(torch.from_numpy(feeds["image"]))
            for name, tensor in zip(("logits", "gate"), given, strict=True):
                assert relative_l2(tensor.numpy(), run(typed, feeds)[name]) <= LIMITS["grid_relative_l2"], (seed, name)

    def test_rounding_is_seen_at_all(self, job: Job) -> None:
        """The distance above is far below what rounding changes."""
        _, _, typed = student(job, ptq.Config(weights="per-tensor", weight_bits=4))
        feeds = frame(300)[0]
        fp32 = run(job.source.read_bytes(), feeds)["logits"]
        assert relative_l2(run(typed, feeds)["logits"], fp32) > 10 * LIMITS["grid_relative_l2"]

    def test_channels_last_rounds_alike(self, job: Job) -> None:
        _, network, _ = student(job, ptq.Config())
        image = torch.from_numpy(frame(300)[0]["image"])
        with torch.no_grad():
            plain = network(image)
            other = network.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
        for first, second in zip(plain, other, strict=True):
            assert relative_l2(second.numpy(), first.numpy()) <= LIMITS["grid_relative_l2"]

    def test_excluded_nodes_stay_float(self, job: Job) -> None:
        (name,) = [n.name for n in onnx.load(job.source).graph.node if n.input[1:2] == ["head.weight"]]
        _, network, _ = student(job, ptq.Config(exclude=(name,)))
        modules = dict(network.named_modules())
        assert not modules["inner.network.head"].weight_quantizer.is_enabled
        assert modules["inner.network.project"].weight_quantizer.is_enabled

    def test_gradients_reach_every_weight(self, job: Job) -> None:
        _, network, _ = student(job, ptq.Config(weights="per-tensor"))
        image = torch.from_numpy(np.concatenate([frame(i)[0]["image"] for i in range(4)]))
        sum(out.square().mean() for out in network(image)).backward()  # type: ignore[union-attr]
        grads = {name: p.grad for name, p in network.named_parameters()}
        assert [name for name, grad in grads.items() if grad is None or not grad.any()] == []

    def test_a_rounding_that_is_not_followed_is_refused(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        located = fakequant.locate

        def forgetful(*args: Any) -> fakequant.Placed:
            return replace(located(*args), weights={}, missing=("node_conv",))

        monkeypatch.setattr(fakequant, "locate", forgetful)
        with pytest.raises(
            ModelError, match=r"differs from the quantized model by .*not found in the network: node_conv"
        ):
            qat.apply(job, qat.Config(training=QUICK, ptq=ptq.Config(weights="per-tensor", weight_bits=4)))


class TestResult:
    @pytest.mark.slow
    def test_it_recovers_half_of_the_loss_against_the_control(self, job: Job, tmp_path: Path) -> None:
        bench = Bench()
        training = TrainingConfig(
            steps=240, batch=8, learning_rate=3e-3, warmup=10, ema=0.9, validate_every=80, device="cpu"
        )
        config = qat.Config(ptq=ptq.Config(weights="per-tensor", weight_bits=4), training=training)
        found = qat.apply(replace(job, bench=bench), config)
        record = found.record["qat"]
        control = record["control"]
        assert record["fp32"] - record["ptq"] > 0.1  # else there is nothing to recover
        assert record["qat"] - record["ptq"] >= LIMITS["recovered_share"] * (control["fp32"] - record["ptq"])
        assert record["qat"] > control["ptq"]
        assert record["qat"] == bench.accuracy(found.model)
        assert record["steps"] == control["steps"] == 240
        assert record["metric"] == "miou"
        assert json.loads(json.dumps(found.record)) == found.record

    def test_typed_model_and_record(self, job: Job) -> None:
        found = qat.apply(job, qat.Config(training=QUICK, ptq=ptq.Config(profiles=("tensorrt",))))
        before = ptq.apply(job, ptq.Config(profiles=("tensorrt",)))
        assert found.record["method"] == "qat"
        assert found.record["ranges"] == before.record["ranges"]
        record = found.record["qat"]
        assert (record["steps"], record["fp32"], record["control"]["fp32"]) == (6, None, None)
        assert [point["step"] for point in record["history"]] == list(range(7))
        assert max(record["grid_error"].values()) <= LIMITS["grid_relative_l2"]
        assert found.model != before.model
        assert found.also.keys() == {"tensorrt"}
        for found_array, expected_array in (
            (found.model, before.model),
            (found.also["tensorrt"], before.also["tensorrt"]),
        ):
            shapes = [[n.op_type for n in onnx.load_from_string(m).graph.node] for m in (found_array, expected_array)]
            assert shapes[0] == shapes[1]

    def test_the_engine_takes_it(self, job: Job, tmp_path: Path) -> None:
        found = qat.apply(job, qat.Config(training=QUICK, control=False))
        assert "control" not in found.record["qat"]
        (tmp_path / "typed.onnx").write_bytes(found.model)
        ort.Backend(ort.Config(engine="ort")).build(tmp_path / "typed.onnx", tmp_path / "engine.ort.onnx")
        with ort.Backend(ort.Config(engine="ort")).engine(tmp_path / "engine.ort.onnx") as engine:
            assert engine.infer(frame(3)[0])["logits"].shape == (1, 3, *SIZE)

    def test_teacher_needs_no_truth(self, job: Job) -> None:
        config = qat.Config(training=QUICK, loss="teacher", logits=("logits",), control=False)
        found = qat.apply(replace(job, loss=None), config)
        losses = [point["loss"] for point in found.record["qat"]["history"][1:]]
        assert all(0 < loss < 1 for loss in losses)

    @pytest.mark.slow
    def test_deterministic(self, job: Job) -> None:
        config = qat.Config(training=QUICK)
        assert qat.apply(job, config) == qat.apply(job, config)

    @pytest.mark.slow
    def test_a_killed_run_continues(self, job: Job, tmp_path: Path) -> None:
        config = qat.Config(training=QUICK)
        expected = qat.apply(job, config)
        kept = replace(job, scratch=tmp_path / "scratch")
        calls = iter(range(1000))

        def dying(outputs: Any, truth: Tensor) -> Tensor:
            if next(calls) == 9:  # step 3 of the control
                raise KeyboardInterrupt
            assert job.loss is not None
            return job.loss(outputs, truth)  # type: ignore[no-any-return]

        with pytest.raises(KeyboardInterrupt):
            qat.apply(replace(kept, loss=dying), config)
        left = {p.name for p in (tmp_path / "scratch").glob("*.checkpoint")}
        assert left == {"qat.checkpoint", "fp32-control.checkpoint"}
        assert qat.apply(kept, config) == expected
        with pytest.raises(ModelError, match=r"qat.checkpoint is of another run: its setting learning_rate"):
            qat.apply(kept, qat.Config(training=QUICK.model_copy(update={"learning_rate": 0.5})))

    def test_bf16_and_channels_last(self, job: Job) -> None:
        settings = QUICK.model_copy(update={"precision": "bf16", "channels_last": True})
        found = qat.apply(job, qat.Config(training=settings, control=False))
        plain = qat.apply(job, qat.Config(training=QUICK, control=False))
        feeds = frame(3)[0]
        first, second = (run(made.model, feeds)["logits"] for made in (found, plain))
        assert 0 < relative_l2(first, second) < LIMITS["bf16_relative_l2"]


class TestRefusals:
    def test_an_onnx_file(self, job: Job) -> None:
        with pytest.raises(ModelError, match=r"give model\.factory and model\.weights"):
            qat.apply(replace(job, network=None, export=None), qat.Config())

    def test_no_training_frames(self, job: Job) -> None:
        with pytest.raises(DataError, match=r"give data\.training"):
            qat.apply(replace(job, examples=None), qat.Config())

    def test_no_calibration_frames(self, job: Job) -> None:
        with pytest.raises(DataError, match="calibration set is empty"):
            qat.apply(replace(job, frames=Frames(0, 0)), qat.Config())

    def test_no_loss(self, job: Job) -> None:
        with pytest.raises(SpecError, match="use loss: teacher"):
            qat.apply(replace(job, loss=None), qat.Config())

    def test_without_modelopt(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "modelopt.torch.quantization", None)
        with pytest.raises(MissingRequirement, match=r'pip install "edgekit\[qat\]"'):
            qat.apply(job, qat.Config())

    @pytest.mark.parametrize(
        "wrong",
        [
            {"method": "ptq"},
            {"weights": "per-tensor"},
            {"training": {"epochs": 3}},
            {"ptq": {"equalize": True}},
            {"ptq": {"rounding": "adaround"}},
        ],
    )
    def test_unknown_keys(self, wrong: Any) -> None:
        with pytest.raises(ValidationError):
            qat.Config.model_validate(wrong)
