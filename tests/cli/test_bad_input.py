"""Wrong input: exit code 2 or 3, one line that names the fix, and nothing written.

Each test runs the real command in a process of its own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.projects import write_frames
from tests.support.shell import edgekit, error_of, listing, untouched


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} must be in {path.name} once"
    path.write_text(text.replace(old, new))


def refused(project: Path, *words: object, code: int = 2) -> str:
    """The error of a build that must write no result; stages that were done before the mistake showed may stay."""
    before = listing(project)
    message = error_of(edgekit(*(words or ("build", project, "--target", "cpu"))), code)
    after = listing(project)
    made = {Path(name).parts for name in after if name not in before}
    assert {name: after.get(name) for name in before} == before
    assert all(parts[0] == ".edgekit" for parts in made), made
    kept = [project / ".edgekit" / parts[1] for parts in made if len(parts) == 2]
    assert all((stage / "stage.json").is_file() for stage in kept if stage.is_dir()), kept
    # Beside a stage is the list of what its runs used: of results that are there.
    keys = {stage.name for stage in kept if stage.is_dir()}
    for used in (file for file in kept if file.is_file()):
        stage = used.name.split("-")[0]
        assert {f"{stage}-{run['key']}" for run in json.loads(used.read_text())["runs"]} <= keys, used
    return message


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small tmpfs with the given options."""
    made: list[Path] = []

    def make(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("needs the right to mount a file system")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", str(folder)], check=True)


# --- the spec ----------------------------------------------------------------


def test_unknown_spec_key(tiny_project: Path) -> None:
    change(tiny_project / "edgekit.yaml", "threads: 1", "thread: 1")
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    assert message.startswith(f"{tiny_project}/edgekit.yaml:16: targets.cpu.thread: unknown key 'thread'; ")
    assert "did you mean 'threads'?" in message


def test_several_mistakes_are_one_line_each(tiny_project: Path) -> None:
    change(tiny_project / "edgekit.yaml", "threads: 1", "threads: 0")
    change(tiny_project / "edgekit.yaml", "ignore_index", "ignore_idx")
    before = listing(tiny_project)
    result = edgekit("compress", tiny_project)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"error: {tiny_project}/edgekit.yaml:") for line in lines)
    assert listing(tiny_project) == before


def test_missing_spec_file(tmp_path: Path) -> None:
    message = untouched(tmp_path, "build", "absent.yaml", "--target", "cpu")
    assert message == "absent.yaml: no such file; write one with: edgekit init my-project --task segmentation"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("build", "absent.yaml: no such file; write one with: edgekit init my-project --task segmentation"),
        *(
            (words, "absent.yaml: no such bundle; make one with: edgekit build edgekit.yaml --target NAME")
            for words in ("run", "bundle sign", "bundle create")
        ),
    ],
)
def test_a_missing_file_is_told_before_a_missing_option(tmp_path: Path, words: str, message: str) -> None:
    assert untouched(tmp_path, *words.split(), "absent.yaml") == message


def test_unknown_target(tiny_project: Path) -> None:
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpuu")
    assert message == "--target: no target 'cpuu' in the spec; did you mean 'cpu'? allowed: cpu"


def test_engine_that_edgekit_does_not_know(tiny_project: Path) -> None:
    change(tiny_project / "edgekit.yaml", "engine: ort", "engine: ortt")
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    assert "edgekit.yaml:16: targets.cpu: engine: 'ortt' is unknown; did you mean 'ort'? allowed: " in message


