"""Chains of compress steps: with two toy steps in a package of their own, one that changes the function, one the input
size."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.bundle import open_bundle
from edgekit.core.artifacts import sha256_file
from edgekit.core.golden import Golden, read_arrays
from tests.support import shell
from tests.support.projects import timeless

TOYS = Path(__file__).parents[1] / "support" / "toy_steps"
NARROW = "- quantize: {method: narrow}"
SHRINK = "- quantize: {method: shrink, size: [16, 24]}"
PTQ = "- quantize: {method: ptq}"
# PyTorch and the user's factory: the last network, as a file of its own and put into the user's own.
OWN_CODE = """
import sys
import numpy as np, torch
sys.modules["edgekit"] = None
folder = sys.argv[1]
sys.path[:0] = [".", folder]
from load_pruned import load
from model import build
golden = np.load(folder + "/golden.npz")
image, wanted = torch.from_numpy(golden["input.0.image"]), torch.from_numpy(golden["output.0.logits"])
with torch.no_grad():
    exported = torch.export.load(folder + "/network.pt2").module()(image)[0]
    own = load(build())(image)
for found in (exported, own):
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max())), (found - wanted).abs().max()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The toys as pip would leave them; gives the search path of new processes."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "toy_steps-1.0.dist-info"
    info.mkdir()
    for name in ("narrow", "shrink"):
        shutil.copyfile(TOYS / f"{name}.py", folder / f"toy_{name}.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.quantize]\nnarrow = toy_narrow\nshrink = toy_shrink\n")
    return os.pathsep.join((str(folder), shell.ENVIRONMENT["PYTHONPATH"]))


@pytest.fixture
def installed(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shell.ENVIRONMENT, "PYTHONPATH", site)


def with_steps(project: Path, *steps: str) -> Path:
    spec = project / "edgekit.yaml"
    lines = "".join(f"  {step}\n" for step in steps)
    spec.write_text(spec.read_text().replace("  - quantize: {method: ptq}\n", lines))
    return project


def built(project: Path) -> Path:
    result = shell.edgekit("build", "edgekit.yaml", "--target", "cpu", cwd=project)
    assert result.returncode == 0, result.stderr
    return project / "artifacts" / "tiny-cpu"


def printed(project: Path, *words: object) -> dict[str, Any]:
    result = shell.edgekit(*words, "--json", cwd=project)
    assert result.returncode in (0, 1), result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.usefixtures("installed")
def test_a_step_that_changes_the_function_then_int8(tiny_project: Path) -> None:
    bundle = open_bundle(built(with_steps(tiny_project, NARROW, PTQ)))
    candidate, control = bundle.contents.candidate, bundle.contents.control
    assert control is not None
    assert (candidate.precision, candidate.model) == ("int8", "models/int8-narrow.onnx")
    assert (control.precision, control.model) == ("fp32", "models/fp32.onnx")

    # The control is the user's own network, held against its own golden outputs.
    own, theirs = bundle.golden(), bundle.golden(control)
    np.testing.assert_array_equal(own.feeds(0)["image"], theirs.feeds(0)["image"])
    assert not np.allclose(own.output(0, "logits"), theirs.output(0, "logits"))

    lineage = bundle.manifest["variants"]
    assert [edit["method"] for edit in lineage["int8-narrow"]["lineage"]["edits"]] == ["narrow", "ptq"]
    assert lineage["fp32"]["lineage"]["edits"] == []
    assert lineage["int8-narrow"]["lineage"]["source"] == lineage["fp32"]["sha256"]
    for name in ("int8-narrow", "fp32"):
        assert lineage[name]["sha256"] == sha256_file(bundle.path / "models" / f"{name}.onnx")

    assert printed(tiny_project, "verify", bundle.path)["verdict"] == "pass"
    judged = printed(tiny_project, "gate", bundle.path)
    assert ("miou", "max_drop") in [(kpi["name"], kpi["limit"]["kind"]) for kpi in judged["kpis"]]
    evaluated = printed(tiny_project, "evaluate", bundle.path)
    assert (evaluated["engine"], evaluated["control_engine"]) == (candidate.file, control.file)


