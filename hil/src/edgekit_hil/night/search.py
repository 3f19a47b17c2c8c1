"""What broke since last-good: the failed limits of the night, each with the bundle that brought it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit_hil.night.bisect import Found, bisect
from edgekit_hil.night.findings import findings, reading
from edgekit_hil.night.judge import Good, Judged
from edgekit_hil.night.report import Finding, Known, Probe, Reading, Regression
from edgekit_hil.night.runner import Runner, measure
from edgekit_hil.night.shelf import Ware
from edgekit_hil.report import RunReport

Since = Callable[[Judged, Good], Sequence[Ware]]
"""The bundles after last-good up to the judged one, in order; the last is the judged one."""


@dataclass
class _Search:
    """Runs of one red board for one bundle, shared by the limits that failed there."""

    red: Judged
    good: Good
    candidates: Sequence[Ware]
    runner: Runner
    reports: dict[tuple[str, int], tuple[RunReport, str]] = field(default_factory=dict)

    def named(self, wanted: Finding) -> tuple[Found, tuple[Probe, ...]]:
        probes: list[Probe] = []

        def read(index: int, time: int) -> Reading:
            report, folder = self._run(self.candidates[index], time)
            found, said = reading(report, wanted)
            probes.append(Probe(self.candidates[index].known, found, folder, said))
            return found

        return bisect(len(self.candidates), read), tuple(probes)

    def _run(self, candidate: Ware, time: int) -> tuple[RunReport, str]:
        """One candidate against last-good; two limits that ask for the same one share its run."""
        if (candidate.digest, time) not in self.reports:
            request = self.red.asked.request
            out = request.out / f"bisect-{candidate.digest[:12]}-{time}"
            # More queries settle what one look could not.
            queries = None if request.queries is None else request.queries * (time + 1)
            asked = replace(request, bundle=candidate.path, out=out, queries=queries, soak_minutes=0)
            report = measure(asked, candidate.digest, self.good.digest, self.runner)
            self.reports[candidate.digest, time] = report, str(Path(*out.parts[-4:]))
        return self.reports[candidate.digest, time]


def search(judged: Sequence[Judged], since: Since, runner: Runner, parallel: int) -> tuple[tuple[Regression, ...], int]:
    """The regressions of a night, and how many runs it took to find their bundles.

    A limit that failed on several boards is searched on one of them, one that must pass if there is one; boards are
    searched side by side.  Limits of one bundle with the same suspects are one regression.
    """
    reds = [one for one in judged if one.standing == "fail" and one.asked.good is not None]
    by_board: dict[str, list[tuple[_Search, Finding, tuple[str, ...]]]] = {}
    searches: dict[int, _Search] = {}
    for red, finding, boards in _limits(reds):
        if id(red) not in searches:
            assert red.asked.good is not None
            searches[id(red)] = _Search(red, red.asked.good, since(red, red.asked.good), runner)
        by_board.setdefault(red.asked.task.board, []).append((searches[id(red)], finding, boards))

    def of_board(limits: list[tuple[_Search, Finding, tuple[str, ...]]]) -> list[Regression]:
        return [_regression(one, finding, boards) for one, finding, boards in limits]

    with ThreadPoolExecutor(max(1, parallel)) as pool:
        found = [regression for some in pool.map(of_board, by_board.values()) for regression in some]
    return tuple(_merged(found)), sum(len(one.reports) for one in searches.values())


def _limits(reds: Sequence[Judged]) -> Iterator[tuple[Judged, Finding, tuple[str, ...]]]:
    """Each failed limit of each bundle once, with the board to search it on and all that it failed on."""
    seen: dict[tuple[str, str, str], list[tuple[Judged, Finding]]] = {}
    for red in reds:
        for finding in findings(red.report.gate):
            seen.setdefault((red.asked.task.bundle, finding.title, finding.kind), []).append((red, finding))
    for failed in seen.values():
        red, finding = next((pair for pair in failed if pair[0].asked.task.must_pass), failed[0])
        yield red, finding, tuple(one.asked.task.board for one, _ in failed)


def _regression(one: _Search, finding: Finding, boards: tuple[str, ...]) -> Regression:
    found, probes = one.named(finding)
    suspects = one.candidates[found.first : found.last + 1]
    task = one.red.asked.task
    return Regression(
        key=_slug(f"{task.bundle}-{finding.title}-{finding.kind}"),
        bundle=task.bundle,
        boards=boards,
        findings=(finding,),
        baseline=one.good.known,
        suspects=tuple(suspect.known for suspect in suspects),
        candidates=len(one.candidates),
        probes=probes,
        why=found.why,
        reproduce=_command(one, suspects[-1]),
    )


def _merged(found: Sequence[Regression]) -> Iterator[Regression]:
    """Regressions of one bundle with the same suspects as one, which has the key of the first limit."""
    groups: dict[tuple[str, tuple[Known, ...]], list[Regression]] = {}
    for one in found:
        groups.setdefault((one.bundle, one.suspects), []).append(one)
    for first, *more in groups.values():
        probes = {probe.folder: probe for one in (*more, first) for probe in one.probes}
        boards = dict.fromkeys(board for one in (first, *more) for board in one.boards)
        merged = replace(
            first,
            boards=tuple(boards),
            findings=tuple(finding for one in (first, *more) for finding in one.findings),
            probes=tuple(probes.values()),
        )
        yield replace(merged, title=_title(merged))


def _title(found: Regression) -> str:
    worst, *more = found.findings
    by = f"since {found.suspects[0]}" if len(found.suspects) == 1 else f"in one of {len(found.suspects)} bundles"
    others = f" and {len(more)} more" if more else ""
    return f"{found.bundle} on {', '.join(found.boards)}: {worst.title} {worst.amount}{others}, {by}"


def _command(one: _Search, suspect: Ware) -> str:
    request = one.red.asked.request
    words = ["edgekit", "hil", "run", "--env", str(request.environment), "--bundle", str(suspect.path)]
    words += ["--against", str(one.good.path)]
    for option, value in (("--place", request.place), ("--data", request.data), ("--queries", request.queries)):
        words += [option, str(value)] if value else []
    return shlex.join(words)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
