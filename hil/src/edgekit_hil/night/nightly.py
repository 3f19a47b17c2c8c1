"""A whole night: every bundle on every board, the verdict, last-good, the search for what broke."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgekit.core.artifacts import require_writable, sha256_of, write_json
from edgekit.core.errors import InputError
from edgekit.core.locks import locked
from edgekit.core.progress import Progress
from edgekit.history import Entry
from edgekit_hil.night.book import Book
from edgekit_hil.night.findings import findings
from edgekit_hil.night.issue import issue_text
from edgekit_hil.night.judge import Asked, Good, Judged, judge
from edgekit_hil.night.plan import Plan, Task, tasks
from edgekit_hil.night.report import BoardResult, NightReport, Trend
from edgekit_hil.night.runner import Request, Runner
from edgekit_hil.night.search import search
from edgekit_hil.night.shelf import Shelf, Ware, folder, ware
from edgekit_hil.night.verdict import fleet, worst
from edgekit_hil.report import RunReport

NIGHT = "night.json"
_PLAN = "plan.json"
_GOOD = "last-good.json"
_RESUMED_FOR_S = 24 * 3600
_GOODS = TypeAdapter(dict[str, Good | None])


@dataclass(frozen=True)
class Night:
    """What a night came to: the document, its folder, and every board's runs by board and bundle."""

    report: NightReport
    folder: Path
    runs: dict[tuple[str, str], RunReport]


def run_night(plan: Plan, runner: Runner, progress: Progress, clock: Callable[[], float] = time.time) -> Night:
    """Run the plan; a night of the same plan that was killed within the last day is gone on with.

    Boards run side by side, the bundles of one board in turn.  Each board's last-good is what it is when the night
    begins; the night records its runs, and moves last-good of a board where the bundle passed there.

    Args:
        plan: what to run.
        runner: what runs a bundle on a board.
        progress: counts the bundles on boards.
        clock: seconds since 1970 UTC.

    Raises:
        InputError: a bundle cannot be opened, or the history is damaged.
        EnvironmentFault: this machine lacks what the night needs.
    """
    require_writable(plan.out)
    every = [(task, ware(task.path)) for task in tasks(plan)]
    with locked(plan.out / "night"):
        book, shelf = Book(plan.book), Shelf(plan.out / "bundles")
        here, began = _folder(plan, clock())
        goods = _goods(here, every, book, shelf)
        asked = [_asked(plan, here, task, bundle, goods) for task, bundle in every]
        judged = _judged(plan, asked, runner, progress)
        moved = [_keep(one, book, shelf) for one in judged]
        since = _since(book, shelf)
        wide = plan.parallel or len(plan.boards)
        regressions, searched = search(judged, since, runner, wide) if plan.bisect else ((), 0)
        results = tuple(_result(one, here, did) for one, did in zip(judged, moved, strict=True))
        verdicts = tuple(
            fleet(name, [r for r in results if r.bundle == name], plan.rest_pass_share) for name in plan.bundles
        )
        verdict = worst([one.verdict for one in verdicts])
        report = NightReport(
            night=here.name,
            verdict=verdict,
            why=" ".join(f"{one.bundle}: {one.why}." for one in verdicts if one.verdict == verdict),
            began=datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds"),
            seconds=clock() - began,
            runs=sum(one.runs for one in judged) + searched,
            results=results,
            fleet=verdicts,
            regressions=tuple(replace(one, issue=issue_text(one, here.name)) for one in regressions),
            trends=tuple(trend for one in judged for trend in _trends(one, book)),
            labels={name: board.labels for name, board in plan.boards.items()},
            kept=_tidied(plan, book, shelf, clock()),
        )
        runs = {(one.asked.task.board, one.asked.task.bundle): one.report for one in judged}
        return Night(report, here, runs)


def _folder(plan: Plan, now: float) -> tuple[Path, float]:
    """The night's folder, and when it began: of an unfinished night of this plan, or a new one."""
    same = sha256_of(plan.model_dump(mode="json"))
    for before, known in _unfinished(plan, now):
        if known["plan"] == same:
            return before, float(known["began"])
    name = datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
    here, again = plan.out / name, 1
    while here.exists():
        again += 1
        here = plan.out / f"{name}-{again}"
    write_json(here / _PLAN, {"plan": same, "began": now, "asks": plan.model_dump(mode="json")})
    return here, now


def _unfinished(plan: Plan, now: float) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Nights in the folder that were killed and may be gone on with, the newest first, and what their plan was."""
    for file in sorted(plan.out.glob(f"*/{_PLAN}"), reverse=True):
        known = json.loads(file.read_bytes())
        if not (file.parent / NIGHT).exists() and now - known["began"] < _RESUMED_FOR_S:
            yield file.parent, known


def _goods(here: Path, every: Sequence[tuple[Task, Ware]], book: Book, shelf: Shelf) -> dict[str, Good | None]:
    """Each board's last-good by board and bundle, as it was when the night began."""
    file = here / _GOOD
    if file.exists():
        return _GOODS.validate_json(file.read_bytes())
    found: dict[str, Good | None] = {}
    for task, bundle in every:
        entry = book.last_good(task.board, bundle)
        what = f"last-good of {bundle.name} on {task.board}"
        found[_key(task)] = _good(entry, shelf.get(entry.digest, what)) if entry is not None else None
    write_json(file, _GOODS.dump_python(found, mode="json"))
    return found


