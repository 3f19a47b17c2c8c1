"""edgekit's own wheel, made from the running package: an image has exactly the code that built it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

from edgekit.core.errors import MissingRequirement

_FIXED = (1980, 1, 1, 0, 0, 0)
_AGAIN = "pip install -e . in the checkout"
_KEPT = ("METADATA", "WHEEL", "entry_points.txt")


def write_wheel(folder: Path, extras: Sequence[str] = ()) -> Path:
    """Write ``edgekit-<version>-py3-none-any.whl``; the same code gives the same bytes.

    ``extras`` are those that will be asked of it: pip only warns of one that the wheel does not name.

    The format is that of the binary distributions of the Python Packaging User Guide.  What only a checkout has,
    tests and examples, is not in it.

    Raises:
        MissingRequirement: edgekit was never installed here, or its metadata are older than the code.
    """
    found = _distribution()
    unknown = set(extras) - set(found.metadata.get_all("Provides-Extra") or ())
    if unknown:
        raise MissingRequirement(f"the extra {', '.join(sorted(unknown))} of the installed edgekit", _AGAIN)
    stem = f"edgekit-{found.version}"
    members = _package() | _metadata(found, f"{stem}.dist-info")
    record = "".join(f"{name},{_digest(content)},{len(content)}\n" for name, content in members.items())
    members[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n".encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _FIXED)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return path


def _distribution() -> Distribution:
    try:
        return distribution("edgekit")
    except ModuleNotFoundError as error:
        raise MissingRequirement("edgekit's own metadata", _AGAIN) from error


def _package() -> dict[str, bytes]:
    root = Path(__file__).parents[1]
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {(Path("edgekit") / path.relative_to(root)).as_posix(): path.read_bytes() for path in files}


def _metadata(found: Distribution, folder: str) -> dict[str, bytes]:
    texts = {name: found.read_text(name) for name in _KEPT}
    return {f"{folder}/{name}": text.encode() for name, text in texts.items() if text is not None}


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
