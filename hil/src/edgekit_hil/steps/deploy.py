"""Bundle, baseline, data and bag to the board; of what is there already nothing is sent."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from edgekit_hil.deploy import Deployed, deploy
from edgekit_hil.steps.context import Context


def step(context: Context) -> str:
    """Deploy everything that the run needs."""
    link, found, options = context.agent.link, context.found, context.options
    context.agent.prepare(context.progress)
    with context.progress.track(f"copy to {link.name}"):
        link.ask("store-tidy", {"keep": options.keep, "token": context.lease.token})
        bundle = deploy(link, context.bundle.given, "bundles")
        found.places["bundle"], found.bundle_bytes, found.moved_bytes = bundle.path, bundle.bytes, bundle.moved_bytes
        if options.against is not None:
            found.places["against"] = deploy(link, options.against, "bundles").path
        if context.bundle.contents.evaluation is not None:
            found.places["data"] = _data(context).path
        if options.bag is not None:
            found.places["bag"] = deploy(link, options.bag, "bags").path
    return f"{bundle.moved_bytes:,} of {bundle.bytes:,} bytes of the bundle sent"


def _data(context: Context) -> Deployed:
    """The evaluation data, as their parts lie to each other here."""
    section = context.bundle.evaluation_section(context.options.data)
    parts = [Path(os.path.abspath(path)) for path in _paths(dict(section))]
    base = Path(os.path.commonpath(parts)) if len(parts) > 1 else parts[0]
    return deploy(context.agent.link, base, "data", thorough=False, parts=parts)


def _paths(values: dict[str, object]) -> list[Path]:
    """Every path in a section, those of sections within it too."""
    found: list[Path] = []
    for value in values.values():
        if isinstance(value, Path):
            found.append(value)
        elif isinstance(value, dict):
            found += _paths(value)
        elif isinstance(value, BaseModel):
            found += _paths(dict(value))
    return found
