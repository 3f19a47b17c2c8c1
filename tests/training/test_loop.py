"""The training loop: averages, schedule, early stop, and what it refuses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from edgekit.core.errors import DataError, MissingRequirement, ModelError
from edgekit.training import Batch, Trained, TrainingConfig, restore, teacher, tensors
from edgekit.training._randomness import order
from tests.support.tiny_training import QUICK, Blobs, net, norm_of, run, same, squared


class TestResult:
    def test_the_same_run_gives_the_same_bits(self) -> None:
        assert same(run(validate=norm_of), run(validate=norm_of))

    def test_another_seed_gives_another_result(self) -> None:
        assert not same(run(), run(seed=1))

    def test_it_learns(self) -> None:
        found = run(steps=200, examples=Blobs(), learning_rate=0.02, validate_every=100)
        losses = [p.loss for p in found.history]
        assert losses[0] is None
        assert losses[1] is not None
        assert losses[-1] is not None
        assert losses[-1] < 0.5 * losses[1]

    def test_history_counts_steps_and_the_network_holds_the_result(self) -> None:
        network = net()
        found = run(network, validate=norm_of)
        assert [p.step for p in found.history if p.metric is not None] == [0, 4, 8, 12]
        assert (found.steps, found.stopped) == (12, False)
        assert found.seconds > 0
        assert found.metric == max(p.metric or 0 for p in found.history)
        assert all(torch.equal(t, found.state[n]) for n, t in tensors(network).items())
        assert not network.training

    def test_the_last_step_is_validated_even_off_the_beat(self) -> None:
        found = run(steps=6, validate=norm_of).history
        assert [p.step for p in found if p.metric is not None] == [0, 4, 6]

    def test_the_loss_has_some_fifty_points_whatever_is_validated(self) -> None:
        assert [p.step for p in run(steps=120, validate_every=120).history] == [0, *range(3, 121, 3)]

    def test_global_random_numbers_are_as_before(self) -> None:
        network = net()
        random.seed(5), np.random.seed(5), torch.manual_seed(5)
        run(network)
        after = random.random(), np.random.random(), float(torch.rand(()))
        random.seed(5), np.random.seed(5), torch.manual_seed(5)
        assert after == (random.random(), np.random.random(), float(torch.rand(())))

    def test_restore_refuses_other_weights(self) -> None:
        with pytest.raises(ModelError, match="do not fit the network: 'weight'"):
            restore(nn.Linear(2, 2), {"bias": torch.zeros(2)})
        with pytest.raises(ModelError, match="'weight' differs"):
            restore(nn.Linear(2, 2), {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})


class TestOrder:
    def test_every_frame_once_a_round(self) -> None:
        drawn = [index for step in range(14) for index in order(3, step, 3, 7)]
        assert [sorted(drawn[i : i + 7]) for i in range(0, 42, 7)] == [list(range(7))] * 6
        assert drawn[:7] != drawn[7:14]

    def test_a_function_of_seed_and_step(self) -> None:
        assert order(3, 9, 5, 7) == order(3, 9, 5, 7)
        assert order(3, 9, 5, 7) != order(4, 9, 5, 7)

    def test_a_batch_larger_than_the_data(self) -> None:
        assert sorted(order(0, 0, 4, 2)) == [0, 0, 1, 1]


class TestOptimizer:
    def test_schedule(self) -> None:
        config = TrainingConfig(steps=110, warmup=10, learning_rate=1.0)
        assert config.rate(0) == pytest.approx(1 / 11)
        assert config.rate(9) == pytest.approx(10 / 11)
        assert config.rate(10) == 1.0
        assert config.rate(60) == pytest.approx(0.5)
        assert config.rate(109) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))
        assert TrainingConfig(steps=9, schedule="constant", learning_rate=0.3).rate(8) == 0.3

    def test_average_by_hand(self) -> None:
        """One weight pulled by a constant gradient: AdamW moves it by the learning rate each step."""
        network = Only()
        found = run(network, loss=lambda outputs, batch: outputs["y"].sum(), schedule="constant",
                    steps=3, learning_rate=0.5, ema=0.2, clip_norm=None)  # fmt: skip
        average = 1.0
        for t, weight in enumerate((0.5, 0.0, -0.5), start=1):
            decay = min(0.2, (1 + t) / (10 + t))
            average = decay * average + (1 - decay) * weight
        assert float(found.state["weight"]) == pytest.approx(average, abs=1e-5)

    def test_no_average(self) -> None:
        found = run(Only(), loss=lambda outputs, batch: outputs["y"].sum(), schedule="constant",
                    steps=3, learning_rate=0.5, ema=0, clip_norm=None)  # fmt: skip
        assert float(found.state["weight"]) == pytest.approx(-0.5, abs=1e-5)

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_clip(self, precision: str) -> None:
        seen: list[float] = []
        original = torch.optim.AdamW.step

        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            grads = [p.grad for g in optimizer.param_groups for p in g["params"]]
            seen.append(float(torch.stack([g.square().sum() for g in grads]).sum().sqrt()))
            return original(optimizer, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", step)
            run(loss=lambda o, b: 100 * squared(o, b), steps=40, clip_norm=0.25, precision=precision)
        assert seen == pytest.approx([0.25] * len(seen), rel=1e-4)
        assert seen

    def test_weight_decay_spares_vectors(self) -> None:
        network = net()
        before = {name: t.clone() for name, t in tensors(network).items()}
        run(network, loss=lambda o, b: 0 * o["y"].sum(), weight_decay=0.5, ema=0, frozen=("norm",))
        assert network.conv.weight.norm() < before["conv.weight"].norm()
        assert torch.equal(network.conv.bias, before["conv.bias"])

    def test_frozen_batch_norm_keeps_its_statistics(self) -> None:
        network = net()
        run(network, frozen=("norm",))
        assert torch.equal(network.norm.running_mean, torch.zeros(4))
        run(network)
        assert not torch.equal(network.norm.running_mean, torch.zeros(4))

    @pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"precision": "fp16"}, {"channels_last": True}])
    def test_precisions_and_layouts_train_alike(self, settings: dict[str, Any]) -> None:
        plain, other = run(examples=Blobs()), run(examples=Blobs(), **settings)
        assert all(t.dtype != torch.bfloat16 and t.is_contiguous() for t in other.state.values())
        assert [p.loss for p in other.history[1:]] == pytest.approx([p.loss for p in plain.history[1:]], rel=0.2)
        if "precision" in settings:
            assert not same(plain, other)


class Only(nn.Module):
    """One weight of value 1; the output is the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.weight.expand(1),)


