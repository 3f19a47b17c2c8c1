"""Docstrings as Markdown: roles such as :class:`Name` become code letters."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":\w+:`~?([^`]+)`")


def prose(text: str) -> str:
    """The text of a docstring for a page."""
    return _ROLE.sub(r"`\1`", text)


class Roles(griffe.Extension):
    """For mkdocstrings: rewrites each docstring as it is read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = prose(obj.docstring.value)
