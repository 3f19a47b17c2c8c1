"""The README's commands, spec and Python code, run as they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.core.specfile import read_spec
from tests.support import warm

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands(prefix: str) -> list[list[str]]:
    """Indented README lines that start with ``prefix`` (a regular expression), without their comments."""
    lines = [line.split("#")[0].strip() for line in README.splitlines() if re.match(f"    {prefix}", line)]
    return [shlex.split(line) for line in lines]


def table_commands() -> list[str]:
    """The commands of the README's table, ``BUNDLE`` and options still as written.

    Those of ``edgekit hil`` need a board: hil/tests runs them.
    """
    return re.findall(r"^\| `edgekit (?!hil )([^`]+)`", README, flags=re.MULTILINE)


def edgekit(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EDGEKIT_HISTORY": "edgekit-history.db"}
    return warm.run([sys.executable, "-m", "edgekit", *args], cwd=folder, env=environment)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after the README's commands, in their order and with nothing put in by hand."""
    folder = tmp_path_factory.mktemp("readme")
    listed = commands("(edgekit|python) ")
    made = ["my-project/model.py", "my-project/frames.py"]
    assert [command[1] for command in listed] == ["doctor", "init", *made, "compress", "sensitivity", "build", "gate"]
    for command in listed:
        if command[0] == "python":
            warm.run([sys.executable, *command[1:]], cwd=folder, env=os.environ).check_returncode()
            continue
        done = edgekit(folder, *command[1:])
        # Random weights hold no accuracy KPI; every other command must succeed.
        assert done.returncode == (1 if command[1] == "gate" else 0), (command, done.stdout, done.stderr)
    return folder


def test_commands_make_a_bundle(project: Path) -> None:
    manifest = json.loads((project / "my-project/artifacts/my-project-cpu/manifest.json").read_text())
    assert manifest["name"] == "my-project"
    assert manifest["target"] == "cpu"


@pytest.mark.parametrize("written", table_commands())
def test_command_of_the_table(project: Path, written: str) -> None:
    bundle = "my-project/artifacts/my-project-cpu"
    images = "my-project/data/test/images"
    written = written.replace("[--from FOLDER]", f"--from {images}")  # what needs no ROS 2
    first = re.sub(r" \[[^]]*\]", "", written.split("\\|")[0]).replace("--images DIR", f"--images {images}")
    args = shlex.split(first.replace("BUNDLE", bundle))
    if args == ["bundle", "inspect"]:
        args.append(bundle)
    done = edgekit(project, *args)
    assert done.returncode == (1 if args[0] == "gate" else 0), done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


def test_python_code(project: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # random weights: the gate's verdict is fail
    before, after = map(float, done.stdout.split())
    assert 0 <= before <= 1
    assert 0 <= after <= 1


def test_spec_validates(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    names = [f"class{i}" for i in range(11)]
    (tmp_path / "classes.json").write_text(json.dumps({"names": names}))
    (tmp_path / "edgekit.yaml").write_text(text)
    spec = read_spec(tmp_path / "edgekit.yaml")
    assert spec.name == "camvid-seg"
    assert spec.kpis["miou"].max_drop == 0.005


def test_pictures_and_links_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not t.startswith("http") and not (ROOT / t).exists()] == []


def test_make_targets_exist() -> None:
    named = [command[1] for command in commands("make ")]
    assert named == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{name}:", makefile, flags=re.MULTILINE) for name in named)
    assert shutil.which("make")
