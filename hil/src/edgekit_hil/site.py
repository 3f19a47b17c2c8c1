"""An environment for the board made here from its wheels: neither pip, venv nor internet is needed there."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from edgekit.core.artifacts import atomic_directory, sha256_file
from edgekit.core.errors import InputError


def site(wheels: Path) -> Path:
    """A folder for PYTHONPATH with what the wheels hold, for whatever machine they are; made once for each set of them.

    Raises:
        InputError: there is no wheel of edgekit, or one is damaged.
    """
    found = sorted(wheels.glob("*.whl"))
    if not any(path.name.startswith("edgekit-") for path in found):
        raise InputError(f"wheels: no edgekit-*.whl in {wheels}; fill it with: pip download -d {wheels} edgekit")
    names = "\n".join(f"{path.name} {sha256_file(path)}" for path in found)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgekit-hil" / "sites"
    final = cache / hashlib.sha256(names.encode()).hexdigest()[:32]
    if not final.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_directory(final) as partial:
            for path in found:
                _unpack(path, partial)
    return final


def _unpack(wheel: Path, target: Path) -> None:
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.exceptions import InstallerError
    from installer.sources import WheelFile

    schemes = {name: str(target) for name in ("purelib", "platlib", "headers", "data")}
    schemes["scripts"] = str(target / "bin")
    destination = SchemeDictionaryDestination(schemes, sys.executable, "posix", overwrite_existing=True)
    try:
        with WheelFile.open(wheel) as source:
            install(source, destination, {})
    except (InstallerError, ValueError, OSError) as error:
        raise InputError(f"wheels: {wheel.name} cannot be unpacked: {error}; download it again") from error
