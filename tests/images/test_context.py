"""A context has what its Dockerfile copies, and the same input gives the same bytes."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from edgekit.bundle import open_bundle, pack
from edgekit.core.errors import BundleError, InputError
from edgekit.images.context import context
from edgekit.images.files import KINDS, Kind


def members(kind: Kind, bundle: Path | None = None, wheels: Path | None = None) -> dict[str, tarfile.TarInfo]:
    with context(kind, bundle, wheels) as made, tarfile.open(fileobj=made.stream) as archive:
        return {member.name: member for member in archive}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_without_a_bundle(kind: Kind) -> None:
    found = members(kind)
    files = {name for name, member in found.items() if member.isfile() and not name.startswith("wheels/")}
    assert files == {kind.dockerfile, ".dockerignore", *kind.files}
    assert [name for name in found if name.startswith("wheels/")] == ["wheels/edgekit-0.1.0-py3-none-any.whl"]
    assert ("bundle" in found) is kind.holds_bundle
    assert {(member.uid, member.mtime) for member in found.values()} == {(0, 0)}


@pytest.mark.parametrize("single", [False, True])
def test_with_a_bundle(tiny_bundle: Path, tmp_path: Path, single: bool) -> None:
    given = pack(open_bundle(tiny_bundle), tmp_path / "tiny.edgekit") if single else tiny_bundle
    expected = {f"bundle/{path.relative_to(tiny_bundle)}" for path in tiny_bundle.rglob("*") if path.is_file()}
    found = members(KINDS["ros2"], given)
    assert {name for name, member in found.items() if name.startswith("bundle/") and member.isfile()} == expected
    with context(KINDS["ros2"], given, None) as made, open_bundle(tiny_bundle) as bundle:
        assert made.labels == {"edgekit.bundle": bundle.identity, "edgekit.bundle.digest": bundle.digest}


def test_the_same_input_gives_the_same_bytes(tiny_bundle: Path) -> None:
    contents = []
    for _ in range(2):
        with context(KINDS["runtime-cpu"], tiny_bundle, None) as made:
            contents.append(made.stream.read())
    assert contents[0] == contents[1]


def test_a_damaged_bundle_does_not_get_in(tiny_bundle: Path) -> None:
    (tiny_bundle / "bundle.json").write_text("{}")
    with pytest.raises(BundleError):
        members(KINDS["runtime-cpu"], tiny_bundle)


def test_compress_holds_no_bundle(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="leave it out"):
        members(KINDS["compress"], tiny_bundle)


def test_wheels_of_others_go_in_and_an_old_own_one_does_not(tmp_path: Path) -> None:
    for name in ("numpy-2.4.6-cp311.whl", "edgekit-0.0.1-py3-none-any.whl", "notes.txt"):
        (tmp_path / name).touch()
    found = {name for name in members(KINDS["runtime-cpu"], wheels=tmp_path) if name.startswith("wheels/")}
    assert found == {"wheels/numpy-2.4.6-cp311.whl", "wheels/edgekit-0.1.0-py3-none-any.whl"}


def test_a_folder_without_wheels_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="pip download"):
            members(KINDS["runtime-cpu"], wheels=folder)
