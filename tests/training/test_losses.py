"""Losses against values computed another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.core.errors import DataError, ModelError, SpecError
from edgekit.core.predictions import Geometry
from edgekit.tasks import TaskConfig, segmentation
from edgekit.training import Batch, losses, of_task, pick, supervised, teacher

NAMES: Any = {"inputs": ("image",), "outputs": ("scores", "vector")}
CONFIG = segmentation.Config(output="logits", classes=("a", "b", "c"), ignore_index=9)


def scores(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def masks(*shape: int, high: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, high, shape).astype(np.uint8))


class TestSegmentation:
    def test_mean_negative_log_likelihood_of_labelled_pixels(self) -> None:
        logits, truth = scores(2, 3, 4, 5), masks(2, 4, 5)
        truth[0, :2] = 9
        loss = of_task(CONFIG)
        assert loss is not None
        x = logits.double().numpy()
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        picked = [
            -log_p[n, truth[n, i, j], i, j]
            for n in range(2) for i in range(4) for j in range(5) if truth[n, i, j] != 9
        ]  # fmt: skip
        assert float(loss({"logits": logits}, truth)) == pytest.approx(np.mean(picked), rel=1e-6)

    def test_without_ignore_index(self) -> None:
        config = CONFIG.model_copy(update={"ignore_index": None})
        logits, truth = scores(1, 3, 4, 4), masks(1, 4, 4)
        loss = of_task(config)
        assert loss is not None
        assert torch.allclose(loss({"logits": logits}, truth), functional.cross_entropy(logits, truth.long()))

    def test_coarse_scores_are_resized_to_the_mask(self) -> None:
        coarse, truth = scores(1, 3, 4, 4), masks(1, 8, 12)
        fine = functional.interpolate(coarse, (8, 12), mode="bilinear")
        loss = of_task(CONFIG)
        assert loss is not None
        assert torch.equal(loss({"logits": coarse}, truth), loss({"logits": fine}, truth))

    def test_all_void_is_zero_with_a_zero_gradient(self) -> None:
        logits = scores(1, 3, 4, 4).requires_grad_()
        loss = of_task(CONFIG)
        assert loss is not None
        value = loss({"logits": logits}, torch.full((1, 4, 4), 9, dtype=torch.uint8))
        value.backward()
        assert float(value) == 0
        assert logits.grad is not None
        assert not logits.grad.any()

    def test_an_id_that_is_no_class(self) -> None:
        truth = masks(1, 4, 4)
        truth[0, 0, 0] = 7
        with pytest.raises(DataError, match=r"class id 7; allowed: 0..2 and task.ignore_index \(9\)"):
            of_task(CONFIG)({"logits": scores(1, 3, 4, 4)}, truth)  # type: ignore[misc]

    def test_truths_that_do_not_stack(self) -> None:
        truths = (np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), "a text")
        with pytest.raises(DataError, match=r"batch are \[4, 4\] and \[4, 5\] and str; .* set training\.batch to 1"):
            of_task(CONFIG)({"logits": scores(3, 3, 4, 4)}, truths)  # type: ignore[misc]

    def test_truth_of_another_form(self) -> None:
        with pytest.raises(DataError, match=r"truth has shape \[1, 4\]; expected masks \[1, H, W\]"):
            of_task(CONFIG)({"logits": scores(1, 3, 4, 4)}, masks(1, 4))  # type: ignore[misc]


class Two(nn.Module):
    """Scores and a vector."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.drop = nn.Dropout(0.5)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.drop(image * self.gain), image.mean((2, 3)) * self.gain


