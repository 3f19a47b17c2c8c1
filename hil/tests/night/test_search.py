"""A regression is led back to the bundle that brought it, among 16 in five runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hil.tests.night.recorded import Recorded, asked, dusk, latency, ware

from edgekit.core.reports import KpiResult
from edgekit_hil.night.judge import Good, Judged, judge
from edgekit_hil.night.report import Regression
from edgekit_hil.night.search import search
from edgekit_hil.night.shelf import Ware

BETWEEN = [ware(i) for i in range(1, 17)]


def since(_: Judged, __: Good) -> list[Ware]:
    return BETWEEN


def night(
    folder: Path, runner: Recorded, boards: tuple[tuple[str, bool], ...] = (("one", True),)
) -> tuple[Regression, ...]:
    judged = [judge(asked(folder, board=b, must_pass=must), runner, "when-red") for b, must in boards]
    runner.asked.clear()
    found, runs = search(judged, since, runner, parallel=2)
    assert runs == len(runner.asked)
    return found


def kpis(now: int, slow_from: int = 99, dull_from: int = 99) -> tuple[KpiResult, ...]:
    return (
        latency(1.12, "fail") if now >= slow_from else latency(1.0, "pass"),
        dusk(0.07, "fail") if now >= dull_from else dusk(0.0, "pass"),
    )


@pytest.mark.parametrize("bad", range(1, 17))
def test_the_bundle_is_named_among_16_in_five_runs(tmp_path: Path, bad: int) -> None:
    runner = Recorded(lambda now, *_: kpis(now, slow_from=bad))
    (found,) = night(tmp_path, runner)
    assert found.suspects == (ware(bad).known,)
    assert len(runner.asked) <= 5
    assert all(against == 0 for _, against in runner.asked), "each candidate runs in turn with last-good"
    assert (found.candidates, found.baseline) == (16, ware(0).known)
    assert found.title == (
        "drive on one: latency_p50_ms 12.0% worse than last-good: 10 -> 11.2 ms (ratio 1.12, interval [1.11, 1.13]), "
        f"since {ware(bad).known}"
    )
    assert found.reproduce.endswith(f"--bundle b{bad:02}.edgekit --against b00.edgekit")


def test_two_regressions_have_two_suspects_and_share_runs(tmp_path: Path) -> None:
    runner = Recorded(lambda now, *_: kpis(now, slow_from=4, dull_from=12))
    slow, dull = night(tmp_path, runner)
    assert (slow.suspects, dull.suspects) == ((ware(4).known,), (ware(12).known,))
    assert dull.findings[0].title == "miou_by_drive (miou) [drive=dusk]"
    assert dull.findings[0].amount == "0.07 worse than last-good: 0.9 -> 0.83 (drop 0.07)"
    assert len(runner.asked) == len(set(runner.asked)) <= 7
    assert (slow.key, dull.key) == (
        "drive-latency-p50-ms-baseline-ratio",
        "drive-miou-by-drive-miou-drive-dusk-baseline-drop",
    ), "keys of one night differ"


def test_limits_with_one_suspect_are_one_regression(tmp_path: Path) -> None:
    (found,) = night(tmp_path, Recorded(lambda now, *_: kpis(now, slow_from=9, dull_from=9)))
    assert [one.title for one in found.findings] == ["latency_p50_ms", "miou_by_drive (miou) [drive=dusk]"]
    assert "and 1 more" in found.title
    assert len(found.probes) == 4


def test_one_search_for_all_boards_on_one_that_must_pass(tmp_path: Path) -> None:
    runner = Recorded(lambda now, *_: kpis(now, slow_from=9))
    (found,) = night(tmp_path, runner, (("spare", False), ("lead", True)))
    assert found.boards == ("spare", "lead")
    assert all(probe.folder.startswith("runs/lead/drive/bisect-") for probe in found.probes)
    assert len(runner.asked) <= 5


def test_a_board_that_dies_leaves_suspects_and_says_so(tmp_path: Path) -> None:
    runner = Recorded(lambda now, *_: kpis(now, slow_from=9) if now in (0, 8, 16) else "infrastructure")
    (found,) = night(tmp_path, runner)
    assert found.suspects == tuple(ware(i).known for i in range(9, 17))
    assert found.why == "the board failed, so the search stopped"
    assert found.title.endswith("in one of 8 bundles")


def test_what_a_flaky_board_says_is_not_searched(tmp_path: Path) -> None:
    assert night(tmp_path, Recorded(lambda *_: kpis(16, slow_from=9))) == ()
