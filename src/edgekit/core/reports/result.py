"""A gate's verdict with all that it was reached by, to be signed."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.core.reports.accuracy import EvaluateReport
from edgekit.core.reports.gate import GateReport
from edgekit.core.reports.timing import ProfileReport
from edgekit.core.reports.values import SCHEMA_VERSION, Document


@dataclass(frozen=True)
class ResultReport(Document):
    """What one gate said of one bundle, on which machine, and the documents behind it.

    ``digest`` is the bundle's, in full.  ``device`` and ``tools`` are facts and package versions of the machine that
    judged, ``revision`` the git commit of its working folder (empty: none), ``finished`` ISO 8601 in UTC.  ``given``
    names the documents that were handed in rather than measured in that run.  ``profile.times_ms`` holds the raw
    sample: the time of every query; ``traffic`` further profiles, such as one under load.
    """

    bundle: str
    digest: str
    gate: GateReport
    evaluation: EvaluateReport | None
    profile: ProfileReport | None
    device: dict[str, str]
    tools: dict[str, str]
    finished: str
    revision: str = ""
    given: tuple[str, ...] = ()
    traffic: tuple[ProfileReport, ...] = field(default=())
    schema_version: int = SCHEMA_VERSION