class TestEarlyStop:
    def metrics(self, *values: float) -> Callable[[nn.Module], float]:
        given = iter(values)
        return lambda network: next(given)

    def test_higher_is_better(self) -> None:
        found = run(steps=100, validate=self.metrics(0.5, 0.7, 0.6, 0.65, 9), patience=2)
        assert (found.steps, found.stopped, found.metric) == (12, True, 0.7)
        assert same_weights(found, run(steps=100, validate=self.metrics(0.5, 0.7, 0.6, 0.65), patience=2))

    def test_lower_is_better(self) -> None:
        found = run(steps=100, validate=self.metrics(0.5, 0.7, 0.4, 0.5, 0.4), patience=2, higher=False)
        assert (found.steps, found.metric) == (16, 0.4)  # as good as the best is not better

    def test_the_start_can_be_the_best(self) -> None:
        network = net()
        before = {name: t.clone() for name, t in tensors(network).items()}
        found = run(network, validate=self.metrics(0.9, 0.1, 0.2, 0.3))
        assert all(torch.equal(found.state[name], before[name]) for name in before)

    def test_the_best_average_is_kept(self) -> None:
        kept: list[dict[str, Tensor]] = []

        def metric(network: nn.Module) -> float:
            assert not network.training
            kept.append({name: t.clone() for name, t in tensors(network).items()})
            return (0.1, 0.5, 0.9, 0.2)[len(kept) - 1]

        found = run(validate=metric)
        assert all(torch.equal(found.state[name], kept[2][name]) for name in found.state)
        assert not torch.equal(kept[1]["conv.weight"], kept[2]["conv.weight"])

    def test_validation_leaves_no_trace(self) -> None:
        """Its random numbers and the swapped weights change nothing of what follows."""
        kept: list[Tensor] = []

        def metric(network: nn.Module) -> float:
            kept.append(torch.rand(()))
            return float(len(kept))

        assert same_weights(run(validate=metric, validate_every=1), run())


