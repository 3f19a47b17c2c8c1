"""The commit of a folder: by git itself, of the folder that is asked about, and nothing of the repository is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgekit.core.revision import Revision, commit_of, revision_of


def git(folder: Path, *words: str) -> str:
    said = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-C", str(folder), *words]
    return subprocess.run(said, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with ``model.py`` and ``sub/edgekit.yaml``."""
    folder = tmp_path / "checkout"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.py").write_text("one = 1\n")
    (folder / "sub" / "edgekit.yaml").write_text("name: a\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_clean_and_a_changed_project(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert commit_of(checkout) == commit
    (checkout / "sub" / "weights.pth").touch()
    assert revision_of(checkout / "sub") == Revision(commit, dirty=False), "git does not follow the weights"
    (checkout / "model.py").write_text("one = 2\n")
    assert revision_of(checkout / "sub") == Revision(commit, dirty=True), "the model's code lies beside the spec"


def test_a_folder_that_only_lies_in_a_checkout_has_none(checkout: Path) -> None:
    (checkout / "build" / "project").mkdir(parents=True)
    assert revision_of(checkout / "build" / "project") is None
    assert commit_of(checkout / "build" / "project") is not None


def test_outside_a_checkout_without_a_commit_and_without_git(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert revision_of(tmp_path) is None
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    assert revision_of(tmp_path / "empty") is None
    assert commit_of(tmp_path / "empty") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision_of(checkout) is None


def test_another_repository_of_the_environment_is_not_asked(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As within a hook, which gets the repository that it belongs to."""
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    commit = commit_of(checkout)
    monkeypatch.undo()
    assert commit == git(checkout, "rev-parse", "HEAD")


def test_no_program_that_the_repository_names_is_run(checkout: Path, tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    spy.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(spy))
    index = (checkout / ".git" / "index").read_bytes()
    os.utime(checkout / "model.py", (1, 1))
    assert revision_of(checkout) is not None
    assert not (tmp_path / "ran").exists()
    assert (checkout / ".git" / "index").read_bytes() == index, "the repository is not written"


def test_a_folder_whose_name_looks_like_an_option(checkout: Path) -> None:
    odd = checkout / "--exec=x"
    odd.mkdir()
    (odd / "edgekit.yaml").touch()
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "second")
    assert revision_of(odd) == Revision(git(checkout, "rev-parse", "HEAD"), dirty=False)
