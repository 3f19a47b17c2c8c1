"""Runs on boards: what is asked of a runner, and runs that are not repeated when a night is started again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgekit.core.artifacts import sha256_file, write_json
from edgekit_hil.options import KEEP
from edgekit_hil.report import RunReport

RUN = "run.json"
ASKED = "asked.json"


@dataclass(frozen=True)
class Request:
    """One run: ``bundle`` on the board of ``environment``, in turn with ``against`` when that is given.

    ``out`` is the run's own folder.  The other fields are those of ``edgekit hil run``.
    """

    environment: Path
    bundle: Path
    out: Path
    place: str = ""
    against: Path | None = None
    data: Path | None = None
    queries: int | None = None
    bag: Path | None = None
    soak_minutes: float = 0
    owner: str = ""
    keep: int = KEEP


class Runner(Protocol):
    """Runs a bundle on a board; a board that fails is a report with the verdict ``infrastructure``, no error."""

    def __call__(self, request: Request) -> RunReport:
        """The report of the run.

        Raises:
            InputError: the request is wrong; nothing was touched.
            EnvironmentFault: this machine lacks what a run needs.
        """


def measure(request: Request, digest: str, baseline: str | None, runner: Runner) -> RunReport:
    """The report of the run, or of the same one before this night was killed.

    A finished run is in its folder as ``run.json``, beside ``asked.json``, what was asked for.  One that the board's
    failure ended is tried again: it said nothing of the bundle, and the board may be back.

    Args:
        request: what to run.
        digest: of its bundle.
        baseline: digest of ``against``.
        runner: what runs it.
    """
    asked = {
        "bundle": digest,
        "against": baseline,
        "environment": sha256_file(request.environment),
        "place": request.place,
        "data": str(request.data),
        "queries": request.queries,
        "bag": str(request.bag),
        "soak_minutes": request.soak_minutes,
    }
    before = finished(request.out, asked)
    if before is not None:
        return before
    (request.out / RUN).unlink(missing_ok=True)
    write_json(request.out / ASKED, asked)
    report = runner(request)
    write_json(request.out / RUN, report.to_dict())
    return report


def finished(folder: Path, asked: Mapping[str, object]) -> RunReport | None:
    """The run that ``folder`` holds, when it is the one that is asked for and the board did not fail in it."""
    import json

    try:
        if json.loads((folder / ASKED).read_bytes()) != asked:
            return None
        report = read_run(folder / RUN)
    except (OSError, ValueError):  # none, or one that was cut off: it is run again
        return None
    return report if report.verdict != "infrastructure" else None


def read_run(path: Path) -> RunReport:
    """A run's report.

    Raises:
        ValueError: it is no such document.
        OSError: it cannot be read.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(RunReport).validate_json(path.read_bytes())
