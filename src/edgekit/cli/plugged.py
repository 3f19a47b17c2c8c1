"""Commands that other distributions plug in, through the entry-point group ``edgekit.commands``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import typer

from edgekit.cli.console import APP_OPTIONS
from edgekit.core.errors import MissingRequirement

GROUP = "edgekit.commands"
PLUGGED = {"hil": "edgekit-hil"}
"""Name of a command that edgekit knows of, and the distribution that brings it."""
_ANY = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def plugged(name: str) -> typer.Typer:
    """The application of an installed distribution, or one that says how to install it."""
    brings = PLUGGED[name]
    try:
        found = distribution(brings).entry_points.select(group=GROUP, name=name)
    except PackageNotFoundError:
        return _absent(name, brings)
    (entry,) = found
    application: typer.Typer = entry.load()
    return application


def _absent(name: str, brings: str) -> typer.Typer:
    application = typer.Typer(**APP_OPTIONS)

    def missing(ctx: typer.Context) -> None:
        raise MissingRequirement(f"the command {name}", f"pip install {brings}")

    words: dict[str, Any] = {"help": f"Not installed: pip install {brings}", "context_settings": _ANY}
    application.command(**words)(missing)
    return application
