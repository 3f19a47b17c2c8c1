"""What a try (not a list of names) proved about a backend, a sensor or a package of this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """What a run (not a list of names) proved about a backend or one of its providers.

    ``optional``: that it does not work is no fault; most machines do not have it.
    """

    name: str
    works: bool
    detail: str
    install: str | None = None
    optional: bool = False