@pytest.mark.usefixtures("installed")
def test_a_step_that_changes_the_input_size(tiny_project: Path) -> None:
    bundle = open_bundle(built(with_steps(tiny_project, SHRINK, PTQ)))
    control = bundle.contents.control
    assert control is not None
    assert [spec.shape for spec in bundle.contents.inputs] == [(1, 3, 16, 24)]
    assert bundle.golden().feeds(0)["image"].shape == (1, 3, 16, 24)
    assert bundle.golden(control).feeds(0)["image"].shape == (1, 3, 32, 48)
    frame = np.zeros((32, 48, 3), np.uint8)
    assert bundle.preprocess()({"image": frame}).feeds["image"].shape == (1, 3, 16, 24)
    assert bundle.preprocess(control)({"image": frame}).feeds["image"].shape == (1, 3, 32, 48)

    evaluated = printed(tiny_project, "evaluate", bundle.path)
    assert 0 < evaluated["metrics"]["miou"] < evaluated["control"]["miou"]
    profiled = printed(tiny_project, "profile", bundle.path, "--queries", 100)
    assert profiled["control"]["engine"] == control.file
    assert printed(tiny_project, "verify", bundle.path)["verdict"] == "pass"
    printed(tiny_project, "bundle", "rebuild", bundle.path, "--out", "again")
    drawn = printed(tiny_project, "run", bundle.path, "--images", "data/images", "--limit", 1)
    assert len(drawn["pictures"]) == 1


@pytest.mark.usefixtures("installed")
def test_three_steps_and_what_each_leaves(tiny_project: Path) -> None:
    project = with_steps(tiny_project, NARROW, SHRINK, PTQ)
    result = shell.edgekit("compress", "edgekit.yaml", cwd=project)
    assert result.returncode == 0, result.stderr
    folder = project / "artifacts" / "tiny-compressed"
    names = {path.name for path in folder.glob("*.onnx")}
    assert names == {"fp32.onnx", "fp32-narrow-shrink.onnx", "int8-narrow-shrink.onnx"}
    assert (folder / "narrow.txt").read_text() == "4 off\n"
    golden, control = read_arrays(folder / "golden.npz"), read_arrays(folder / "golden-control.npz")
    assert golden["output.0.logits"].shape[2:] == (16, 24)
    assert control["output.0.logits"].shape[2:] == (32, 48)
    variants = json.loads((folder / "variants.json").read_text())
    assert {name: variant["precision"] for name, variant in variants.items()} == {
        "fp32": "fp32",
        "fp32-narrow-shrink": "fp32",
        "int8-narrow-shrink": "int8",
    }
    assert {"network.pt2", "state_dict.pt", "widths.json", "load_pruned.py"} <= {path.name for path in folder.iterdir()}
    used = subprocess.run(
        [sys.executable, "-c", OWN_CODE, str(folder)], cwd=project, capture_output=True, text=True, check=False
    )
    assert used.returncode == 0, used.stderr


@pytest.mark.usefixtures("installed")
def test_the_fp16_control_keeps_the_users_own_input_size(tiny_project: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    project = with_steps(tiny_project, SHRINK, PTQ)
    spec = project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("{engine: ort, threads: 1}", '{engine: trt, compute_capability: "8.9"}'))
    result = shell.edgekit("compress", "edgekit.yaml", cwd=project)
    assert result.returncode == 0, result.stderr
    folder = project / "artifacts" / "tiny-compressed"
    control = Golden.read(folder / "golden-control.npz")
    assert control.output(0, "logits", "fp16").shape[2:] == (32, 48)
    assert Golden.read(folder / "golden.npz").output(0, "logits", "int8").shape[2:] == (16, 24)


@pytest.mark.usefixtures("installed")
def test_a_change_of_one_step_runs_that_and_what_follows(tiny_project: Path) -> None:
    built(with_steps(tiny_project, NARROW, PTQ))
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("method: ptq", "method: ptq, calibrator: entropy"))
    stages = _stages(tiny_project)
    built(tiny_project)
    assert _new(tiny_project, stages) == {"quantize": 1, "engine-cpu": 1}
    spec.write_text(spec.read_text().replace("method: narrow", "method: narrow, keep: 0.25"))
    stages = _stages(tiny_project)
    built(tiny_project)
    assert _new(tiny_project, stages) == {"quantize": 2, "engine-cpu": 1}


