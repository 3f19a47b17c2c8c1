"""What all reports are made of."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

SCHEMA_VERSION = 1

Verdict = Literal["pass", "fail"]
Judgement = Literal["pass", "fail", "undecided"]


class Document:
    """Mix-in: a report as a JSON-ready dictionary."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings, numbers, booleans and None."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]
