"""Whole nights of recorded boards: last-good by board, resuming, the search between nights, exit codes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hil.tests.night.conftest import Built
from hil.tests.night.driving import variant
from hil.tests.night.recorded import dusk, latency, run

from edgekit.core.errors import InputError
from edgekit.core.progress import Silent
from edgekit.core.reports import KpiResult
from edgekit.history import History
from edgekit_hil.night.book import Book
from edgekit_hil.night.files import write_files
from edgekit_hil.night.nightly import NIGHT, Night, run_night
from edgekit_hil.night.plan import read_plan
from edgekit_hil.night.runner import Request
from edgekit_hil.night.shelf import ware
from edgekit_hil.report import RunReport, RunVerdict
from tests.support.nights import evaluation, profile

DAY_S = 86_400.0
Answer = tuple[KpiResult, ...] | RunVerdict
GOOD: Answer = (latency(1.0, "pass"), dusk(0.0, "pass"))
SLOW: Answer = (latency(1.12, "fail"), dusk(0.0, "pass"))


class Killed(BaseException):
    """The night's process ends here."""


@dataclass
class Boards:
    """A runner that answers by board, number of the bundle and number of the baseline."""

    built: Built
    answer: Callable[[str, int, int | None], Answer]
    asked: list[tuple[str, int, int | None]] = field(default_factory=list)
    dies_at: int = 999

    def __call__(self, request: Request) -> RunReport:
        if len(self.asked) == self.dies_at:
            raise Killed
        bundle = ware(request.bundle)
        against = self.built.numbers[ware(request.against).digest] if request.against is not None else None
        which = request.environment.stem, self.built.numbers[bundle.digest], against
        self.asked.append(which)
        said = self.answer(*which)
        name = bundle.known.identity
        if isinstance(said, str):
            return run(name, verdict=said, why="no answer on port 22")
        measured = replace(profile(10.0 + len(self.asked) / 100), bundle=name)
        return replace(run(name, *said), profile=measured, evaluation=replace(evaluation(), bundle=name))


@dataclass
class Rack:
    """A plan in a folder, whose bundle is replaced from night to night."""

    folder: Path
    built: Built
    now_s: float = 1_795_990_000.0

    def night(self, boards: Boards, bundle: int | Path) -> Night:
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        shutil.copytree(bundle if isinstance(bundle, Path) else self.built.path(bundle), self.folder / "now")
        self.now_s += DAY_S
        return run_night(read_plan(self.folder / "plan.yaml"), boards, Silent(), lambda: self.now_s)


PLAN = """\
boards:
  lead: {environment: lead.yaml, must_pass: true}
  spare: {environment: spare.yaml}
bundles:
  drive: {path: now, between: between}
rest_pass_share: 0
"""


@pytest.fixture
def rack(built: Built, empty_history: Path, tmp_path: Path) -> Rack:
    (tmp_path / "nights").mkdir()
    shutil.copyfile(empty_history, tmp_path / "nights" / "history.db")
    (tmp_path / "plan.yaml").write_text(PLAN)
    for name in ("lead.yaml", "spare.yaml"):
        (tmp_path / name).write_text("targets: {}\n")
    (tmp_path / "between").symlink_to(built.folder)
    (tmp_path / "now").mkdir()
    return Rack(tmp_path, built)


def standings(night: Night) -> list[tuple[str, bool, str]]:
    return [(r.standing, r.moved, r.baseline.revision if r.baseline else "") for r in night.report.results]


def test_each_board_has_a_last_good_of_its_own_and_only_a_pass_moves_it(rack: Rack) -> None:
    boards = Boards(rack.built, lambda board, now, _: "infrastructure" if (board, now) == ("spare", 0) else GOOD)
    first = rack.night(boards, 0)
    assert standings(first) == [("pass", True, ""), ("infrastructure", False, "")]
    assert (first.report.verdict, first.report.exit_code) == ("pass", 0)
    second = rack.night(boards, 1)
    assert [(s, moved) for s, moved, _ in standings(second)] == [("pass", True), ("pass", True)]
    assert boards.asked[-2:] in ([("lead", 1, 0), ("spare", 1, 1)], [("spare", 1, 1), ("lead", 1, 0)])
    boards.answer = lambda board, now, _: SLOW if now == 2 and board == "spare" else GOOD
    third = rack.night(boards, 2)
    assert [(s, moved) for s, moved, _ in standings(third)] == [("pass", True), ("fail", False)]
    rack.night(boards, 3)
    asked = {board: against for board, now, against in boards.asked if now == 3}
    assert asked == {"lead": 2, "spare": 1}


