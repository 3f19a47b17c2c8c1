"""The technique on a tiny segmentation network: config, importance, statistics, training, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekit.core.errors import DataError, MissingRequirement, ModelError, SpecError
from edgekit.prune import channels
from edgekit.prune.channels import frames, graph, statistics
from edgekit.prune.channels.ranking import importance
from edgekit.technique import Changed, Job
from edgekit.training import tensors
from tests.support.pruning import job_of
from tests.support.tiny_segmentation import Flat, Frames, Net, make_job

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")
TRAINING = {"steps": 4, "batch": 4, "learning_rate": 0.003, "validate_every": 2, "checkpoint_every": 1}


def config(**given: Any) -> channels.Config:
    return channels.Config(**({"method": "channels", "ratio": 0.5, "round_to": 4, "frames": 16} | given))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    torch.manual_seed(0)
    made = make_job(tensors(Flat(Net())), tmp_path_factory.mktemp("tiny"))
    return replace(made, inputs=("image",), outputs=("logits", "gate"))


@pytest.fixture(scope="module")
def plain(job: Job) -> Changed:
    return channels.apply(job, config())


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Four groups, one without a batch norm."""
    return job_of("segmenter", tmp_path_factory.mktemp("segmenter"))


def widths(made: Changed) -> dict[str, int]:
    return {one["layers"][0]: one["after"] for one in made.change.record["groups"]}


def weights(made: Changed) -> dict[str, torch.Tensor]:
    return channels.unpacked(made.change.weights)