class TestTeacher:
    def test_zero_for_the_teacher_itself(self) -> None:
        image = scores(2, 3, 4, 4)
        given = dict(zip(("scores", "vector"), Two(2.0).eval()(image), strict=True))
        loss = teacher(Two(2.0), **NAMES, logits=("scores",))
        assert float(loss(given, Batch({"image": image}, None))) == pytest.approx(0, abs=1e-6)

    def test_softened_divergence_and_normalised_error(self) -> None:
        image = scores(2, 3, 4, 4)
        student = dict(zip(("scores", "vector"), Two(1.5).eval()(image), strict=True))
        found = teacher(Two(2.0), **NAMES, logits=("scores",), temperature=3.0)(student, Batch({"image": image}, None))
        p = torch.softmax(image.double() * 2 / 3, 1)
        q = torch.softmax(image.double() * 1.5 / 3, 1)
        divergence = float((p * (p / q).log()).sum(1).mean()) * 9
        error = (0.5 / 2) ** 2  # of outputs that differ by a factor
        assert float(found) == pytest.approx((divergence + error) / 2, rel=1e-4)

    def test_only_the_student_gets_gradients(self) -> None:
        wise, student = Two(2.0), Two(1.5)
        image = scores(1, 3, 4, 4)
        outputs = dict(zip(("scores", "vector"), student(image), strict=True))
        teacher(wise, **NAMES)(outputs, Batch({"image": image}, None)).backward()
        assert student.gain.grad is not None
        assert wise.gain.grad is None
        assert not wise.training

    def test_unknown_logits(self) -> None:
        with pytest.raises(ModelError, match=r"no output 'score'; did you mean 'scores'\?"):
            teacher(Two(1.0), **NAMES, logits=("score",))


class TestPick:
    def test_task(self) -> None:
        def loss(outputs: Any, truth: Tensor) -> Tensor:
            return outputs["scores"].mean() + truth.float().mean()  # type: ignore[no-any-return]

        picked = pick("task", task=loss, network=lambda: Two(1.0), **NAMES)
        truth, image = masks(1, 4, 4), scores(1, 3, 4, 4)
        assert torch.equal(picked({"scores": image}, Batch({}, truth)), loss({"scores": image}, truth))

    def test_teacher_needs_no_task(self) -> None:
        image = scores(1, 3, 4, 4)
        picked = pick("teacher", task=None, network=lambda: Two(1.0), **NAMES)
        outputs = dict(zip(("scores", "vector"), Two(1.0).eval()(image), strict=True))
        assert float(picked(outputs, Batch({"image": image}, None))) == 0

    def test_a_task_without_loss(self) -> None:
        assert of_task(TaskConfig(kind="other")) is None
        with pytest.raises(SpecError, match="use loss: teacher"):
            pick("task", task=None, network=lambda: Two(1.0), **NAMES)

    def test_frames_without_truth(self) -> None:
        with pytest.raises(DataError, match="use the loss 'teacher'"):
            supervised(lambda outputs, truth: truth.sum())({}, Batch({}, None))


def test_a_threshold_has_no_built_in_loss() -> None:
    assert of_task(segmentation.Config(output="p", classes=("road",), threshold=0.5)) is None


def test_a_mask_of_a_letterboxed_frame_gets_void_borders() -> None:
    mask = np.ones((20, 40), np.uint8)
    geometry = Geometry((20, 40), (16, 16), (4, 0, 8, 16))
    made = losses.placing(CONFIG)(mask, geometry)
    assert made.shape == (40, 40)
    assert (made[10:30] == 1).all()
    assert (made[:10] == -1).all()
    assert (made[30:] == -1).all()
    value = of_task(CONFIG)({"logits": scores(1, 3, 16, 16)}, torch.from_numpy(made[None]))  # type: ignore[misc]
    inside = functional.interpolate(scores(1, 3, 16, 16), (40, 40), mode="bilinear")[:, :, 10:30]
    assert torch.allclose(value, functional.cross_entropy(inside, torch.ones(1, 20, 40).long()))


def test_a_mask_of_a_stretched_frame_stays_as_it_is() -> None:
    mask = np.ones((20, 40), np.uint8)
    assert losses.placing(CONFIG)(mask, Geometry((20, 40), (16, 16), (0, 0, 16, 16))) is mask


def test_the_divergence_is_that_of_modelopt() -> None:
    """Whose class scores are on the last axis, and which divides by the number of frames when it is told to."""
    distill = pytest.importorskip("modelopt.torch.distill", reason="ModelOpt is not installed")
    given, wanted = scores(4, 7, seed=1), scores(4, 7, seed=2)
    theirs = distill.LogitsDistillationLoss(temperature=3.0, reduction="batchmean")(given, wanted)
    assert float(losses.divergence(given, wanted, 3.0)) == pytest.approx(float(theirs), rel=1e-5)
