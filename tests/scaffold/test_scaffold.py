"""New projects: every template runs as it is, and a task without one is answered with what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgekit
from edgekit.core import plugins
from edgekit.core.errors import InputError
from edgekit.core.specfile import read_spec
from edgekit.scaffold import scaffold
from tests.support import warm

ROOT = Path(__file__).parents[2]
FILES = ["edgekit.yaml", "frames.py", "model.py"]
# The task's first metric, and how many frames `frames.py` makes of each split.
TEMPLATES = {"classification": ("top1", 12), "detection": ("map", 12), "segmentation": ("miou", 12)}
EXAMPLES = {
    "antispoofing": "minifasnet",
    "embedding": "embedding",
    "multitask": "multitask",
    "outputs": "public/plates",
    "regression": "public/headpose",
}


def run(script: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return warm.run([sys.executable, str(script)], cwd=cwd, env=os.environ)


@pytest.mark.parametrize("task", TEMPLATES)
def test_template_builds_and_evaluates_as_it_is(task: str, tmp_path: Path) -> None:
    folder = tmp_path / "my-project"
    assert [path.name for path in scaffold(folder, task)] == FILES
    for script in ("model.py", "frames.py"):
        done = run(folder / script, tmp_path)  # from elsewhere: the files are written beside the script
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my-project"]
    assert read_spec(folder / "edgekit.yaml").task.kind == task
    report = edgekit.evaluate(edgekit.build(folder, "cpu"))
    metric, frames = TEMPLATES[task]
    assert report.frames == frames
    assert set(read_spec(folder / "edgekit.yaml").kpis) >= {metric}
    assert 0 <= report.metrics[metric] <= 1


@pytest.mark.parametrize("task", TEMPLATES)
def test_made_up_frames_leave_data_alone(task: str, tmp_path: Path) -> None:
    scaffold(tmp_path, task)
    (tmp_path / "data").mkdir()
    done = run(tmp_path / "frames.py", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/data exists already; move it away first\n"
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("task", EXAMPLES)
def test_task_without_a_template_has_a_worked_example(task: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        scaffold(tmp_path / "p", task)
    example = f"examples/{EXAMPLES[task]}/edgekit.yaml"
    assert str(caught.value) == (
        f"--task: no template for {task!r}; start from {example} of edgekit's repository, "
        "or use one of: classification, detection, segmentation"
    )
    assert f"kind: {task}" in (ROOT / example).read_text()
    assert not (tmp_path / "p").exists()


def test_every_task_has_a_template_or_an_example() -> None:
    own = {name for name in plugins.names("tasks") if plugins.load("tasks", name).__name__.startswith("edgekit.")}
    assert own == {*TEMPLATES, *EXAMPLES}


@pytest.mark.parametrize("task", TEMPLATES)
def test_the_steps_that_a_template_offers_can_be_taken(task: str, tmp_path: Path) -> None:
    scaffold(tmp_path / "my-project", task)
    file = tmp_path / "my-project" / "edgekit.yaml"
    keys = ("training", "validation", "- prune", "- distill")
    text = file.read_text()
    for key in keys:
        assert f"  # {key}: " in text
        text = text.replace(f"  # {key}: ", f"  {key}: ")
    file.write_text(text)
    spec = read_spec(file)
    assert [step.kind for step in spec.compress] == ["prune", "distill", "quantize"]
    assert spec.data.training is not None
    assert spec.data.validation is not None