def test_the_search_is_over_the_bundles_between_last_good_and_now(rack: Rack) -> None:
    boards = Boards(rack.built, lambda _, now, __: SLOW if now >= 11 else GOOD)
    rack.night(boards, 1)
    boards.asked.clear()
    found = rack.night(boards, 17)
    assert (found.report.verdict, found.report.exit_code) == ("fail", 1)
    (regression,) = found.report.regressions
    assert [one.revision for one in regression.suspects] == ["11abcde"]
    assert (regression.candidates, len(regression.probes)) == (16, 4)
    assert regression.boards == ("lead", "spare")
    searched = {now for _, now, _ in boards.asked} - {1, 17}
    assert searched <= set(range(2, 17)), "neither what was before last-good nor what came after now"
    assert found.report.runs == len(boards.asked)


def test_the_commit_that_a_bundle_names_is_in_issue_page_and_summary(rack: Rack) -> None:
    """A bundle's own commit comes before what its file is called."""
    for number, commit in ((1, "a" * 40), (2, "b" * 40)):
        variant(rack.built.good, rack.folder / "named" / f"{number}-0123456", number, commit, dirty=number == 2)
        rack.built.numbers[ware(rack.folder / "named" / f"{number}-0123456").digest] = number
    (rack.folder / "plan.yaml").write_text(PLAN.replace("between}", "named}"))
    boards = Boards(rack.built, lambda _, now, against: SLOW if (now, against) == (2, 1) else GOOD)
    for number in (1, 2):
        found = rack.night(boards, rack.folder / "named" / f"{number}-0123456")
    write_files(found)
    good, bad = f"(commit {'a' * 12})", f"(commit {'b' * 12} with changes)"
    (regression,) = found.report.regressions
    assert good in regression.issue
    assert bad in regression.issue
    assert bad in regression.title
    page = (found.folder / "index.html").read_text()
    assert good in page
    assert bad in page
    assert good in (found.folder / "summary.md").read_text()


def test_without_a_folder_the_bundles_of_the_nights_since_are_searched(rack: Rack) -> None:
    (rack.folder / "plan.yaml").write_text(PLAN.replace(", between: between", ""))
    slow = {1: "undecided", 2: "fail", 3: "fail"}
    boards = Boards(
        rack.built, lambda _, now, against: (latency(1.12, slow.get(now, "pass")),) if against == 0 else GOOD
    )
    for number in (0, 1, 2, 3):
        found = rack.night(boards, number)
    (regression,) = found.report.regressions
    assert regression.candidates == 3
    assert [one.identity for one in regression.suspects] == [ware(rack.built.path(n)).known.identity for n in (1, 2)], (
        "the undecided bundle stays a suspect"
    )


def test_the_shelf_keeps_what_a_night_may_ask_for_and_the_newest(rack: Rack) -> None:
    (rack.folder / "plan.yaml").write_text(PLAN.replace(", between: between", "") + "keep: 1\n")
    # The spare board is red from the third to the fifth night: all since its last-good stays, for the search.
    boards = Boards(rack.built, lambda board, now, _: SLOW if board == "spare" and now in (2, 3, 4) else GOOD)
    shelf = rack.folder / "nights" / "bundles"

    def kept_after(number: int) -> list[int]:
        rack.night(boards, number)
        return sorted(rack.built.numbers[path.stem] for path in shelf.iterdir())

    assert kept_after(0) == [0]
    assert kept_after(1) == [0, 1], "what last-good was when the night began stays: the night may be gone on with"
    assert kept_after(2) == [1, 2]
    assert kept_after(3) == [1, 2, 3]
    boards.answer = lambda board, now, _: "infrastructure" if board == "spare" else GOOD
    found = rack.night(boards, 4)
    assert kept_after(5) == [1, 2, 3, 4, 5], "unplugged, and its last-good stays too"
    assert (
        found.report.kept
        == "no bundle removed, 4 kept: the newest 1, and 3 older that a last-good or a search may need"
    )
    boards.answer = lambda *_: GOOD
    assert kept_after(6) == [1, 5, 6]
    found = rack.night(boards, 7)
    assert sorted(rack.built.numbers[path.stem] for path in shelf.iterdir()) == [6, 7]
    assert re.fullmatch(r"2 of 4 bundles removed \(0\.\d MB\), 2 kept: the newest 1, and 1 older .*", found.report.kept)