def test_engine_that_is_not_installed(tiny_project: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has the CUDA provider")
    change(tiny_project / "edgekit.yaml", "threads: 1", "threads: 1, provider: cuda")
    message = refused(tiny_project, code=3)
    assert message.startswith(
        "ONNX Runtime's CUDAExecutionProvider is not available on this machine; install it with: "
    )
    assert "pip install onnxruntime-gpu" in message


def test_no_calibration_data(tiny_project: Path) -> None:
    line = "  calibration: {format: image_mask, images: data/images, masks: data/masks, limit: 6}\n"
    change(tiny_project / "edgekit.yaml", line, "")
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    assert message.startswith("data.calibration is missing; ")


# --- the model ---------------------------------------------------------------


def weights(project: Path) -> dict[str, Any]:
    import torch

    return dict(torch.load(project / "weights.pth", weights_only=True))


def save(project: Path, state: dict[str, Any]) -> None:
    import torch

    torch.save(state, project / "weights.pth")


def test_missing_weights(tiny_project: Path) -> None:
    (tiny_project / "weights.pth").unlink()
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    spec = tiny_project / "edgekit.yaml"
    line = 1 + [line.split(":")[0].strip() for line in spec.read_text().splitlines()].index("weights")
    assert message.startswith(f"{spec}:{line}: model.weights: no file {tiny_project}/weights.pth; ")
    (tiny_project / "weight.pth").write_bytes(b"")
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    assert message.endswith("/weights.pth; did you mean 'weight.pth'?")


def test_truncated_weights(tiny_project: Path) -> None:
    file = tiny_project / "weights.pth"
    file.write_bytes(file.read_bytes()[:-500])
    message = refused(tiny_project)
    assert f"weights {file} ({file.stat().st_size} bytes) are not a complete PyTorch file; copy or download" in message


def test_checkpoint_of_another_model(tiny_project: Path) -> None:
    import torch

    state = weights(tiny_project)
    state["decoder.weight"] = state.pop("head.weight")
    state["stem.0.weight"] = torch.zeros(4, 3, 3, 3)
    save(tiny_project, state)
    message = refused(tiny_project)
    assert f"weights {tiny_project}/weights.pth do not fit the model: " in message
    for part in ("head.weight", "decoder.weight", "stem.0.weight", "[4, 3, 3, 3]", "[8, 3, 3, 3]"):
        assert part in message


def test_nan_in_weights(tiny_project: Path) -> None:
    state = weights(tiny_project)
    state["head.weight"][0, :2] = float("nan")
    save(tiny_project, state)
    message = refused(tiny_project)
    assert (
        f"{tiny_project}/weights.pth: 2 of 24 values of 'head.weight' are NaN or Inf; use a checkpoint from" in message
    )


def test_factory_that_is_not_there(tiny_project: Path) -> None:
    change(tiny_project / "edgekit.yaml", "model.py:build", "model.py:biuld")
    assert "no callable 'biuld' in model.py; did you mean 'build'?" in refused(tiny_project)


def test_model_that_does_not_take_the_declared_input(tiny_project: Path) -> None:
    change(
        tiny_project / "model.py", "        x = self.stem(image)", "        x = self.stem(image.reshape(1, 3, 64, 64))"
    )
    message = refused(tiny_project)
    assert "the model failed on inputs image: float32[1, 3, 32, 48]: " in message
    assert "model.py:14 (x = self.stem(image.reshape(1, 3, 64, 64)))" in message


def test_task_output_that_the_model_does_not_have(tiny_project: Path) -> None:
    change(tiny_project / "edgekit.yaml", "output: logits", "output: logit")
    message = refused(tiny_project)
    assert "task.output: the model has no output 'logit'; did you mean 'logits'? allowed: logits" in message


# --- data --------------------------------------------------------------------


def without_evaluation(project: Path) -> None:
    """Only the calibration uses the data."""
    line = "  evaluation: {format: image_mask, images: data/images, masks: data/masks}\n"
    change(project / "edgekit.yaml", line, "")


def test_empty_calibration_set(tiny_project: Path) -> None:
    for file in (tiny_project / "data" / "images").iterdir():
        file.unlink()
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    what = f"{tiny_project}/data/images: holds no image; expected files that end in .png, "
    assert message.startswith(f"data.evaluation: {what}")  # looked at first, and the same folder
    without_evaluation(tiny_project)
    assert untouched(tiny_project, "build", tiny_project, "--target", "cpu").startswith(what)


@pytest.mark.parametrize("only_calibration", [False, True])
def test_truncated_jpeg(tiny_project: Path, only_calibration: bool) -> None:
    images = tiny_project / "data" / "images"
    good = cv2.imread(str(images / "f1.png"))
    (images / "f1.png").unlink()
    encoded = cv2.imencode(".jpg", good)[1].tobytes()
    (images / "f1.jpg").write_bytes(encoded[: len(encoded) * 2 // 3])
    what = f"{images}/f1.jpg: the image is a truncated JPEG: its end marker is missing; copy it again"
    if only_calibration:
        without_evaluation(tiny_project)
        assert refused(tiny_project).startswith(what)
    else:  # the labels are checked before any work
        message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
        assert message.startswith(f"data.evaluation: {what}")


def test_mask_of_another_size(tiny_project: Path) -> None:
    mask = tiny_project / "data" / "masks" / "f1.png"
    cv2.imwrite(str(mask), np.zeros((16, 24), np.uint8))
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    assert message.startswith(
        f"data.evaluation: {mask}: the mask is 24x16, but its image f1.png is 48x32 (width x height); make the mask"
    )


def test_image_without_a_mask(tiny_project: Path) -> None:
    (tiny_project / "data" / "masks" / "f2.png").unlink()
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu")
    assert "data/images/f2.png: has no mask of that stem" in message


# --- where results go ----------------------------------------------------------


def test_read_only_output_folder(tiny_project: Path, disk: Callable[..., Path]) -> None:
    folder = disk("size=1m,ro")
    words = ("build", tiny_project, "--target", "cpu", "--out", folder / "out")
    message = untouched(tiny_project, *words, code=3)
    assert message.startswith(f"cannot write {folder}/out: {folder} is read-only; ")
    assert message.endswith("choose another place")
    assert list(folder.iterdir()) == []


def test_full_output_folder(tiny_project: Path, disk: Callable[..., Path]) -> None:
    folder = disk("size=8k")
    message = refused(tiny_project, "build", tiny_project, "--target", "cpu", "--out", folder, code=3)
    assert message.startswith(f"cannot write {folder}/tiny-compressed: no space left on device; free space")
    assert list(folder.iterdir()) == []


def test_project_on_a_full_disk(bare_project: Path, disk: Callable[..., Path]) -> None:
    folder = disk("size=104k")
    project = Path(shutil.copytree(bare_project, folder / "project"))
    message = refused(project, code=3)
    assert message.startswith(f"cannot write {project}/.edgekit/.export-")
    assert ": no space left on device; free space" in message
    assert not (project / ".edgekit").exists()


def test_output_folder_that_is_a_file(tiny_project: Path) -> None:
    message = untouched(tiny_project, "build", tiny_project, "--target", "cpu", "--out", "model.py", code=3)
    assert message.startswith("cannot write model.py: not a directory; ")


def test_pictures_on_a_read_only_disk(tiny_bundle: Path, tmp_path: Path, disk: Callable[..., Path]) -> None:
    write_frames(tmp_path / "frames", count=1)
    folder = disk("size=1m,ro")
    images = tmp_path / "frames" / "images"
    message = error_of(edgekit("run", tiny_bundle, "--images", images, "--out", folder / "out"), 3)
    assert message.startswith(f"cannot write {folder}/out/f0.png: read-only file system; ")


def test_init_into_a_project(tiny_project: Path) -> None:
    message = untouched(tiny_project, "init", tiny_project)
    assert message == f"{tiny_project}/edgekit.yaml exists already; choose another folder"


def test_unknown_command(tmp_path: Path) -> None:
    message = untouched(tmp_path, "evalute", "x")
    assert re.match(r"no command 'evalute'; did you mean 'evaluate'\? \(one of \d+\)", message)
