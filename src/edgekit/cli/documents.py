"""Reading the ``--json`` documents of other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.core.errors import InputError


def read_document(path: Path | None, kind: type, bundle: str | None = None) -> Any:
    """A report from a file, checked; None when no file is named.

    Raises:
        InputError: there is no such file, it is no document of this kind, or it was measured on another ``bundle``.
    """
    if path is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        report: Any = TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; write it with: edgekit evaluate|profile BUNDLE --json > {path}"
        ) from None
    except ValidationError as error:
        raise InputError(
            f"{path}: not a {kind.__name__} document ({error.error_count()} problems); write it again with --json"
        ) from error
    if bundle is not None and report.bundle != bundle:
        raise InputError(f"{path}: measured on bundle {report.bundle!r}, not on {bundle!r}; measure this bundle")
    return report
