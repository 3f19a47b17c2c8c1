"""The files of a run: for people, for CI, and for the history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit.bundle import Bundle
from edgekit.core.artifacts import write_bytes, write_json
from edgekit.history import History
from edgekit.kpis import markdown
from edgekit.pipeline import report as html_report
from edgekit_hil.options import RunOptions
from edgekit_hil.recording import record_run
from edgekit_hil.report import RunReport

RUN = "run.json"
EMULATED = "The board is emulated: its times mean nothing."


def write_files(folder: Path, report: RunReport, bundle: Bundle, options: RunOptions) -> None:
    """Write ``run.json`` last, beside ``report.html``, ``junit.xml`` and ``summary.md``; record to the history."""
    write_bytes(folder / "junit.xml", junit(report))
    write_bytes(folder / "summary.md", summary(report).encode())
    if report.evaluation is not None and report.profile is not None and report.gate is not None:
        evaluation = report.evaluation
        if report.board.emulated:
            evaluation = replace(evaluation, warnings=(EMULATED, *evaluation.warnings))
        html_report(bundle, folder / "report.html", evaluation, report.profile, report.gate, pictures=False)
        if options.history is not None and report.verdict != "infrastructure":
            record_run(History.open(options.history, writing=True), report, bundle, report.board.name)
    write_json(folder / RUN, report.to_dict())


def junit(report: RunReport) -> bytes:
    """One test case a step, and one a KPI; what failed because of the board is an error, not a failure."""
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite(f"edgekit hil run {report.board.name} {report.bundle}")
    suite.add_property("verdict", report.verdict)
    suite.add_property("why", report.why)
    for step in report.steps:
        case = TestCase(step.name, "edgekit.hil.steps", step.seconds)
        kinds = {"failed": Failure, "infrastructure": Error, "skipped": Skipped}
        if step.outcome in kinds:
            case.result = [kinds[step.outcome](step.said)]
        suite.add_testcase(case)
    for kpi in report.gate.kpis if report.gate is not None else ():
        case = TestCase(f"{kpi.name} {kpi.where}".strip(), "edgekit.hil.kpis")
        if kpi.verdict != "pass":
            said = f"{kpi.verdict}: {kpi.value:.6g} {kpi.unit} {kpi.reason}"
            case.result = [(Skipped if kpi.allowed else Failure)(said)]
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    content: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return content


def summary(report: RunReport) -> str:
    """Verdict, steps and KPIs in Markdown."""
    lines = [f"### {report.verdict.upper()}: {report.bundle} on {report.board.name}", "", report.why, ""]
    if report.board.emulated:
        lines += [f"**{EMULATED}**", ""]
    lines += ["| step | outcome | seconds | |", "|---|---|---:|---|"]
    lines += [f"| {s.name} | {s.outcome} | {s.seconds:.1f} | {s.said.replace('|', '/')} |" for s in report.steps]
    return "\n".join(lines) + "\n\n" + (markdown(report.gate) if report.gate is not None else "")