def _good(entry: Entry, path: Path) -> Good:
    """What the bundle itself says of its commit, else what its file was called when it was recorded."""
    known = ware(path).known
    return Good(path, entry.digest, known if known.revision else replace(known, revision=entry.revision))


def _key(task: Task) -> str:
    return f"{task.board}/{task.bundle}"


def _asked(plan: Plan, here: Path, task: Task, bundle: Ware, goods: dict[str, Good | None]) -> Asked:
    good = goods[_key(task)]
    request = Request(
        environment=task.environment,
        bundle=task.path,
        out=here / "runs" / task.board / task.bundle,
        place=task.place,
        against=good.path if good is not None else task.path,
        data=task.data,
        queries=plan.queries,
        bag=task.bag,
        soak_minutes=plan.soak_minutes,
        owner=plan.owner,
        keep=plan.keep,
    )
    return Asked(task, bundle, good, request)


def _judged(plan: Plan, asked: Sequence[Asked], runner: Runner, progress: Progress) -> list[Judged]:
    """Every bundle on every board: boards side by side, the bundles of one in turn, in the order of the plan."""
    by_board = {board: [one for one in asked if one.task.board == board] for board in plan.boards}
    with progress.track("night", len(asked)) as advance:

        def of_board(some: list[Asked]) -> list[Judged]:
            found = []
            for one in some:
                found.append(judge(one, runner, plan.aa))
                advance()
            return found

        with ThreadPoolExecutor(plan.parallel or len(by_board)) as pool:
            return [one for some in pool.map(of_board, by_board.values()) for one in some]


def _keep(one: Judged, book: Book, shelf: Shelf) -> bool:
    """Record what a board found out about a bundle; whether last-good moved to it."""
    if one.standing in ("flaky", "infrastructure"):
        return False
    shelf.put(one.asked.bundle)
    good = one.asked.good
    passed = book.record(one.asked.task.board, one.asked.bundle, one.report)
    return passed and (good is None or good.digest != one.asked.bundle.digest)


def _since(book: Book, shelf: Shelf) -> Callable[[Judged, Good], Sequence[Ware]]:
    """What to search: the plan's folder between last-good and now, else the bundles that the nights since kept."""

    def since(red: Judged, good: Good) -> Sequence[Ware]:
        task, now = red.asked.task, red.asked.bundle
        if task.candidates is not None:
            found = folder(task.candidates)
        else:
            entry = book.last_good(task.board, now)
            runs = book.since(task.board, now, entry) if entry is not None else ()
            kept = dict.fromkeys(run.digest for run in runs if shelf.has(run.digest))
            found = [ware(shelf.get(digest, "a bundle of an earlier night")) for digest in kept]
        digests = [one.digest for one in found]
        start = digests.index(good.digest) + 1 if good.digest in digests else 0
        end = digests.index(now.digest) if now.digest in digests else len(found)
        return [*(one for one in found[start:end] if one.kind == now.kind), now]

    return since


def _tidied(plan: Plan, book: Book, shelf: Shelf, now: float) -> str:
    """The shelf without what no night will ask for; a line on what became of it."""
    try:
        needed = book.needed()
    except InputError as error:
        return f"left as they are: {error}"
    for night, _ in _unfinished(plan, now):
        if (night / _GOOD).exists():
            goods = _GOODS.validate_json((night / _GOOD).read_bytes())
            needed |= {good.digest for good in goods.values() if good is not None}
    return shelf.tidy(needed, plan.keep)


def _trends(one: Judged, book: Book) -> tuple[Trend, ...]:
    """What the gate judged, and the latency, of one bundle on one board over the nights."""
    gate = one.report.gate
    judged = [(k.limit.metric or k.name, k.where) for k in gate.kpis] if gate is not None else []
    names = [f"{where}/{metric}" if where else metric for metric, where in judged]
    return book.trends(one.asked.task.board, one.asked.task.bundle, one.asked.bundle, [*names, "latency_p50_ms"])


def _result(one: Judged, here: Path, moved: bool) -> BoardResult:
    task = one.asked.task
    return BoardResult(
        board=task.board,
        bundle=task.bundle,
        ran=one.asked.bundle.known,
        standing=one.standing,
        why=one.why,
        must_pass=task.must_pass,
        folder=str(one.asked.request.out.relative_to(here)),
        gate=one.report.gate,
        baseline=one.asked.good.known if one.asked.good is not None else None,
        aa=one.aa.verdict if one.aa is not None else "",
        moved=moved,
        findings=findings(one.report.gate),
    )
