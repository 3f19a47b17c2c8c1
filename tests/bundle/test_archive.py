"""A bundle as one file: refused before anything is written, and no folder left behind."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.bundle import MANIFEST, SIGNATURE, archive, open_bundle, pack
from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import BundleError

OLD = Path(__file__).parents[1] / "golden" / "bundle_v1.edgekit"
Change = Callable[[zipfile.ZipFile], object]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders of this process go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def packed(scratch: Path, tmp_path: Path) -> Path:
    with open_bundle(OLD) as old:
        made = edgekit.rebuild(old, tmp_path / "new.edgekit").bundle
    made.close()
    return tmp_path / "new.edgekit"


def left(scratch: Path) -> list[str]:
    gc.collect()
    return sorted(path.name for path in scratch.iterdir())


def with_member(file: Path, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.writestr(name, content, compression)
    return file


def test_nothing_is_left_when_it_is_closed(packed: Path, scratch: Path) -> None:
    with open_bundle(packed) as bundle:
        assert (bundle.path / "golden.npz").is_file()
        assert len(left(scratch)) == 1
    assert not bundle.path.exists()
    bundle.close()
    assert left(scratch) == []


def test_nothing_is_left_when_nobody_has_it(packed: Path, scratch: Path) -> None:
    bundle = open_bundle(packed)
    engine = bundle.engine()
    del bundle
    assert len(left(scratch)) == 1  # the engine is not active yet
    with engine:
        pass
    del engine
    assert left(scratch) == []


def test_commands_of_the_api_leave_nothing(packed: Path, scratch: Path) -> None:
    assert edgekit.verify(packed).verdict == "pass"
    assert left(scratch) == []


def test_a_folder_that_is_opened_stays(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as zipped:
        zipped.extractall(tmp_path / "folder")
    with open_bundle(tmp_path / "folder") as bundle:
        pass
    assert open_bundle(tmp_path / "folder").digest == bundle.digest


def test_a_process_that_ends_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    code = (
        f"from edgekit.bundle import open_bundle; from pathlib import Path; kept = open_bundle(Path({str(packed)!r}))"
    )
    code = f"import tempfile; tempfile.tempdir = {str(tmp_path / 'other')!r}; {code}; assert kept.path.exists()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_no_manifest_knows(compression: int, packed: Path, scratch: Path) -> None:
    with_member(packed, "engines/zeros.bin", bytes(300 * 2**20), compression)
    with pytest.raises(BundleError, match=r"'engines/zeros\.bin' is not in the manifest; do not trust this file"):
        open_bundle(packed)
    assert left(scratch) == []


def replaced(file: Path, name: str, content: bytes) -> Path:
    """The archive with another member of that name, deflated."""
    other = file.with_name("other.edgekit")
    with zipfile.ZipFile(file) as given, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as made:
        for member in given.namelist():
            made.writestr(member, content if member == name else given.read(member))
    return other


def test_a_member_larger_than_the_manifest_says(packed: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = replaced(packed, "golden.npz", bytes(300 * 2**20))
    assert bomb.stat().st_size < 2**20
    monkeypatch.setattr(zipfile.ZipFile, "extract", lambda *given: pytest.fail("it was unpacked"))
    with pytest.raises(BundleError, match=r"'golden\.npz' has 314,572,800 bytes, not \d[\d,]+; do not trust"):
        open_bundle(bomb)
    assert left(scratch) == []


@pytest.mark.parametrize(("name", "most"), [(MANIFEST, "16,777,216"), (SIGNATURE, "65,536")])
def test_files_that_no_manifest_lists_have_a_limit_too(name: str, most: str, packed: Path, scratch: Path) -> None:
    if name == SIGNATURE:
        bomb = with_member(packed, name, bytes(2**20))
    else:
        bomb = replaced(packed, name, bytes(300 * 2**20))
    with pytest.raises(BundleError, match=rf"{name}.* bytes, (at most|not) {most}; do not trust"):
        open_bundle(bomb)
    assert left(scratch) == []


def test_a_deflated_archive_of_version_2_opens(packed: Path) -> None:
    with zipfile.ZipFile(packed) as zipped:
        golden = zipped.read("golden.npz")
    with open_bundle(replaced(packed, "golden.npz", golden)) as bundle, open_bundle(packed) as same:
        assert bundle.digest == same.digest


def test_members_twice_and_outside(packed: Path, scratch: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        with_member(packed, "golden.npz", b"x")
    with pytest.raises(BundleError, match=r"'golden\.npz' is there twice"):
        open_bundle(packed)
    for name in ("/etc/edgekit", "../outside"):
        evil = scratch.parent / "evil.edgekit"
        with zipfile.ZipFile(evil, "w") as zipped:
            zipped.writestr(MANIFEST, "{}")
            zipped.writestr(name, "x")
        with pytest.raises(BundleError, match=f"'{name}' points outside the bundle"):
            open_bundle(evil)
    assert left(scratch) == []


def test_a_damaged_member_leaves_nothing(packed: Path, scratch: Path) -> None:
    content = bytearray(packed.read_bytes())
    at = content.index(b"PK\x03\x04", 4)  # the second member's header
    content[at + 60] ^= 1
    packed.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        open_bundle(packed)
    assert left(scratch) == []
    assert caught.traceback  # though the error still knows the folder


def test_a_member_with_another_content_leaves_nothing(packed: Path, scratch: Path) -> None:
    with zipfile.ZipFile(packed) as zipped:
        size = zipped.getinfo("golden.npz").file_size
    with pytest.raises(BundleError, match=r"golden\.npz was truncated or edited") as caught:
        open_bundle(replaced(packed, "golden.npz", bytes(size)))
    assert left(scratch) == []
    assert caught.traceback


def test_sizes_are_those_of_all_files(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as zipped:
        zipped.extractall(tmp_path / "b")
    manifest: dict[str, Any] = json.loads((tmp_path / "b" / MANIFEST).read_text())
    assert manifest["sizes"] == {name: (tmp_path / "b" / name).stat().st_size for name in manifest["files"]}
    del manifest["sizes"]["golden.npz"], manifest["digest"]
    (tmp_path / "b" / MANIFEST).write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))
    with pytest.raises(BundleError, match="'sizes' does not give every file's size"):
        open_bundle(tmp_path / "b")


# --- version 1 -------------------------------------------------------------------


def test_version_1_opens(scratch: Path) -> None:
    with open_bundle(OLD) as old:
        assert (old.manifest["version"], old.name) == (1, "old-cpu")
        golden = old.golden()
        assert (golden.frames, set(golden.references)) == (2, {"fp32", "int8"})
        assert golden.feeds(1)["image"].shape == golden.output(1, "logits", "int8").shape == (1, 3, 8, 12)
    assert left(scratch) == []


def test_version_1_is_made_version_2_by_a_rebuild(packed: Path) -> None:
    with open_bundle(OLD) as old, open_bundle(packed) as new:
        assert new.manifest["version"] == 2
        assert [parent["digest"] for parent in new.parents] == [old.digest]
        assert set(new.manifest["files"]) == set(old.manifest["files"])


def test_version_1_that_is_compressed_says_not_how_large_it_is(scratch: Path, tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / "old.edgekit")
    other = replaced(tmp_path / "old.edgekit", "golden.npz", bytes(300 * 2**20))
    with pytest.raises(BundleError, match="is compressed, and a manifest of version 1 does not say how large"):
        open_bundle(other)
    extra = with_member(tmp_path / "old.edgekit", "zeros.bin", bytes(2**20))
    with pytest.raises(BundleError, match=r"'zeros\.bin' is not in the manifest"):
        open_bundle(extra)
    assert left(scratch) == []


def test_what_is_packed_is_the_same_again(packed: Path, tmp_path: Path) -> None:
    with open_bundle(packed) as bundle:
        assert pack(bundle, tmp_path / "again.edgekit").read_bytes() == packed.read_bytes()
        assert archive.pack(bundle.path, tmp_path / "twice.edgekit").read_bytes() == packed.read_bytes()
