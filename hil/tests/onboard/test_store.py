"""The store: by content, whole or not at all, tidied by what is still linked."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit_hil.onboard import lease, store


def packed(files: dict[str, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fill(folder: Path, *contents: bytes) -> None:
    store.receive(folder, packed({digest(content): content for content in contents}))


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, b"one")
    wanted = [[digest(b"one"), 3], [digest(b"two"), 3]]
    assert store.missing(tmp_path, wanted, thorough=True) == {"missing": [digest(b"two")]}


def test_a_damaged_file_is_asked_for_when_it_is_read(tmp_path: Path) -> None:
    fill(tmp_path, b"one")
    blob = tmp_path / "store" / "blobs" / digest(b"one")
    blob.chmod(0o644)
    blob.write_bytes(b"two")
    assert store.missing(tmp_path, [[digest(b"one"), 3]], thorough=False)["missing"] == []
    assert store.missing(tmp_path, [[digest(b"one"), 3]], thorough=True)["missing"] == [digest(b"one")]


def test_what_does_not_arrive_whole_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did not arrive whole"):
        store.receive(tmp_path, packed({digest(b"one"): b"on"}))
    assert list((tmp_path / "store").iterdir()) == [tmp_path / "store" / "blobs"]
    assert not any((tmp_path / "store" / "blobs").iterdir())


def test_a_tree_is_links_and_nobody_writes_through_them(tmp_path: Path) -> None:
    fill(tmp_path, b"one", b"two")
    entries = [["a", digest(b"one")], ["b/c", digest(b"two")], ["b/same", digest(b"two")]]
    made = store.assemble(tmp_path, "bundles", "tree", entries)
    tree = Path(made["path"])
    assert made["made"]
    assert {p.relative_to(tree).as_posix(): p.read_bytes() for p in tree.rglob("*") if p.is_file()} == {
        "a": b"one",
        "b/c": b"two",
        "b/same": b"two",
    }
    assert oct((tree / "a").stat().st_mode & 0o777) == "0o444"
    assert not store.assemble(tmp_path, "bundles", "tree", entries)["made"]
    (tree / "a").unlink()  # a tree that was changed is made anew
    assert store.assemble(tmp_path, "bundles", "tree", entries)["made"]
    assert (tree / "a").read_bytes() == b"one"


def test_a_board_that_is_lost_meanwhile_is_left_alone(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        fill(tmp_path, name.encode())
        store.assemble(tmp_path, "bundles", name, [["x", digest(name.encode())]])
    left = 2  # the first look, and one tree

    def ours(remove: Callable[[], None]) -> bool:
        nonlocal left
        left -= 1
        if left >= 0:
            remove()
        return left >= 0

    assert store.sweep(tmp_path, 1, ours) == 0
    assert len(list((tmp_path / "bundles").iterdir())) == 2
    assert len(list((tmp_path / "store" / "blobs").iterdir())) == 3


def test_tidy_keeps_the_newest_and_what_they_share(tmp_path: Path) -> None:
    fill(tmp_path, b"old", b"new", b"shared")
    for age, name, content in ((2, "before", b"old"), (1, "after", b"new")):
        entries = [["x", digest(content)], ["y", digest(b"shared")]]
        tree = Path(store.assemble(tmp_path, "bundles", name, entries)["path"])
        os.utime(tree, (1e9 - age, 1e9 - age))
    for half in ("bundles/.gone.999999999.partial", "built/.cut.a1b2.partial", "built/older", "built/newer"):
        (tmp_path / half).mkdir(parents=True)
    os.utime(tmp_path / "built" / "older", (1e9, 1e9))
    before = sorted(tmp_path.rglob("*"))
    assert lease.take(tmp_path, "one", "run", "ours", 60)["held"]
    assert store.tidy(tmp_path, 1, "not ours") == {"removed_bytes": 0}
    assert set(before) <= set(tmp_path.rglob("*")), "of a board that another run holds nothing is removed"
    assert store.tidy(tmp_path, 1, "ours") == {"removed_bytes": 3}
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["after"]
    assert [path.name for path in (tmp_path / "built").iterdir()] == ["newer"]
    assert store.missing(tmp_path, [[digest(b"shared"), 6], [digest(b"old"), 3]], True)["missing"] == [digest(b"old")]