@pytest.mark.usefixtures("installed")
def test_float_of_the_changed_network_is_what_a_target_may_ask_for(tiny_project: Path) -> None:
    project = with_steps(tiny_project, NARROW, PTQ)
    spec = project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("engine: ort, threads: 1", "engine: ort, threads: 1, precision: fp32"))
    contents = open_bundle(built(project)).contents
    assert contents.candidate.model == "models/fp32-narrow.onnx"
    assert contents.control is not None
    assert contents.control.model == "models/fp32.onnx"


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_killed_at_every_stage(tiny_project: Path) -> None:
    """The process is killed as soon as one stage more is done, and the same command ends as if undisturbed."""
    project = with_steps(tiny_project, NARROW, SHRINK, PTQ)
    expected = timeless(built(project))
    done = [("export", 1), ("quantize", 1), ("quantize", 2), ("quantize", 3), ("engine-cpu", 1)]
    shutil.rmtree(project / ".edgekit")
    shutil.rmtree(project / "artifacts")
    for name, count in done:
        process = shell.start("build", project / "edgekit.yaml", "--target", "cpu")
        try:
            while process.poll() is None and len(list((project / ".edgekit").glob(f"{name}-*[0-9a-f]"))) < count:
                time.sleep(0.005)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert timeless(built(project)) == expected
    counted = sorted(name.rpartition("-")[0] for name in _stages(project))
    assert counted == ["engine-cpu", "export", "labels", "quantize", "quantize", "quantize"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((PTQ, PTQ), r"edgekit\.yaml:13: compress\.1.*step 2 \(quantize\) needs a float network, and step 1"),
        (("- auto: {max_drop: 0.1}", PTQ), r"step 2 \(quantize\) needs a float network, and step 1 \(auto\)"),
        (("- {}",), r"a step has one key, of prune, distill, quantize, auto; found none"),
        (("- {auto: {max_drop: 0.1}, quantize: {method: ptq}}",), r"a step has one key.*found quantize, auto"),
        (("- squash: {method: x}",), r"unknown key"),
        (("- prune: {method: x}",), r"compress\.0\.prune: method: .x. is unknown; allowed: "),
    ],
)
def test_what_is_refused_with_its_line(tiny_project: Path, steps: tuple[str, ...], message: str) -> None:
    project = with_steps(tiny_project, *steps)
    result = shell.edgekit("compress", "edgekit.yaml", cwd=project)
    assert result.returncode == 2
    assert re.search(message, result.stderr), result.stderr


def test_auto_is_read_in_both_spellings(tiny_project: Path) -> None:
    from edgekit import ladder
    from edgekit.core.specfile import read_spec

    found = []
    for step in ("- auto: {max_drop: 0.25}", "- quantize: {method: auto, max_drop: 0.25}"):
        project = tiny_project / "edgekit.yaml"
        text = project.read_text()
        with_steps(tiny_project, step)
        found.append(read_spec(project).compress)
        project.write_text(text)
    assert found[0] == found[1]
    assert found[0][0].kind == "auto"
    assert isinstance(found[0][0].technique, ladder.Config)


def _stages(project: Path) -> set[str]:
    return {path.name for path in (project / ".edgekit").iterdir() if path.is_dir()}


def _new(project: Path, before: set[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in _stages(project) - before:
        stage = name.rpartition("-")[0]
        counted[stage] = counted.get(stage, 0) + 1
    return counted


def test_a_chain_that_the_ladder_chose(tiny_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The climb itself is tests/test_ladder.py's: here it is what becomes of its choice."""
    import edgekit
    from edgekit import ladder
    from edgekit.quantize import ptq
    from edgekit.technique import Job, Link, Quantized

    taken: list[list[tuple[int, ...]]] = []

    def climb(job: Job, config: ladder.Config) -> Quantized:
        assert job.after is not None
        links = (Link("prune", {"ratio": 0.5, "round_to": 2}), Link("distill", {}))
        behind = job.after(links)
        taken.append(
            [tuple(one.dims) for one in onnx.load(behind.source).graph.initializer if one.name == "body.weight"]
        )
        assert behind.need_bench("auto").control_accuracy() == job.need_bench("auto").control_accuracy()
        return replace(ptq.apply(behind, config.ptq), links=links)

    monkeypatch.setattr(ladder, "apply", climb)
    distilled = "{method: logits, training: {steps: 4, batch: 2, warmup: 0}}"
    step = f"- auto: {{max_drop: 0.5, speedup: 2.0, prune: {{method: channels}}, distill: {distilled}}}"
    spec = with_steps(tiny_project, step) / "edgekit.yaml"
    frames = "{format: image_mask, images: data/images, masks: data/masks}"
    spec.write_text(spec.read_text().replace("data:\n", f"data:\n  validation: {frames}\n  training: {frames}\n"))
    project = tiny_project

    made = edgekit.compress(project)
    assert taken == [[(4, 4, 3, 3)]]
    assert made.final == "int8-prune-distill"
    assert {"int8-prune-distill", "fp32-prune-distill", "fp32"} == set(made.variants)
    assert [edit.step for edit in made.variants[made.final].lineage.edits] == ["prune", "distill", "auto"]
    assert (made.path / "load_pruned.py").is_file()
    again = edgekit.compress(project)
    assert (again.reused, len(taken)) == (True, 1)
    assert [stage.name for stage in again.stages] == ["export", "prune", "distill", "auto"]
    bundle = edgekit.build(project, "cpu")
    assert bundle.contents.candidate.precision == "int8"
