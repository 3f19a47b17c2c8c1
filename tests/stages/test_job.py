"""Techniques that measure, on the tiny project: spec to engine and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError, SpecError
from edgekit.core.predictions import Objects
from edgekit.core.reports import CompressReport
from edgekit.core.spec import InputSection
from edgekit.data import Dataset, Sample
from edgekit.data.images import Config as Images
from edgekit.preprocess import Preprocess
from edgekit.stages.job import LabelledFeeds, seen
from edgekit.tasks import detection
from edgekit.training import Augmentation, losses
from tests.support import shell

VALIDATION = "  validation: {format: image_mask, images: data/images, masks: data/masks, limit: 4}\n  evaluation:"

TRAINING = "  training: {format: image_mask, images: data/images, masks: data/masks}\n  evaluation:"


def change(project: Path, step: str, validation: bool = True) -> Path:
    file = project / "edgekit.yaml"
    text = file.read_text().replace("{method: ptq}", step)
    file.write_text(text.replace("  evaluation:", VALIDATION) if validation else text)
    return project


def report_of(project: Path) -> CompressReport:
    path = project / "artifacts" / "tiny-compressed" / "report.json"
    return TypeAdapter(CompressReport).validate_json(path.read_bytes())


def test_the_ladder_ends_in_a_bundle(tiny_project: Path) -> None:
    bundle = edgekit.build(change(tiny_project, "{method: auto, max_drop: 0.5}"), "cpu")
    report = report_of(tiny_project)
    assert (report.target, report.metric, report.max_drop) == ("cpu", "miou", 0.5)
    chosen = next(rung for rung in report.rungs if rung.name == report.chosen)
    assert bundle.contents.candidate.precision == chosen.precision
    assert report.rungs[0].name == "fp32"
    assert report.rungs[0].latency_ms is not None
    record = json.loads((tiny_project / "artifacts" / "tiny-compressed" / "calibration.json").read_text())
    assert (record["method"], record["rung"]) == ("auto", report.chosen)
    # What was measured once is not measured again.
    assert edgekit.compress(tiny_project).reused is True


def test_validation_frames_are_needed_and_named(tiny_project: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.validation is missing: .* neither calibration nor evaluation"):
        edgekit.compress(change(tiny_project, "{method: auto, max_drop: 0.1}", validation=False))


def test_an_unknown_metric_is_named(tiny_project: Path) -> None:
    with pytest.raises(SpecError, match=r"metric: the task has no 'miuo'; did you mean 'miou'\?"):
        edgekit.compress(change(tiny_project, "{method: auto, max_drop: 0.1, metric: miuo}"))


def test_a_metric_that_the_validation_frames_do_not_give_is_named(tiny_project: Path) -> None:
    step = "{method: auto, max_drop: 0.1, metric: flicker}"  # the frames are of no sequence
    with pytest.raises(
        DataError, match=r"metric 'flicker' cannot be measured on the frames of data\.validation; allowed"
    ):
        edgekit.compress(change(tiny_project, step))


def test_training_frames_without_truth_are_for_the_teacher(tiny_project: Path) -> None:
    """They reach the loop; the loss of the task refuses them, and says what takes them."""
    spec = edgekit.read_spec(change(tiny_project, "{method: ptq}", validation=False))
    frames = Images(root=tiny_project / "data" / "images").open()
    feeds, truth = LabelledFeeds(Preprocess(spec.preprocess), frames, losses.placing(spec.task))[0]
    assert set(feeds) == {"image"}
    assert truth is None


def test_a_mask_of_a_letterboxed_training_frame_covers_the_models_input(tiny_project: Path) -> None:
    file = change(tiny_project, "{method: ptq}", validation=False) / "edgekit.yaml"
    text = file.read_text().replace("[1, 3, 32, 48]", "[1, 3, 48, 48]")
    text = text.replace("resize: [32, 48],", "resize: [48, 48], mode: letterbox,")
    file.write_text(text.replace("  evaluation:", TRAINING))
    feeds, truth = seen(edgekit.read_spec(file), edgekit.read_spec(file).preprocess)[0]
    assert feeds["image"].shape == (1, 3, 48, 48)
    assert truth.shape == (48, 48)
    assert (truth[:8] == -1).all()
    assert (truth[8] == 255).all()


def test_further_profiles_come_from_the_same_calibration(tiny_project: Path) -> None:
    made = edgekit.compress(change(tiny_project, "{method: ptq, profiles: [tensorrt, openvino]}", validation=False))
    assert set(made.models) == {"fp32", "int8", "int8-tensorrt", "int8-openvino"}
    record = json.loads((made.path / "calibration.json").read_text())
    assert set(record["also"]) == {"tensorrt", "openvino"}
    assert record["also"]["tensorrt"]["activations"] == "int8 per tensor, symmetric"


def test_an_unknown_profile_is_named(tiny_project: Path) -> None:
    with pytest.raises(SpecError, match=r"no Q/DQ profile 'tensorrtx'; did you mean 'tensorrt'\?"):
        edgekit.compress(change(tiny_project, "{method: ptq, profiles: [tensorrtx]}", validation=False))


def test_noise_is_asked_for_by_name_and_a_large_reduction_is_told_once(tiny_project: Path, tiny_bundle: Path) -> None:
    assert open_bundle(tiny_bundle).manifest["calibration"] == {"format": "image_mask", "real": True}
    file = tiny_project / "edgekit.yaml"
    real = "{format: image_mask, images: data/images, masks: data/masks, limit: 6}"
    file.write_text(file.read_text().replace(real, "{format: noise, count: 3, size: [97, 48]}", 1))
    built = shell.edgekit("build", tiny_project, "--target", "cpu")
    line = "warning: preprocess.image: frames of 97x48 become 3.0 times smaller, and bilinear skips pixels then"
    assert built.stderr.count(line) == 1
    bundle = open_bundle(tiny_project / "artifacts" / "tiny-cpu")
    assert bundle.manifest["calibration"] == {"format": "noise", "real": False}


def test_half_precision_builds_and_holds_parity(tiny_project: Path) -> None:
    bundle = edgekit.build(change(tiny_project, "{method: half}", validation=False), "cpu")
    assert bundle.contents.candidate.precision == "fp16"
    assert edgekit.verify(bundle).verdict == "pass"


def test_training_through_the_spec_reports_its_control(tiny_project: Path) -> None:
    pytest.importorskip("modelopt")
    change(tiny_project, "{method: qat, training: {steps: 4, batch: 2, validate_every: 2, augment: {flip: 0.5}}}")
    file = tiny_project / "edgekit.yaml"
    frames = "{format: image_mask, images: data/images, masks: data/masks}"
    file.write_text(file.read_text().replace("  evaluation:", f"  training: {frames}\n  evaluation:"))
    bundle = edgekit.build(tiny_project, "cpu")
    compressed = tiny_project / "artifacts" / "tiny-compressed"
    record = json.loads((compressed / "calibration.json").read_text())
    assert record["method"] == "qat"
    assert {"fp32", "ptq", "qat", "control"} <= set(record["qat"])
    assert {"fp32", "ptq"} <= set(record["qat"]["control"])
    trained = bundle.training
    assert trained is not None
    assert [(curve.step, curve.title, curve.metric) for curve in trained.curves] == [
        ("quantize", "fp32 control", "miou"),
        ("quantize", "qat", "miou"),
    ]
    assert [point.step for point in trained.curves[1].points] == [0, 1, 2, 3, 4]
    assert json.loads((compressed / "training.json").read_text()) == json.loads(json.dumps(trained.to_dict()))
    (stage,) = (tiny_project / ".edgekit").glob("quantize-*")
    assert len(list((stage / "training").glob("*/events.out.tfevents.*"))) == 2
    assert list((tiny_project / ".edgekit").glob("scratch-*")) == []


class TestCommandLine:
    def test_compress_shows_the_rungs(self, tiny_project: Path) -> None:
        change(tiny_project, "{method: auto, max_drop: 0.5}")
        shown = shell.edgekit("compress", tiny_project)
        assert shown.returncode == 0, shown.stderr
        assert "fp32" in shown.stdout
        assert "control" in shown.stdout
        table = shown.stdout.partition("\n\n")[0].splitlines()[:4]
        built = shell.edgekit("build", tiny_project, "--target", "cpu").stdout
        assert all(line in built for line in table)
        document = json.loads(shell.edgekit("compress", tiny_project, "--json").stdout)
        assert document["target"] == "cpu"
        assert document["report"]["chosen"] == report_of(tiny_project).chosen

    def test_sensitivity_writes_table_document_and_picture(self, tiny_project: Path) -> None:
        shown = shell.edgekit("sensitivity", tiny_project, "--top", 2)
        assert shown.returncode == 0, shown.stderr
        assert "3 layers, the worst 2 of profile ort-" in shown.stdout
        assert "SQNR (dB)" in shown.stdout
        folder = tiny_project / "artifacts"
        assert (folder / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
        document = json.loads((folder / "sensitivity.json").read_text())
        assert document["metric"] is None
        assert document == json.loads(shell.edgekit("sensitivity", tiny_project, "--json").stdout)

    def test_sensitivity_by_metric_needs_validation_frames(self, tiny_project: Path) -> None:
        refused = shell.edgekit("sensitivity", tiny_project, "--metric")
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: data.validation is missing")
        shown = shell.edgekit("sensitivity", change(tiny_project, "{method: ptq}"), "--metric")
        assert shown.returncode == 0, shown.stderr
        assert "miou drop" in shown.stdout

    def test_what_pruning_saves_where_no_width_is_narrower(self, tiny_project: Path) -> None:
        shown = shell.edgekit("sensitivity", change(tiny_project, "{method: ptq}"), "--prune")
        assert shown.returncode == 0, shown.stderr
        assert "no group of channels can lose one" in shown.stdout  # eight channels, in steps of eight or sixteen

    def test_an_unknown_target(self, tiny_project: Path) -> None:
        refused = shell.edgekit("compress", tiny_project, "--target", "cpus")
        assert refused.returncode == 2
        assert "no target 'cpus' in the spec; did you mean 'cpu'?" in refused.stderr


def test_frames_that_do_not_fit_are_told_before_the_model_is_loaded(tiny_project: Path) -> None:
    for file in (tiny_project / "data" / "images").iterdir():
        cv2.imwrite(str(file), np.full((32, 48), 7000, np.uint16))
    (tiny_project / "model.py").write_text("raise SystemExit('the model was loaded')")
    with pytest.raises(DataError, match="uint16 pixels of 7000 to 7000"):
        edgekit.compress(tiny_project)


class TestAugmented:
    """A frame changes in its own pixels, before it is preprocessed, and its truth with it."""

    def examples(self, project: Path, truth: object, parts: tuple[str, ...] | None = None) -> LabelledFeeds:
        spec = edgekit.read_spec(change(project, "{method: ptq}", validation=False))
        rng = np.random.default_rng(0)
        frame = Sample("f", {"image": rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)}, truth)
        return LabelledFeeds(Preprocess(spec.preprocess), Frames([frame]), lambda truth, geometry: truth, parts)

    def test_the_mirrored_frame_gives_the_mirrored_input(self, tiny_project: Path) -> None:
        mask = np.random.default_rng(1).integers(0, 3, (48, 64)).astype(np.uint8)
        examples = self.examples(tiny_project, mask)
        feeds, truth = examples.varied(0, Augmentation(flip=1.0).drawn(0, 0, 0))
        assert np.array_equal(truth, mask[:, ::-1])
        assert np.allclose(feeds["image"], examples[0][0]["image"][..., ::-1], atol=1e-5)

    def test_of_several_tasks_only_what_they_read_has_to_follow(self, tiny_project: Path) -> None:
        mirror = Augmentation(flip=1.0).drawn(0, 0, 0)
        truth = {"mask": np.zeros((48, 64), np.uint8), "lanes": object()}
        with pytest.raises(DataError, match="the truth 'lanes' is object"):
            self.examples(tiny_project, truth).varied(0, mirror)
        assert set(self.examples(tiny_project, truth, ("mask",)).varied(0, mirror)[1]) == {"mask"}

    def test_boxes_lie_on_their_objects_in_the_models_input(self) -> None:
        """Mirrored, cut, letterboxed: the white box of the picture is where the loss looks for it."""
        sections: Any = {"image": {"resize": [64, 64], "mode": "letterbox-topleft", "scale": 1 / 255}}
        task = detection.Config.model_validate(
            {"kind": "detection", "family": "yolox", "output": "y", "classes": ["box"]}
        )
        image = np.zeros((48, 80, 3), np.uint8)
        image[10:30, 20:52] = 255
        box = np.array([[20, 10, 52, 30]], np.float32)
        truth = Objects(box, np.zeros(1, np.int64), np.zeros(1, bool), np.array([640], np.float32))
        preprocess = Preprocess(TypeAdapter(dict[str, InputSection]).validate_python(sections))
        examples = LabelledFeeds(preprocess, Frames([Sample("f", {"image": image}, truth)]), losses.placing(task))
        augment = Augmentation(flip=0.5, crop=0.6)
        for seed in range(10):
            feeds, placed = examples.varied(0, augment.drawn(seed, 0, 0))
            rows, columns = np.nonzero(feeds["image"][0, 0] > 0.5)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(placed.objects.boxes[0] - found).max() <= 1.5, seed


class Frames(Dataset):
    def __init__(self, frames: list[Sample]) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        return self.frames[index]

    def fingerprint(self) -> str:
        return ""