class TestConfig:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"ratio": 1.0}, "less than 1"),
            ({"ratio": 0}, "greater than 0"),
            ({"ratio": 0.8}, "ratio 0.8 is above max_ratio 0.75.*raise max_ratio or lower ratio"),
            ({"iterations": 3}, "iterations 3 train in between; give training"),
            ({"importance": "l3"}, "'l1', 'l2', 'taylor', 'bn_scale' or 'activation'"),
            ({"round_to": 0}, "greater than or equal to 1"),
        ],
    )
    def test_out_of_range(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            config(**given)

    def test_global_may_ask_for_more_than_one_group_may_lose(self) -> None:
        assert config(ratio=0.8, scope="global").ratio == 0.8


class TestRefused:
    def test_onnx_file(self, job: Job) -> None:
        with pytest.raises(ModelError, match=r"the model is an ONNX file; give model\.factory"):
            channels.apply(replace(job, network=None, export=None), config())

    def test_no_training_frames(self, job: Job) -> None:
        with pytest.raises(SpecError, match=r"training needs training frames; give data\.training"):
            channels.apply(replace(job, examples=None), config(training=TRAINING))

    def test_no_loss(self, job: Job) -> None:
        with pytest.raises(SpecError, match="'task' needs a task with a built-in loss; use loss: teacher"):
            channels.apply(replace(job, loss=None), config(training=TRAINING))

    def test_taylor_without_labels(self, job: Job) -> None:
        with pytest.raises(SpecError, match=r"taylor needs labelled training frames.*importance activation"):
            channels.apply(replace(job, examples=None), config(importance="taylor"))

    def test_no_frame(self, job: Job) -> None:
        with pytest.raises(DataError, match="calibration set is empty"):
            channels.apply(replace(job, frames=()), config())

    def test_a_pattern_that_matches_nothing(self, job: Job) -> None:
        with pytest.raises(SpecError, match=r"keep: no layer is called 'projekt'; did you mean 'project'"):
            channels.apply(job, config(keep=["projekt"]))

    def test_steps_wider_than_every_layer(self, job: Job) -> None:
        with pytest.raises(SpecError, match=r"in steps of 64 channels changes nothing.*smaller round_to"):
            channels.apply(job, config(round_to=64))

    def test_a_group_without_batch_norm(self, segmenter: Job) -> None:
        with pytest.raises(ModelError, match=r"bn_scale: wide has no batch norm; use importance l2, or keep: \[wide"):
            channels.apply(segmenter, config(importance="bn_scale"))
        made = channels.apply(segmenter, config(importance="bn_scale", keep=["wide"]))
        assert widths(made) == {"stem.0": 8, "down.0": 12, "refine.0": 8}

    def test_everything_kept(self, segmenter: Job) -> None:
        with pytest.raises(SpecError, match=r"keep: .* leaves no layer that can be pruned"):
            channels.apply(segmenter, config(keep=["*"]))

    def test_without_torch_pruning(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "torch_pruning", None)
        with pytest.raises(MissingRequirement, match=r'torch-pruning.*pip install "edgekit\[prune\]"'):
            channels.apply(job, config())


class TestPruned:
    def test_groups(self, plain: Changed) -> None:
        record = plain.change.record
        assert widths(plain) == {"stem.0": 8}
        assert record["kept"] == {"gate": "it makes an output of the model", "head": "it makes an output of the model"}
        assert record["widths"]["network.depthwise.0"] == {"in_channels": 8, "out_channels": 8, "groups": 8}
        assert json.loads(json.dumps(record)) == record

    def test_the_lightest_channels_go(self, segmenter: Job) -> None:
        """Against the definition: sums of squares of the weights of all coupled layers, each channel's mean."""
        assert segmenter.network is not None
        before, after = segmenter.network().state_dict(), weights(channels.apply(segmenter, config()))
        down = before["network.down.0.weight"]
        score = down.square().flatten(1).sum(1) + before["network.down.1.weight"].square()
        score = score + before["network.wide.weight"].square().sum((0, 2, 3))
        stays = score.topk(12).indices.sort().values
        others = before["network.stem.0.weight"].square().flatten(1).sum(1)
        others = others + before["network.stem.1.weight"].square() + down.square().sum((0, 2, 3))
        others = others + before["network.refine.0.weight"].square().sum((0, 2, 3))
        others = others + before["network.up.weight"].square().sum((0, 2, 3))
        read = others.topk(8).indices.sort().values
        torch.testing.assert_close(after["network.down.0.weight"], down[stays][:, read])

    def test_keep(self, segmenter: Job) -> None:
        made = channels.apply(segmenter, config(keep=["down", "st?m*"]))
        assert widths(made) == {"wide": 12, "refine.0": 8}
        kept = made.change.record["kept"]
        assert (kept["down.0"], kept["stem.0"]) == ("keep: down", "keep: st?m*")

    def test_global(self, segmenter: Job) -> None:
        made = channels.apply(segmenter, config(scope="global", ratio=0.4, round_to=1))
        after = widths(made)
        assert sum(after.values()) == pytest.approx(0.6 * (16 + 24 + 24 + 16), abs=1)
        assert len(set(after.values())) > 2, "layers lose different shares"

    def test_rebuilt_twice_from_the_users_network(self, job: Job, plain: Changed) -> None:
        assert job.network is not None
        first, second = (channels.rebuild(job.network(), plain.change) for _ in range(2))
        feed = torch.from_numpy(Frames(0, 1)[0][0]["image"])
        with torch.no_grad():
            for one, other in zip(first(feed), second(feed), strict=True):
                assert torch.equal(one, other)


class TestImportance:
    def scored(self, job: Job, kind: Any, name: str = "stem.0") -> dict[str, Any]:
        assert job.network is not None
        network = job.network()
        cutting = graph.Graph(network, frames.first(job))
        groups = [one for one in cutting.groups().groups if one.name == name]
        rank = importance(kind, network, frames.Batches(job, 16), job.outputs, job.loss)
        return {"scores": cutting.scores(groups, rank)[name][0], "network": network}

    @pytest.mark.parametrize("kind", ["l1", "l2", "taylor", "bn_scale", "activation"])
    def test_mean_is_one(self, job: Job, kind: str) -> None:
        scores = self.scored(job, kind)["scores"]
        assert scores.shape == (16,)
        assert float(scores.mean()) == pytest.approx(1, rel=1e-5)
        assert float(scores.min()) >= 0

    def test_activation(self, segmenter: Job) -> None:
        """Norm of the weights that read a channel times its root mean square."""
        assert segmenter.network is not None
        network, seen = segmenter.network(), []
        down = network.get_submodule("network.wide")
        down.register_forward_pre_hook(lambda _, given: seen.append(given[0].transpose(0, 1).flatten(1).double()))
        with torch.no_grad():
            for feeds in segmenter.frames:
                network(torch.from_numpy(feeds["x"]))
        expected = down.weight.detach().transpose(0, 1).flatten(1).norm(dim=1)  # type: ignore[operator, union-attr]
        expected = expected * torch.cat(seen, 1).square().mean(1).sqrt().float()
        scores = self.scored(segmenter, "activation", "down.0")["scores"]
        torch.testing.assert_close(scores, expected / expected.mean())

    def test_gradients_do_not_stay(self, job: Job) -> None:
        made = channels.apply(job, config(importance="taylor"))
        assert widths(made) == {"stem.0": 8}


class TestStatistics:
    def test_mean_and_variance_are_those_of_the_frames(self, job: Job, plain: Changed) -> None:
        assert job.network is not None
        network = channels.rebuild(job.network(), plain.change).network
        stem = network.stem[0]
        with torch.no_grad():
            made = stem(torch.from_numpy(np.concatenate([Frames(0, 64)[i * 4][0]["image"] for i in range(16)])))
        norm = network.stem[1]
        torch.testing.assert_close(norm.running_mean, made.mean((0, 2, 3)))
        parts = torch.stack([half.var((0, 2, 3)) for half in made.split(8)])
        torch.testing.assert_close(norm.running_var, parts.mean(0))
        assert norm.momentum == 0.1
        assert not norm.training

    def test_off(self, segmenter: Job) -> None:
        assert segmenter.network is not None
        key = "network.stem.1.running_mean"
        before = set(segmenter.network().state_dict()[key].tolist())
        for recalibrate in (False, True):
            made = channels.apply(segmenter, config(recalibrate=recalibrate))
            assert (set(weights(made)[key].tolist()) < before) is not recalibrate

    def test_a_network_of_single_frames(self, job: Job) -> None:
        class Single(Net):
            def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
                return super().forward(image.reshape(1, 3, 16, 24))

        with pytest.raises(ModelError, match=r"does not run on a batch of frames.*set recalibrate: false"):
            statistics.retake(Flat(Single()), frames.Batches(job, 16))

    def test_none(self, job: Job) -> None:
        assert statistics.retake(nn.Conv2d(3, 3, 1), frames.Batches(job, 16)) == 0


class TestTraining:
    def test_iterations(self, job: Job, tmp_path: Path) -> None:
        asked = config(iterations=2, training=TRAINING, loss="teacher", round_to=2)
        made = channels.apply(replace(job, scratch=tmp_path), asked)
        assert widths(made) == {"stem.0": 8}
        assert [one["share"] for one in made.change.record["rounds"]] == [0.5, 1.0]
        assert [one["steps"] for one in made.change.record["rounds"]] == [4, 4]
        assert {path.name for path in tmp_path.glob("*.checkpoint")} == {"prune-1.checkpoint", "prune-2.checkpoint"}

    def test_it_learns_and_resumes_to_the_bit(self, job: Job, tmp_path: Path) -> None:
        asked = config(training=TRAINING)
        expected = channels.apply(job, asked)
        assert weights(expected).keys() == weights(channels.apply(job, config())).keys()

        class Killed(BaseException):
            pass

        calls = iter(range(100))

        def dying(outputs: Any, truth: Any) -> Any:
            if next(calls) == 2:
                raise Killed
            assert job.loss is not None
            return job.loss(outputs, truth)

        with pytest.raises(Killed):
            channels.apply(replace(job, loss=dying, scratch=tmp_path), asked)
        again = channels.apply(replace(job, scratch=tmp_path), asked)
        assert all(torch.equal(tensor, weights(expected)[name]) for name, tensor in weights(again).items())
