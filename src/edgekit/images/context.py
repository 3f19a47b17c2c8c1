"""The build context: all that a Dockerfile may copy, made afresh for every build."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgekit.core.errors import InputError
from edgekit.images.files import Kind, content_of
from edgekit.images.wheel import write_wheel


@dataclass(frozen=True)
class Context:
    """A context as a tar file, read from its beginning, and what the image shall say of it."""

    stream: IO[bytes]
    labels: dict[str, str]


@contextmanager
def context(kind: Kind, bundle: Path | None, wheels: Path | None) -> Iterator[Context]:
    """The context of an image.

    Args:
        kind: which Dockerfile.
        bundle: a folder or single file, checked before it is put in; None: the image's ``/bundle`` is empty.
        wheels: a folder of further wheels, which pip prefers to those of the index.

    Raises:
        InputError: this kind holds no bundle, or ``wheels`` is no folder of wheels.
        BundleError: the bundle is damaged.
        MissingRequirement: see :func:`edgekit.images.wheel.write_wheel`.
    """
    if bundle is not None and not kind.holds_bundle:
        raise InputError(f"--bundle {bundle}: a {kind.name} image makes bundles and holds none; leave it out")
    with tempfile.TemporaryDirectory(prefix="edgekit-image-") as scratch:
        folder = Path(scratch)
        for name in (kind.dockerfile, ".dockerignore", *kind.files):
            (folder / name).write_bytes(content_of(name))
        _wheels(folder / "wheels", kind.extras, wheels)
        labels = _bundle(folder / "bundle", bundle) if kind.holds_bundle else {}
        with tempfile.TemporaryFile() as stream:
            _pack(folder, stream)
            stream.seek(0)
            yield Context(stream, labels)


def _wheels(folder: Path, extras: tuple[str, ...], given: Path | None) -> None:
    folder.mkdir()
    write_wheel(folder, extras)
    if given is None:
        return
    found = sorted(given.glob("*.whl")) if given.is_dir() else []
    if not found:
        raise InputError(f"--wheels {given}: no folder with wheels; fill one with: pip download -d {given} ...")
    for wheel in found:
        # Its own wheel is the running code, whatever lies there from a build before.
        if not wheel.name.startswith("edgekit-"):
            shutil.copyfile(wheel, folder / wheel.name)


def _bundle(folder: Path, given: Path | None) -> dict[str, str]:
    folder.mkdir()
    if given is None:
        return {}
    from edgekit.bundle import open_bundle

    with open_bundle(given) as bundle:
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
        return {"edgekit.bundle": bundle.identity, "edgekit.bundle.digest": bundle.digest}


def _pack(folder: Path, stream: IO[bytes]) -> None:
    """Names, modes and contents only, in a fixed order: the builder's cache holds when nothing changed."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
                continue
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
