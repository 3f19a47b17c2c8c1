"""A night as Markdown, for CI's step summary, and as JUnit."""

from __future__ import annotations

from edgekit.kpis import require_junit
from edgekit_hil.night.report import BoardResult, NightReport
from edgekit_hil.night.text import cell

_SIGNS = {"pass": "✅", "fail": "❌", "undecided": "❔", "flaky": "⚠️", "infrastructure": "🔌"}


def markdown(report: NightReport) -> str:
    """Verdict on top, one row for each bundle and board, then what broke and which boards to look at."""
    lines = [f"## {_SIGNS[report.verdict]} {report.verdict.upper()}: night {report.night}", "", cell(report.why), ""]
    lines += ["| bundle | board | verdict | A/A | last-good | why |", "|---|---|---|---|---|---|"]
    for one in report.results:
        board = f"**{cell(one.board)}**" if one.must_pass else cell(one.board)
        good = "moved here" if one.moved else cell(str(one.baseline or "none yet"))
        said = f"{_SIGNS[one.standing]} {one.standing}"
        lines.append(f"| {cell(one.bundle)} | {board} | {said} | {one.aa or '-'} | {good} | {cell(one.why)} |")
    lines += ["", f"Boards in bold must pass. {report.runs} runs."]
    for found in report.regressions:
        lines += ["", f"### {cell(found.title)}", "", f"`{found.reproduce.replace('`', '')}`"]
    for trend in report.trends:
        for worse in trend.worse:
            where = f"{cell(trend.bundle)} on {cell(trend.board)}"
            levels = f"{worse.change.before:.4g} -> {worse.now:.4g} {worse.unit}".rstrip()
            lines += ["", f"- {where}: {cell(worse.metric)} got worse over the nights: {levels}"]
    return "\n".join(lines) + "\n"


def junit(report: NightReport) -> bytes:
    """One suite a board: a case for each bundle, and for each limit that the gate judged.

    What a board could not say is an error, not a failure, so that CI servers show the two apart.

    Raises:
        MissingRequirement: junitparser is not installed.
    """
    require_junit()
    from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

    document = JUnitXml("edgekit hil night")
    for board in dict.fromkeys(one.board for one in report.results):
        suite = TestSuite(board)
        for one in (result for result in report.results if result.board == board):
            case = TestCase(one.bundle, classname=f"edgekit.night.{board}")
            case.system_out = one.why
            if one.standing != "pass":
                kind = Failure if one.standing in ("fail", "undecided") else Error
                case.result = [kind(message=one.why, type_=one.standing)]
            suite.add_testcase(case)
            for name, why, verdict in _limits(one):
                limit = TestCase(f"{one.bundle}: {name}", classname=f"edgekit.night.{board}")
                limit.system_out = why
                if verdict != "pass":
                    limit.result = [Failure(message=why, type_=verdict)]
                suite.add_testcase(limit)
        document.add_testsuite(suite)
    content: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return content


def _limits(one: BoardResult) -> list[tuple[str, str, str]]:
    """Name, words and verdict of each limit; none of a board whose word counts for nothing."""
    from edgekit.kpis import words
    from edgekit_hil.night.findings import amount, asked

    if one.gate is None or one.standing in ("flaky", "infrastructure"):
        return []
    return [
        (f"{words.title(kpi)} {kpi.limit.kind}", f"{amount(kpi)}; {asked(kpi)}", "pass" if kpi.allowed else kpi.verdict)
        for kpi in one.gate.kpis
    ]