def test_a_damaged_history_removes_nothing(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    (rack.folder / "plan.yaml").write_text(PLAN.replace(", between: between", "") + "keep: 1\n")
    boards = Boards(rack.built, lambda *_: GOOD)
    rack.night(boards, 0)

    def damaged(book: Book) -> set[str]:
        raise InputError("the run of last-good is gone")

    monkeypatch.setattr(Book, "needed", damaged)
    rack.night(boards, 1)
    found = rack.night(boards, 2)
    assert len(list((rack.folder / "nights" / "bundles").iterdir())) == 3
    assert found.report.kept == "left as they are: the run of last-good is gone"


@pytest.mark.parametrize("dies_at", [1, 6])
def test_a_killed_night_goes_on_where_it_was(rack: Rack, dies_at: int) -> None:
    (rack.folder / "plan.yaml").write_text(PLAN + "parallel: 1\n")
    boards = Boards(rack.built, lambda _, now, __: SLOW if now >= 11 else GOOD)
    rack.night(boards, 1)
    boards.asked.clear()
    boards.dies_at = dies_at
    with pytest.raises(Killed):
        rack.night(boards, 17)
    rack.now_s -= DAY_S / 2
    boards.dies_at = 999
    found = rack.night(boards, 17)
    assert len(boards.asked) == len(set(boards.asked)) == 8, "no run was made twice"
    assert found.report.runs == 8
    assert [one.revision for one in found.report.regressions[0].suspects] == ["11abcde"]


def test_a_finished_night_is_not_gone_on_with(rack: Rack) -> None:
    boards = Boards(rack.built, lambda *_: GOOD)
    first = rack.night(boards, 1)
    (first.folder / NIGHT).write_text("{}")
    rack.now_s -= DAY_S
    second = rack.night(boards, 1)
    assert second.folder != first.folder
    assert len(boards.asked) == 4


@pytest.mark.parametrize(("board", "code"), [("lead", 3), ("spare", 0)])
def test_an_unplugged_board_says_nothing_of_the_bundle(rack: Rack, board: str, code: int) -> None:
    boards = Boards(rack.built, lambda name, *_: "infrastructure" if name == board else GOOD)
    found = rack.night(boards, 1)
    assert found.report.exit_code == code
    assert found.report.regressions == ()


def test_a_flaky_board_is_no_red_night_and_leaves_no_run(rack: Rack) -> None:
    boards = Boards(rack.built, lambda board, now, _: SLOW if board == "lead" and rack.now_s > flaky_from else GOOD)
    flaky_from = rack.now_s + 1.5 * DAY_S
    rack.night(boards, 1)
    found = rack.night(boards, 2)
    assert [one.standing for one in found.report.results] == ["flaky", "pass"]
    assert (found.report.exit_code, found.report.regressions) == (3, ())
    history = History.open(rack.folder / "nights" / "history.db")
    assert len(history.entries("cpu.lead")) == 1, "what it measured is in no series"
    assert len(history.entries("cpu.spare")) == 2


def test_trends_show_a_change_over_the_nights(rack: Rack) -> None:
    boards = Boards(rack.built, lambda *_: GOOD)
    for _ in range(3):
        found = rack.night(boards, 1)
        (found.folder / NIGHT).write_text("{}")
    charts = {(t.board, t.chart.series.metric): len(t.chart.series) for t in found.report.trends}
    assert charts["lead", "latency_p50_ms"] == charts["spare", "latency_p50_ms"] == 3
