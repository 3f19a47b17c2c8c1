"""The gate's verdict as a JUnit XML file, which CI servers show as test results."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import MissingRequirement
from edgekit.core.reports import GateReport, KpiResult
from edgekit.kpis import words


def write_junit(path: Path, report: GateReport) -> None:
    """Write one test case per limit, atomically: a failed or undecided one fails, an allowed undecided one is skipped.

    Raises:
        MissingRequirement: junitparser is not installed.
        OutputError: the file cannot be written.
    """
    write_bytes(path, junit(report))


def require_junit() -> None:
    """Raise :class:`MissingRequirement` when junitparser is not installed: before the measurements, not after."""
    if importlib.util.find_spec("junitparser") is None:
        raise MissingRequirement("junitparser", "pip install 'edgekit[report]'")


def junit(report: GateReport) -> bytes:
    """The file's content, UTF-8."""
    require_junit()
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite(f"edgekit gate {report.bundle}".rstrip())
    suite.add_property("target", report.target)
    suite.add_property("verdict", report.verdict)
    if report.baseline is not None:
        suite.add_property("baseline", report.baseline)
    for result in report.kpis:
        case = TestCase(f"{words.title(result)} {result.limit.kind}", classname=f"edgekit.kpis.{report.target}")
        case.system_out = _said(result)
        if result.verdict != "pass":
            kind = Skipped if result.allowed else Failure
            case.result = [kind(message=_said(result), type_=result.verdict)]
        suite.add_testcase(case)
    for name, reason in report.unmeasured.items():
        case = TestCase(name, classname=f"edgekit.kpis.{report.target}")
        case.result = [(Skipped if report.verdict == "pass" else Failure)(message=reason, type_="undecided")]
        suite.add_testcase(case)
    for name in report.not_applicable:
        case = TestCase(name, classname=f"edgekit.kpis.{report.target}")
        case.result = [Skipped(message="for another target, not judged")]
        suite.add_testcase(case)
    document = JUnitXml("edgekit gate")
    document.add_testsuite(suite)
    content: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return content


def _said(result: KpiResult) -> str:
    said = f"{words.value(result)}; limit: {words.limit(result)}; margin {result.margin:+.4g}"
    return f"{said}; {result.reason}" if result.reason else said
