"""A board that does not hold a bundle it held before is flaky; its word on another bundle counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hil.tests.night.recorded import Recorded, asked, dusk, latency, run, ware

from edgekit.core.errors import InputError
from edgekit_hil.night.judge import judge
from edgekit_hil.night.runner import ASKED, RUN, Request
from edgekit_hil.report import RunReport

SLOW = (latency(1.12, "fail"), dusk(0.0, "pass"))
SAME = (latency(1.0, "pass"), dusk(0.0, "pass"))


def test_a_bad_model_on_a_good_board_fails(tmp_path: Path) -> None:
    runner = Recorded(lambda now, _, __: SLOW if now == 16 else SAME)
    found = judge(asked(tmp_path), runner, "when-red")
    assert (found.standing, found.runs) == ("fail", 2)
    assert runner.asked == [(16, 0), (0, 0)], "A/A is last-good against itself"


def test_a_flaky_board_is_told_from_a_bad_model(tmp_path: Path) -> None:
    found = judge(asked(tmp_path), Recorded(lambda *_: SLOW), "when-red")
    assert found.standing == "flaky"
    assert "drive-cpu@000000000000 (commit 0000000) did not hold against itself on this board" in found.why
    assert "latency_p50_ms 12.0% worse than last-good" in found.why


def test_a_board_that_fails_in_the_aa_run_says_nothing(tmp_path: Path) -> None:
    found = judge(asked(tmp_path), Recorded(lambda now, *_: SLOW if now == 16 else "infrastructure"), "when-red")
    assert (found.standing, found.aa is not None) == ("infrastructure", True)


def test_an_undecided_aa_run_takes_no_failure_back(tmp_path: Path) -> None:
    runner = Recorded(lambda now, *_: SLOW if now == 16 else (latency(1.04, "undecided"),))
    assert judge(asked(tmp_path), runner, "when-red").standing == "fail"


def test_a_pass_asks_for_no_aa_run_unless_the_plan_does(tmp_path: Path) -> None:
    runner = Recorded(lambda *_: SAME)
    assert judge(asked(tmp_path / "1"), runner, "when-red").aa is None
    found = judge(asked(tmp_path / "2"), runner, "always")
    assert (found.standing, found.aa is not None) == ("pass", True)
    runner = Recorded(lambda now, *_: SAME if now == 16 else SLOW)
    assert judge(asked(tmp_path / "3"), runner, "always").standing == "flaky"
    assert judge(asked(tmp_path / "4"), Recorded(lambda *_: SLOW), "never").standing == "fail"


def test_last_good_itself_is_its_own_aa_run(tmp_path: Path) -> None:
    runner = Recorded(lambda *_: SLOW)
    assert judge(asked(tmp_path, now=0), runner, "when-red").standing == "flaky"
    assert len(runner.asked) == 1


def test_without_last_good_only_limits_against_the_baseline_tell_of_the_board(tmp_path: Path) -> None:
    from edgekit.core.reports import KpiLimit, KpiResult

    high = KpiResult("latency_p50_ms", 50.0, KpiLimit("max", 33.0), -17.0, "ms", "fail")
    runner = Recorded(lambda *_: (high,))
    assert judge(asked(tmp_path / "1", good=None), runner, "when-red").standing == "fail"
    assert runner.asked == [(16, 16)], "the first bundle is its own baseline and A/A run"
    assert judge(asked(tmp_path / "2", good=None), Recorded(lambda *_: (high, *SLOW)), "when-red").standing == "flaky"


def test_finished_runs_are_not_repeated(tmp_path: Path) -> None:
    runner = Recorded(lambda now, *_: SLOW if now == 16 else SAME)
    judge(asked(tmp_path), runner, "when-red")
    found = judge(asked(tmp_path), runner, "when-red")
    assert (found.standing, len(runner.asked)) == ("fail", 2)
    out = asked(tmp_path).request.out
    (out / "aa" / RUN).write_text((out / "aa" / RUN).read_text()[:100])  # as a full disk would leave it
    judge(asked(tmp_path), runner, "when-red")
    assert runner.asked[2:] == [(0, 0)]
    judge(asked(tmp_path, now=15), runner, "never")
    assert runner.asked[3:] == [(15, 0)], "another bundle in the same folder is run"
    assert (out / ASKED).exists()


def test_a_run_that_was_killed_leaves_none_of_another_bundle_in_its_place(tmp_path: Path) -> None:
    judge(asked(tmp_path, now=15), Recorded(lambda *_: SAME), "never")

    def killed(_: Request) -> RunReport:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(asked(tmp_path), killed, "never")
    runner = Recorded(lambda *_: SAME)
    judge(asked(tmp_path), runner, "never")
    assert runner.asked == [(16, 0)]


def test_a_board_that_failed_is_tried_again(tmp_path: Path) -> None:
    runner = Recorded(lambda _, __, before: SAME if before else "infrastructure")
    assert judge(asked(tmp_path), runner, "when-red").standing == "infrastructure"
    assert judge(asked(tmp_path), runner, "when-red").standing == "pass"


def test_a_bundle_that_was_replaced_during_the_night_is_refused(tmp_path: Path) -> None:
    def other(_: Request) -> RunReport:
        return run(ware(3).known.identity, *SAME)

    with pytest.raises(InputError, match=r"was drive-cpu@161616161616 when the night began, but drive-cpu@030303"):
        judge(asked(tmp_path), other, "when-red")
