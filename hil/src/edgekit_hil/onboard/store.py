"""Files by their content: what the board has is not sent again, and a tree is there whole or not at all.

A tree is hard links into the store, so a file that two bundles share is kept once, and a blob without a link left
belongs to no tree.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from edgekit_hil.onboard import lease
from edgekit_hil.onboard.disk import locked

CHUNK = 1 << 20
KEPT = {"bundles": 1, "data": 1, "bags": 1, "sites": 1, "built": 1, "documents": 1, "jobs": 10}
"""Folders of trees, and how many of each stay for one that is to be kept: a run has several jobs."""


def missing(folder: Path, wanted: list[list[Any]], thorough: bool) -> dict[str, Any]:
    """Which of ``[sha256, size]`` are not here; ``thorough`` reads them, else the size is compared."""
    lacking = []
    for digest, size in wanted:
        path = _blobs(folder) / digest
        if not path.is_file() or path.stat().st_size != size or (thorough and _hash(path) != digest):
            lacking.append(digest)
    return {"missing": lacking}


def receive(folder: Path, stream: IO[bytes]) -> dict[str, Any]:
    """Take the files of a tar stream, named by their SHA-256; each is checked before it counts."""
    blobs, arrived, number = _blobs(folder), 0, 0
    incoming = blobs.with_name(f".incoming.{os.getpid()}")
    incoming.mkdir(parents=True)
    blobs.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None:
                    continue
                partial = incoming / "file"
                with partial.open("wb") as target:
                    shutil.copyfileobj(content, target, CHUNK)
                    os.fsync(target.fileno())
                if _hash(partial) != member.name:
                    raise ValueError(f"{member.name} did not arrive whole")
                partial.chmod(0o444)
                os.replace(partial, blobs / member.name)
                arrived, number = arrived + member.size, number + 1
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return {"files": number, "bytes": arrived}


def assemble(folder: Path, kind: str, name: str, entries: list[list[str]]) -> dict[str, Any]:
    """Make the tree ``kind/name`` of ``[path, sha256]``; one that is there already is used anew, not written."""
    tree = folder / kind / name
    if tree.is_dir() and all(_same(tree / path, _blobs(folder) / digest) for path, digest in entries):
        os.utime(tree)
        return {"path": str(tree), "made": False}
    partial = tree.with_name(f".{name}.{os.getpid()}.partial")
    try:
        for path, digest in entries:
            target = partial / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(_blobs(folder) / digest, target)
        partial.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
        os.replace(partial, tree)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"path": str(tree), "made": True}


def tidy(folder: Path, keep: int, token: str) -> dict[str, Any]:
    """Keep the newest ``keep`` trees of each kind, and no file that none of them has; half-written ones go too.

    ``token`` is that of the asker's lease: of a board that is another run's, or becomes it now, nothing is removed.
    """

    def ours(remove: Callable[[], None]) -> bool:
        with locked(folder / lease.LOCK):  # while it is held nobody takes the board
            if not lease.holds(folder, token):
                return False
            remove()
            return True

    return {"removed_bytes": sweep(folder, keep, ours)}


def sweep(folder: Path, keep: int, ours: Callable[[Callable[[], None]], bool]) -> int:
    """The bytes that :func:`tidy` removed; ``ours`` removes a thing, or says that the board is another's by now."""
    removed = 0
    if not ours(lambda: None):
        return removed
    for kind, share in KEPT.items():
        trees = sorted((folder / kind).glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for tree in trees[keep * share :]:
            # Under its own name it is whole, or not there.
            aside = tree.with_name(f".{tree.name}.{os.getpid()}.partial")
            if not ours(functools.partial(os.replace, tree, aside)):
                return removed
            shutil.rmtree(aside, ignore_errors=True)
    for rest in [*_blobs(folder).parent.glob(".incoming.*"), *folder.glob("*/.*.partial")]:
        if not Path(f"/proc/{rest.name.split('.')[-2 if rest.suffix == '.partial' else -1]}").exists():
            shutil.rmtree(rest, ignore_errors=True)
    for blob in _blobs(folder).glob("*"):
        if blob.stat().st_nlink == 1:
            size = blob.stat().st_size
            if not ours(functools.partial(blob.unlink, missing_ok=True)):
                return removed
            removed += size
    return removed


def _blobs(folder: Path) -> Path:
    return folder / "store" / "blobs"


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return False


def _hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
