"""Reading the ``--json`` documents of other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.core.errors import InputError, os_reason
from edgekit.core.textfile import read_text


def read_document(path: Path | None, kind: type, bundle: str | None = None) -> Any:
    """A report from a file, checked; None when no file is named.

    Raises:
        InputError: there is no such file, it is no document of this kind, or it was measured on another ``bundle``.
    """
    if path is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        content = read_text(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {_source(kind, path)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: no JSON document: {error.reason} at byte {error.start}; {_source(kind, path)}"
        ) from error
    try:
        report: Any = TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_mismatch(kind, content, error.errors()[0])}; {_source(kind, path)}") from error
    if bundle is not None and report.bundle != bundle:
        raise InputError(f"{path}: measured on bundle {report.bundle!r}, not on {bundle!r}; measure this bundle")
    return report


def _source(kind: type, path: Path) -> str:
    """Which command writes documents of this kind."""
    from edgekit.core.reports import DOCUMENTS, CompressReport

    if kind is CompressReport:
        return "it is the report.json that edgekit compress writes beside the models"
    (command,) = (name for name, document in DOCUMENTS.items() if document is kind)
    return f"write it with: edgekit {command} BUNDLE --json > {path}"


def _mismatch(kind: type, content: str, first: Any) -> str:
    """What a file is instead, or what is wrong with it first."""
    from pydantic import TypeAdapter, ValidationError

    from edgekit.core.mistakes import words
    from edgekit.core.reports import DOCUMENTS

    (wanted,) = (name for name, document in DOCUMENTS.items() if document is kind)
    for name, document in DOCUMENTS.items():
        try:
            TypeAdapter(document).validate_json(content)
        except ValidationError:
            continue
        return f"a document of edgekit {name}, not of edgekit {wanted}"
    place = ".".join(map(str, first["loc"]))
    return f"no document of edgekit {wanted} ({place + ': ' if place else ''}{words(first)})"
