"""Building an image."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit.images.context import context
from edgekit.images.daemon import connected
from edgekit.images.files import kind_of

_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
TAG = re.compile(rf"(?:{_PART}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?")
"""Registry, repository and tag, in the grammar of image references."""
_LAST_LINES = 12


@dataclass(frozen=True)
class Built:
    """An image that was built.

    ``size_mib`` is what its layers take on the disk; ``bundle`` the identity of the bundle inside, empty without one.
    """

    kind: str
    tag: str
    id: str
    size_mib: float
    bundle: str
    pushed: bool

    def to_dict(self) -> dict[str, Any]:
        """The ``--json`` document."""
        return asdict(self)


@dataclass(frozen=True)
class Recipe:
    """What ``edgekit image build`` was asked for.

    ``arguments`` are build arguments of the Dockerfile; ``network`` is the network of its RUN lines, empty: the
    daemon's own choice.
    """

    kind: str
    tag: str = ""
    bundle: Path | None = None
    base: str = ""
    wheels: Path | None = None
    arguments: Mapping[str, str] | None = None
    network: str = ""
    push: bool = False


def build(recipe: Recipe, told: Callable[[str], None]) -> Built:
    """Build an image, and push it when asked.

    Args:
        recipe: which.
        told: gets each line of the build.

    Raises:
        InputError: unknown kind, a tag that is none, a bundle where none belongs.
        BundleError: the bundle is damaged.
        MissingRequirement: no SDK or no daemon.
        EnvironmentFault: a line of the Dockerfile failed; the message has the last lines that it printed.
    """
    kind = kind_of(recipe.kind)
    version = str(importlib.import_module("edgekit").__version__)
    tag = recipe.tag or f"edgekit/{kind.name}:{version}"
    if not TAG.fullmatch(tag):
        raise InputError(f"--tag {tag!r}: no image name; write it like registry.example.com/team/{kind.name}:1.0")
    arguments = {"VERSION": version, **(recipe.arguments or {})} | ({"BASE": recipe.base} if recipe.base else {})
    with context(kind, recipe.bundle, recipe.wheels) as made, connected() as client:
        stream = client.api.build(
            fileobj=made.stream,
            custom_context=True,
            dockerfile=kind.dockerfile,
            tag=tag,
            buildargs=arguments,
            labels=made.labels,
            network_mode=recipe.network or None,
            rm=True,
            decode=True,
        )
        _follow(stream, told, f"building {tag}")
        image = client.images.get(tag)
        if recipe.push:
            _follow(client.images.push(tag, stream=True, decode=True), told, f"pushing {tag}")
        size = image.attrs["Size"] / 2**20
        return Built(kind.name, tag, image.id, round(size, 1), made.labels.get("edgekit.bundle", ""), recipe.push)


def _follow(stream: Iterable[Mapping[str, Any]], told: Callable[[str], None], what: str) -> None:
    """Pass on what a daemon tells until it is done; its failure comes as a line of the same stream."""
    last: list[str] = []
    for part in stream:
        if "error" in part:
            lines = " | ".join([*last[-_LAST_LINES:], str(part["error"]).strip()])
            raise EnvironmentFault(f"{what} failed: {lines}")
        words = str(part.get("stream") or part.get("status") or "")
        for line in filter(None, map(str.rstrip, words.splitlines())):
            last = [*last[-_LAST_LINES:], line]
            told(line)
