"""Names of layers that are the same in every build.

OpenVINO calls the layers that it adds after their operator and a number that counts all layers of the process, such as
``Multiply_8516``: two builds of one model would differ, and so would their reports.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator

_TEXT = re.compile(rb'( (?:name|names|value)=")([^"]*)"')
_PART = re.compile(r"[^,\s][^,]*")
_GIVEN = re.compile(r"([A-Z][A-Za-z0-9]*)_(\d+)")


def stable(layers: bytes, known: frozenset[str]) -> bytes:
    """The XML document of a model's layers, with every number that the process gave counted anew from 0.

    Args:
        layers: the document; the order of its layers decides the numbers.
        known: names of the source: nodes and tensors, which stay what they are.
    """
    counts: dict[str, Iterator[int]] = defaultdict(itertools.count)
    given: dict[str, str] = {}

    def anew(name: str) -> str:
        found = _GIVEN.match(name)
        if found is None or found[0] in known or name in known:
            return name
        if found[0] not in given:
            fresh = (f"{found[1]}_{count}" for count in counts[found[1]])
            given[found[0]] = next(made for made in fresh if made not in known)
        return given[found[0]] + name[found.end() :]

    def replaced(text: re.Match[bytes]) -> bytes:
        return text[1] + _PART.sub(lambda part: anew(part[0]), text[2].decode()).encode() + b'"'

    return _TEXT.sub(replaced, layers)
