"""Bundles that nights keep, one copy a digest however many boards ran it, and what is known of a bundle's origin."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgekit.bundle import DIRTY, REVISION, open_bundle, pack
from edgekit.core.artifacts import translated_writes
from edgekit.core.errors import InputError
from edgekit_hil.night.report import Known

_COMMIT = re.compile(r"(?:^|[-_.])([0-9a-f]{7,40})(?:\.edgekit)?$")


@dataclass(frozen=True)
class Ware:
    """A bundle as far as a night has to know it; ``place`` is ``name-target`` and ``digest`` the whole one."""

    path: Path
    name: str
    target: str
    digest: str
    known: Known

    @property
    def kind(self) -> tuple[str, str]:
        """Equal for bundles that one can replace the other."""
        return self.name, self.target


def ware(path: Path) -> Ware:
    """What a bundle says of itself.

    The commit is ``revision`` of its manifest; else what the name of its file or folder ends in, such as
    ``0042-3fa2b1c.edgekit``; else empty.

    Raises:
        BundleError: it is no bundle, or was changed.
    """
    with open_bundle(path) as bundle:
        named = _COMMIT.search(path.name)
        revision = str(bundle.manifest.get(REVISION) or (named[1] if named else ""))
        contents, dirty = bundle.contents, bundle.manifest.get(DIRTY) is True
        return Ware(path, contents.name, contents.target, bundle.digest, Known(bundle.identity, revision, dirty))


def folder(path: Path) -> list[Ware]:
    """The bundles in a folder in the order of their names, in which numbers count as numbers."""
    found = [p for p in path.iterdir() if p.suffix == ".edgekit" or (p / "manifest.json").is_file()]
    return [ware(p) for p in sorted(found, key=lambda p: _natural(p.name))]


class Shelf:
    """``<digest>.edgekit`` for every bundle that a night judged, in ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, given: Ware) -> Path:
        """Keep a bundle; the path of the copy.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._path(given.digest)
        if path.exists():
            os.utime(path)  # the newest are those that were judged last
        else:
            self.root.mkdir(parents=True, exist_ok=True)
            with open_bundle(given.path) as bundle:
                pack(bundle, path)
        return path

    def get(self, digest: str, what: str) -> Path:
        """The copy of a bundle; ``what`` names it in the error.

        Raises:
            InputError: it is not here any more.
        """
        path = self._path(digest)
        if not path.exists():
            raise InputError(
                f"{what}: its bundle is not at {path}; put it back there, or move the alias last-good in MLflow"
            )
        return path

    def has(self, digest: str) -> bool:
        """Whether there is a copy."""
        return self._path(digest).exists()

    def tidy(self, needed: Collection[str], keep: int) -> str:
        """Remove bundles, but for the ``keep`` that were judged last and those that are ``needed``; one line on it.

        A bundle is removed whole or not at all, so a night that is killed here leaves a shelf like any other.

        Raises:
            OutputError: one cannot be removed.
        """
        kept = [path for path in self.root.glob("*.edgekit") if re.fullmatch(r"[0-9a-f]{64}", path.stem)]
        kept.sort(key=lambda path: (path.stat().st_mtime, path.name), reverse=True)
        gone = [path for path in kept[keep:] if path.stem not in needed]
        size = sum(path.stat().st_size for path in gone)
        for path in gone:
            with translated_writes(path):
                path.unlink()
        because = sum(path.stem in needed for path in kept[keep:])
        removed = f"{len(gone)} of {len(kept)} bundles removed ({size / 1e6:.1f} MB)" if gone else "no bundle removed"
        also = f", and {because} older that a last-good or a search may need" if because else ""
        return f"{removed}, {len(kept) - len(gone)} kept: the newest {min(keep, len(kept))}{also}"

    def _path(self, digest: str) -> Path:
        return self.root / f"{digest}.edgekit"


def _natural(name: str) -> list[tuple[int, str]]:
    # Leading zeros or not: 9 comes before 10.
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
