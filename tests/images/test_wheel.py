"""The wheel that goes into an image is the running code, and pip takes it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edgekit
from edgekit.core.errors import MissingRequirement
from edgekit.images.wheel import write_wheel


def test_the_same_code_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert write_wheel(tmp_path / "a").read_bytes() == write_wheel(tmp_path / "b").read_bytes()


def test_pip_installs_it_and_it_runs(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    assert wheel.name == f"edgekit-{edgekit.__version__}-py3-none-any.whl"
    place = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", place, wheel], check=True)
    script = "import edgekit.images.smoke as smoke; print(smoke.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(place)}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(place / "edgekit" / "images" / "smoke.py")
    assert (place / "bin" / "edgekit").is_file()


def test_an_extra_that_the_metadata_do_not_name_is_an_error(tmp_path: Path) -> None:
    write_wheel(tmp_path, ("report",))
    with pytest.raises(MissingRequirement, match=r"the extra nobodys of the installed edgekit.*pip install -e \."):
        write_wheel(tmp_path, ("report", "nobodys"))


def test_it_has_every_file_of_the_package_and_no_bytecode(tmp_path: Path) -> None:
    root = Path(edgekit.__file__).parent
    package = {path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(write_wheel(tmp_path)) as wheel:
        held = {root.parent / name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == package
