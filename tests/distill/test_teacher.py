"""Who is learned from: the model of another spec."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.core.errors import EdgekitError, ModelError, SpecError
from edgekit.distill import logits
from edgekit.distill._frames import Pairs
from edgekit.technique import Changed, Job
from edgekit.training import Augmentation, Vary
from tests.support import tiny_distill as tiny
from tests.support.tiny_segmentation import SIZE
from tests.support.tiny_training import Pictures


@pytest.fixture
def large(tiny_project: Path) -> Path:
    """Another project, with a network of three classes and one output, as a teacher."""
    return Path(shutil.copytree(tiny_project, tiny_project / "large"))


def job_of(folder: Path) -> Job:
    """A student of one output."""

    class One(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = tiny.student()

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.net(image)[0],)

    return replace(tiny.job(folder), outputs=("logits",), network=lambda: One().eval())


def config(**keys: Any) -> logits.Config:
    return logits.Config.model_validate({"training": tiny.QUICK | {"steps": 2}} | keys)


def refused(job: Job, kind: type[EdgekitError], **keys: Any) -> str:
    with pytest.raises(kind) as error:
        logits.apply(job, config(**keys))
    assert error.value.exit_code == 2
    return str(error.value)


def test_it_is_hashed_with_its_code_and_weights(large: Path) -> None:
    names = [path.name for path in config(teacher=large).reads()]
    assert names == ["edgekit.yaml", "weights.pth", "model.py"]


def test_a_students_files_are_hashed_too(large: Path) -> None:
    model = {"factory": "model.py:build", "weights": "weights.pth", "inputs": {"image": {"shape": [1, 3, 16, 24]}}}
    keys = {"student": model | {"outputs": ["logits"]}, "training": tiny.QUICK}
    found = logits.Config.model_validate(keys, context={"base": large})
    assert found.student is not None
    assert found.student.base == large
    assert [path.name for path in found.reads()] == ["weights.pth", "model.py"]


def test_a_student_without_weights_starts_from_the_seed(large: Path, tmp_path: Path) -> None:
    model = {"factory": "model.py:build", "inputs": {"image": {"shape": [1, 3, *SIZE]}}, "outputs": ["logits"]}
    made = []
    for seed in (1, 1, 2):
        training = tiny.QUICK | {"steps": 1, "learning_rate": 1e-9, "seed": seed}
        keys = {"student": model, "teacher": large, "training": training}
        step = logits.Config.model_validate(keys, context={"base": large})
        made.append(logits.apply(replace(job_of(tmp_path), scratch=None), step).change.weights)
        torch.rand(3)
    assert made[0] == made[1] != made[2]


def test_a_student_of_other_outputs(large: Path, tmp_path: Path) -> None:
    model = {"factory": "model.py:build", "inputs": {"image": {"shape": [1, 3, *SIZE]}}, "outputs": ["scores"]}
    step = logits.Config.model_validate({"student": model, "training": tiny.QUICK}, context={"base": large})
    with pytest.raises(SpecError, match=r"student\.outputs: found scores; expected those of the model, logits"):
        logits.apply(job_of(tmp_path), step)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_it_computes_in_the_precision_of_the_training(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    seen: set[torch.dtype] = set()
    job = job_of(tmp_path)
    assert job.network is not None
    assert job.own is not None
    wise = job.network()
    layer = next(module for module in wise.modules() if isinstance(module, torch.nn.Conv2d))
    layer.register_forward_hook(lambda module, given, result: seen.add(result.dtype) if len(result) > 1 else None)
    training = tiny.QUICK | {"steps": 2, "precision": precision}
    logits.apply(replace(job, own=replace(job.own, network=lambda: wise), scratch=None), config(training=training))
    assert seen == {dtype}


def test_it_sees_the_frames_its_own_way(large: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    def frames(sections: Any) -> Any:
        seen.append(sections)
        return tiny.Unlabelled()

    made = logits.apply(replace(job_of(tmp_path), seen=frames), config(teacher=large))
    assert isinstance(made, Changed)
    assert made.change.record["teacher"] == "the teacher large/edgekit.yaml"
    assert seen[0]["image"]["resize"] == [32, 48]


def test_no_such_file(tmp_path: Path) -> None:
    assert "nowhere.yaml: no such file" in refused(job_of(tmp_path), SpecError, teacher=tmp_path / "nowhere.yaml")
    with pytest.raises(SpecError, match="no such file"):
        config(teacher=tmp_path / "nowhere.yaml").reads()


def test_a_file_that_it_needs_is_missing(large: Path) -> None:
    (large / "weights.pth").unlink()
    with pytest.raises(ModelError, match=r"weights \(teacher's model\): no file .*weights\.pth"):
        config(teacher=large).reads()


def test_an_untrained_one(large: Path, tmp_path: Path) -> None:
    spec = large / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("  weights: weights.pth\n", ""))
    found = refused(job_of(tmp_path), ModelError, teacher=large)
    assert "model.factory without model.weights is an untrained network; give weights" in found


def test_outputs_that_do_not_line_up(large: Path, tmp_path: Path) -> None:
    model = (large / "model.py").read_text().replace("nn.Conv2d(channels, 3, 1)", "nn.Conv2d(channels, 5, 1)")
    (large / "model5.py").write_text(model)
    spec = large / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("[floor, red, green]", "[floor, red, green, a, b]").replace(
        "model.py:build", "model5.py:build"))  # fmt: skip
    weights = torch.load(large / "weights.pth", weights_only=True)
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name].repeat_interleave(2, 0)[:5]
    torch.save(weights, large / "weights.pth")
    height, width = SIZE
    found = refused(job_of(tmp_path), ModelError, teacher=large)
    assert f"output 'logits' is [1, 3, {height}, {width}] of the student and [1, 5, {height}, {width}]" in found


def test_an_output_that_it_does_not_have(large: Path, tmp_path: Path) -> None:
    found = refused(tiny.job(tmp_path), SpecError, teacher=large)
    assert "the teacher large/edgekit.yaml has no output 'gate', which the student has" in found


def test_logits_that_are_no_output(tmp_path: Path) -> None:
    assert "no output 'logit'; did you mean 'logits'?" in refused(tiny.job(tmp_path), ModelError, logits=("logit",))


def test_a_dense_output_of_another_resolution_is_resized(tmp_path: Path) -> None:
    class Coarse(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = tiny.student()

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            scores, gate = self.net(image)
            return torch.nn.functional.avg_pool2d(scores, 2), gate

    made = logits.apply(replace(tiny.job(tmp_path), network=lambda: Coarse().eval()), config(labels=1.0))
    assert made.change.record["history"][-1]["loss"] > 0


def test_it_is_never_changed(tmp_path: Path) -> None:
    wise = tiny.teacher()
    before = {name: tensor.clone() for name, tensor in wise.state_dict().items()}
    job = tiny.job(tmp_path)
    assert job.own is not None
    logits.apply(replace(job, own=replace(job.own, network=lambda: wise)), config())
    assert all(torch.equal(tensor, before[name]) for name, tensor in wise.state_dict().items())


def test_a_teacher_of_another_size_sees_the_same_augmented_picture() -> None:
    """The second examples show the frames of the first at twice the size, whatever happened to them."""

    class Twice(Pictures):
        def varied(self, index: int, vary: Vary) -> tuple[dict[str, Any], Any]:
            feeds, truth = super().varied(index, vary)
            return {"image": feeds["image"].repeat(2, 2).repeat(2, 3)}, truth

    change = Augmentation(flip=0.5, crop=0.5, noise=0.2).drawn(0, 1, 2)
    given, beside = Pairs(Pictures(), Twice()).varied(3, change)
    (wanted, truth) = Pictures().varied(3, change)
    assert (given["image"] == wanted["image"]).all()
    assert not (given["image"] == Pictures()[3][0]["image"]).all()
    assert (beside.arrays["image"][..., ::2, ::2] == wanted["image"]).all()
    assert beside.truth == truth
