"""Distillation in a chain of steps, through the command line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.golden import Golden
from tests.support import shell
from tests.support.projects import timeless

TOYS = Path(__file__).parents[1] / "support" / "toy_steps"
TRAINING = "training: {steps: 8, batch: 2, learning_rate: 0.002, checkpoint_every: 2, device: cpu}"
NARROW = "- quantize: {method: narrow, keep: 0.25}"
SHRINK = "- quantize: {method: shrink, size: [16, 24]}"
LOGITS = f"- distill: {{method: logits, labels: 0.5, {TRAINING}}}"
PTQ = "- quantize: {method: ptq}"
DATA = "  training: {format: image_mask, images: data/images, masks: data/masks}\n  evaluation:"
VALIDATED = DATA.replace("training:", "validation:").replace("evaluation:", DATA.lstrip())


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy steps as pip would leave them, for new processes."""
    info = tmp_path / "site" / "toy_steps-1.0.dist-info"
    info.mkdir(parents=True)
    for name in ("narrow", "shrink"):
        shutil.copyfile(TOYS / f"{name}.py", tmp_path / "site" / f"toy_{name}.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.quantize]\nnarrow = toy_narrow\nshrink = toy_shrink\n")
    path = os.pathsep.join((str(tmp_path / "site"), shell.ENVIRONMENT["PYTHONPATH"]))
    monkeypatch.setitem(shell.ENVIRONMENT, "PYTHONPATH", path)


def with_steps(project: Path, *steps: str, data: str = DATA) -> Path:
    spec = project / "edgekit.yaml"
    lines = "".join(f"  {step}\n" for step in steps)
    text = spec.read_text().replace("  - quantize: {method: ptq}\n", lines)
    spec.write_text(text.replace("  evaluation:", data))
    return project


def compressed(project: Path) -> Path:
    result = shell.edgekit("compress", "edgekit.yaml", cwd=project)
    assert result.returncode == 0, result.stderr
    return project / "artifacts" / "tiny-compressed"


def change(project: Path) -> dict[str, Any]:
    (file,) = project.glob(".edgekit/distill-*/change.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_a_narrowed_network_learns_back_and_is_quantized(tiny_project: Path) -> None:
    project = with_steps(tiny_project, NARROW, LOGITS, PTQ)
    result = shell.edgekit("build", "edgekit.yaml", "--target", "cpu", cwd=project)
    assert result.returncode == 0, result.stderr
    manifest = json.loads((project / "artifacts" / "tiny-cpu" / "manifest.json").read_text())
    edits = manifest["variants"]["int8-narrow-distill"]["lineage"]["edits"]
    assert [(edit["step"], edit["method"]) for edit in edits] == [
        ("quantize", "narrow"), ("distill", "logits"), ("quantize", "ptq"),
    ]  # fmt: skip
    record = change(project)["record"]
    assert record["teacher"] == "the user's own network"
    assert record["steps"] == 8


@pytest.mark.slow
def test_a_teacher_of_another_input_size_and_frames_without_labels(tiny_project: Path) -> None:
    unlabelled = "  training: {format: images, root: data/images}\n  evaluation:"
    project = with_steps(tiny_project, SHRINK, LOGITS.replace(", labels: 0.5", ""), data=unlabelled)
    golden = Golden.read(compressed(project) / "golden.npz")
    assert golden.output(0, "logits").shape[2:] == (16, 24)


def test_a_student_of_its_own_with_a_teacher_from_another_spec(tiny_project: Path) -> None:
    shutil.copytree(tiny_project, tiny_project / "large")
    student = (
        "student: {factory: 'model.py:build', args: {channels: 4}, inputs: {image: {shape: [1, 3, 16, 24]}}, "
        "outputs: [logits]}"
    )
    soft = "keep: best, flip: true, offline: {folder: soft}"
    step = LOGITS.replace("labels: 0.5", f"teacher: large, {student}, {soft}")
    project = with_steps(tiny_project, step, PTQ, data=VALIDATED)
    folder = compressed(project)
    assert 0 < change(project)["record"]["metric"] <= 1
    assert change(project)["shapes"] == {"image": [1, 3, 16, 24]}
    assert change(project)["record"]["teacher"] == "the teacher large/edgekit.yaml"
    golden = Golden.read(folder / "golden.npz")
    assert golden.feeds(0)["image"].shape == (1, 3, 16, 24)
    assert np.isfinite(golden.output(0, "logits")).all()
    offline = change(project)["record"]["offline"]
    assert offline["frames"] == len(list((project / "soft").rglob("*.soft"))) == 8
    assert offline["share_of_float32"] < 0.1


@pytest.mark.slow
def test_killed_while_it_trains(tiny_project: Path) -> None:
    """The process is killed once a checkpoint is there, and the same command ends as if undisturbed."""
    project = with_steps(tiny_project, LOGITS.replace("steps: 8", "steps: 60"))
    expected = timeless(compressed(project))
    shutil.rmtree(project / ".edgekit")
    shutil.rmtree(project / "artifacts")
    process = shell.start("compress", project / "edgekit.yaml")
    try:
        while process.poll() is None and not list(project.glob(".edgekit/scratch-*/*.checkpoint")):
            time.sleep(0.002)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not list(project.glob(".edgekit/distill-*[0-9a-f]/change.json"))
    assert timeless(compressed(project)) == expected


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (LOGITS.replace("labels: 0.5", "temperature: 0"), "temperature"),
        (LOGITS.replace("logits,", "logit,"), "'logit' is unknown; did you mean 'logits'?"),
        (LOGITS.replace("steps: 8", "steps: 8, patience: 2"), "set keep: best"),
    ],
)
def test_bad_input_is_refused_with_its_line(tiny_project: Path, step: str, message: str) -> None:
    project = with_steps(tiny_project, step)
    result = shell.edgekit("compress", "edgekit.yaml", cwd=project)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "edgekit.yaml:15: compress.0.distill" in result.stderr