def same_weights(first: Trained, second: Trained) -> bool:
    return all(torch.equal(first.state[name], second.state[name]) for name in first.state)


class TestRefusals:
    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_loss_that_is_no_number_names_the_step(self, value: float) -> None:
        calls = iter(range(100))

        def loss(outputs: Any, batch: Batch) -> Tensor:
            return outputs["y"].sum() * (value if next(calls) == 5 else 1.0)  # type: ignore[no-any-return]

        with pytest.raises(ModelError, match=r"the loss is (nan|inf|-inf) at step 5; lower training.learning_rate"):
            run(loss=loss)

    def test_a_metric_that_is_no_number(self) -> None:
        with pytest.raises(ModelError, match="validation metric is nan at step 0"):
            run(validate=lambda network: math.nan)

    def test_no_example(self) -> None:
        with pytest.raises(DataError, match="training needs frames"):
            run(examples=type("None_", (Blobs,), {"__len__": lambda self: 0, "__bool__": lambda self: True})())

    def test_nothing_to_train(self) -> None:
        with pytest.raises(ModelError, match="no parameter to train"):
            run(net().requires_grad_(False))

    def test_a_missing_input(self) -> None:
        frames = [({"picture": np.zeros((1, 3, 8, 8), np.float32)}, None)] * 3
        with pytest.raises(DataError, match="no input 'image'; it has picture"):
            run(examples=frames)

    def test_frames_of_two_sizes(self) -> None:
        frames = [({"image": np.zeros((1, 3, size, 8), np.float32)}, None) for size in (8, 9, 10)]
        with pytest.raises(DataError, match=r"input 'image' is .* in one training frame"):
            run(examples=frames)

    @pytest.mark.parametrize(
        "truths", [[object()] * 3, ["a", 1, None], [np.zeros(2), np.zeros(3), np.zeros(2)], [3, 1, 2]]
    )
    def test_the_teacher_takes_truths_of_any_form(self, truths: list[Any]) -> None:
        frames = [(Blobs()[i][0], truth) for i, truth in enumerate(truths)]
        loss = teacher(net(), ("image",), ("y",))
        found = run(examples=frames, loss=loss)
        assert found.state.keys() == run(examples=Blobs(), loss=loss).state.keys()
        assert found.steps == QUICK["steps"]

    def test_truths_reach_the_loss_stacked_or_as_they_are(self) -> None:
        """Class ids become a tensor; objects, and arrays of several sizes, stay what they are."""
        given: list[Any] = []

        def spy(outputs: Any, batch: Batch) -> Tensor:
            given.append(batch.truth)
            return squared(outputs, Batch({}, torch.zeros(1)))

        for truths in ([4, 4, 4], [np.int64(4)] * 3, [("box",)] * 3, [np.zeros(2), np.zeros(3), np.zeros(4)]):
            run(examples=[(Blobs()[i][0], truth) for i, truth in enumerate(truths)], loss=spy, steps=1)
        assert [type(truth) for truth in given] == [Tensor, Tensor, tuple, tuple]
        assert given[0].tolist() == given[1].tolist() == [4, 4, 4]
        assert given[2] == (("box",),) * 3
        assert sorted(array.shape for array in given[3]) == [(2,), (3,), (4,)]

    def test_no_cuda(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("CUDA is here")
        with pytest.raises(MissingRequirement, match="CUDA"):
            run(device="cuda")

    def test_a_pt2_program(self) -> None:
        program = torch.export.export(net().eval(), (torch.zeros(1, 3, 8, 8),)).module()
        with pytest.raises(ModelError, match="pt2 program cannot be trained"):
            run(program)

    @pytest.mark.parametrize(
        "wrong", [{"steps": 0}, {"warmup": 12}, {"ema": 1.0}, {"epochs": 3}, {"precision": "int8"}]
    )
    def test_settings(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            TrainingConfig(**(QUICK | wrong))
