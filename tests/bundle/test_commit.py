"""The commit that a bundle names: the one whose build first gave these contents."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekit.bundle import SIGNATURE
from edgekit.cli.main import app
from edgekit.pipeline import build


def git(folder: Path, *words: str) -> str:
    said = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-C", str(folder), *words]
    return subprocess.run(said, check=True, capture_output=True, text=True).stdout.strip()


def commit(project: Path, *paths: str) -> str:
    git(project, "add", *paths)
    git(project, "commit", "-qm", "change", "--allow-empty")
    return git(project, "rev-parse", "HEAD")


def test_a_commit_is_named_and_one_that_changes_nothing_is_not(tiny_project: Path) -> None:
    none = build(tiny_project, "cpu")
    assert "revision" not in none.manifest
    assert "dirty" not in none.manifest
    git(tiny_project, "init", "-q")
    first = commit(tiny_project, "edgekit.yaml", "model.py")
    made = build(tiny_project, "cpu")
    assert (made.manifest["revision"], made.manifest["dirty"]) == (first, False)
    assert all(stage.reused for stage in made.stages), "it is in no stage's key"
    assert first in CliRunner().invoke(app, ["bundle", "inspect", str(made.path)]).output

    commit(tiny_project)
    assert build(tiny_project, "cpu").digest == made.digest
    (made.path / SIGNATURE).write_text("{}")
    spec = tiny_project / "edgekit.yaml"
    spec.write_text("# a word on it\n" + spec.read_text())
    same = build(tiny_project, "cpu")
    assert same.digest == made.digest
    assert (same.path / SIGNATURE).is_file(), "what was signed stays signed"

    spec.write_text(spec.read_text().replace("min: 0.6", "min: 0.5"))
    changed = build(tiny_project, "cpu")
    assert (changed.manifest["revision"], changed.manifest["dirty"]) == (git(tiny_project, "rev-parse", "HEAD"), True)
    assert not (changed.path / SIGNATURE).exists()
    last = commit(tiny_project, "edgekit.yaml")
    clean = build(tiny_project, "cpu")
    assert (clean.manifest["revision"], clean.manifest["dirty"]) == (last, False), "of those the clean commit says more"


@pytest.mark.parametrize("damage", ["{}", "no document", '{"format": "edgekit-bundle", "revision": "0"}'])
def test_a_manifest_that_was_edited_is_replaced(tiny_project: Path, damage: str) -> None:
    made = build(tiny_project, "cpu")
    (made.path / "manifest.json").write_text(damage)
    assert build(tiny_project, "cpu").digest == made.digest
