"""Folders to the board by content: what it has is not sent again."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from edgekit.core.artifacts import sha256_file
from edgekit.core.errors import InputError
from edgekit_hil.link import Link

Kind = Literal["bundles", "data", "bags", "sites"]


@dataclass(frozen=True)
class Deployed:
    """A folder that is on the board at ``path``; ``moved_bytes`` of its ``bytes`` went over the link."""

    path: str
    bytes: int
    moved_bytes: int


@dataclass(frozen=True)
class _Entry:
    path: Path
    relative: str
    digest: str
    size: int


def deploy(
    link: Link, source: Path, kind: Kind, thorough: bool = True, parts: Sequence[Path] | None = None
) -> Deployed:
    """Bring a folder, or one file, to the board's store; of a folder only ``parts`` of it, when they are named.

    ``thorough``: what the board has already is read there, not only its size compared; for data of many GiB that is
    what takes the time.  What is half there when the link or the power fails counts as not there.

    Raises:
        InputError: there is nothing at ``source``.
        OutputError: the board's disk is full.
        LinkLost: the board does not answer.
    """
    entries = sorted(_entries(source, parts or (source,)), key=lambda entry: entry.relative)
    if not entries:
        raise InputError(f"{source}: no file or folder with files; nothing to bring to the board")
    wanted = {entry.digest: entry.size for entry in entries}
    request = {"wanted": [list(pair) for pair in wanted.items()], "thorough": thorough}
    lacking = set(link.ask("store-missing", request)["missing"])
    if lacking:
        chosen = {entry.digest: entry.path for entry in entries if entry.digest in lacking}
        link.ask("store-receive", {}, lambda: _packed(chosen))
    listed = [[entry.relative, entry.digest] for entry in entries]
    name = hashlib.sha256("\n".join(" ".join(pair) for pair in listed).encode()).hexdigest()[:32]
    answer = link.ask("store-assemble", {"kind": kind, "name": name, "entries": listed})
    moved = sum(size for digest, size in wanted.items() if digest in lacking)
    path = answer["path"] if source.is_dir() else f"{answer['path']}/{source.name}"
    return Deployed(path, sum(entry.size for entry in entries), moved)


def _entries(source: Path, parts: Sequence[Path]) -> Iterator[_Entry]:
    files = {path for part in parts for path in ((part,) if part.is_file() else part.rglob("*")) if path.is_file()}
    for path in files:
        relative = path.name if path == source else path.relative_to(source).as_posix()
        yield _Entry(path, relative, sha256_file(path), path.stat().st_size)


def _packed(files: dict[str, Path]) -> IO[bytes]:
    """A tar archive of files, named by their digests."""
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for digest, path in files.items():
            member = tarfile.TarInfo(digest)
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)
    stream.seek(0)
    return stream
