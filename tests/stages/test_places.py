"""Where things lie: a project that moved, and one that cannot be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import edgekit
from edgekit import pipeline
from edgekit.bundle import pack
from edgekit.core import artifacts
from edgekit.core.errors import DataError, OutputError
from edgekit.core.specfile import read_spec


@pytest.fixture
def moved(_tiny_built: Path, tmp_path: Path) -> Path:
    """A project that was built, then moved with its data: where it was, nothing is."""
    before = Path(shutil.copytree(_tiny_built, tmp_path / "before"))
    edgekit.build(before, "cpu")  # nothing is made, but the bundle says where its data are
    return before.rename(tmp_path / "moved")


def test_evaluation_data_that_moved_with_the_bundle_are_found(moved: Path) -> None:
    assert len(edgekit.open_bundle(moved / "artifacts" / "tiny-cpu").dataset()) == 8


def test_a_single_file_finds_them_too(moved: Path) -> None:
    packed = pack(edgekit.open_bundle(moved / "artifacts" / "tiny-cpu"), moved / "artifacts" / "tiny.edgekit")
    assert len(edgekit.open_bundle(packed).dataset()) == 8


@pytest.mark.parametrize("single", [False, True], ids=["folder", "single file"])
@pytest.mark.parametrize("linked", ["bundle", "folder above"])
def test_a_link_to_a_bundle_is_followed_before_its_data_are_looked_for(
    single: bool, linked: str, moved: Path, tmp_path: Path
) -> None:
    """As seen from the link the data would lie in ``elsewhere/data``."""
    bundle = moved / "artifacts" / "tiny-cpu"
    if single:
        bundle = pack(edgekit.open_bundle(bundle), moved / "artifacts" / "tiny.edgekit")
    elsewhere = tmp_path / "elsewhere" / "below"
    elsewhere.mkdir(parents=True)
    link = elsewhere / bundle.name if linked == "bundle" else elsewhere
    if linked == "folder above":
        elsewhere.rmdir()
    link.symlink_to(bundle if linked == "bundle" else bundle.parent)
    with edgekit.open_bundle(elsewhere / bundle.name) as opened:
        assert len(opened.dataset()) == 8


def test_data_that_did_not_move_along_are_missed_by_name(moved: Path) -> None:
    (moved / "data").rename(moved / "elsewhere")
    with pytest.raises(
        DataError, match=r"before/data/images: no such file or folder, but the evaluation data of tiny-cpu"
    ):
        edgekit.open_bundle(moved / "artifacts" / "tiny-cpu").dataset()


@pytest.fixture
def read_only(tiny_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a disk that takes no writes; permissions would not stop a test that runs as root."""
    access = artifacts.os.access

    def refused(path: Path, mode: int) -> bool:
        return not Path(path).resolve().is_relative_to(tiny_project.resolve()) and access(path, mode)

    monkeypatch.setattr(artifacts.os, "access", refused)
    return tiny_project


def test_the_work_folder_of_a_read_only_project_is_in_out(read_only: Path, tmp_path: Path) -> None:
    spec = read_spec(read_only)
    assert pipeline._workspace(spec, tmp_path / "out", False).root == tmp_path / "out" / ".edgekit"
    with pytest.raises(OutputError, match=r"cannot write .*: name one with --out"):
        pipeline._workspace(spec, None, False)


def test_otherwise_it_is_beside_the_spec(tiny_project: Path, tmp_path: Path) -> None:
    assert pipeline._workspace(read_spec(tiny_project), tmp_path / "out", False).root == tiny_project / ".edgekit"
