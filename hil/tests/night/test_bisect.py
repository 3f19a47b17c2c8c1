"""Each of 16 bundles is named in five runs or fewer; what cannot be decided leaves suspects, not a guess."""

from __future__ import annotations

import pytest

from edgekit_hil.night.bisect import bisect, most_runs
from edgekit_hil.night.report import Reading


@pytest.mark.parametrize("count", range(1, 18))
def test_every_bad_bundle_is_named_in_the_runs_that_halving_takes(count: int) -> None:
    for bad in range(count):
        found = bisect(count, lambda i, _, bad=bad: "bad" if i >= bad else "good")  # type: ignore[misc]
        assert (found.first, found.last) == (bad, bad)
        assert found.read <= max(0, most_runs(count) - 1)
    assert most_runs(16) == 5


@pytest.mark.parametrize("bad", range(16))
@pytest.mark.parametrize("odd", ["undecided", "infrastructure"])
def test_one_run_that_says_nothing_is_repeated_within_five(bad: int, odd: Reading) -> None:
    asked: list[tuple[int, int]] = []

    def read(index: int, time: int) -> Reading:
        asked.append((index, time))
        return odd if len(asked) == 1 else "bad" if index >= bad else "good"

    found = bisect(16, read)
    assert (found.first, found.last) == (bad, bad)
    assert found.read == len(asked) <= 5
    assert asked[:2] == [(asked[0][0], 0), (asked[0][0], 1)]


def test_a_bundle_that_stays_undecided_is_a_suspect_with_the_bad_one_after_it() -> None:
    found = bisect(16, lambda i, _: "undecided" if i == 7 else "bad" if i >= 8 else "good", most=10)
    assert (found.first, found.last) == (7, 8)
    assert found.why == "1 of the bundles stayed undecided"


def test_runs_that_are_used_up_leave_what_is_left() -> None:
    found = bisect(16, lambda *_: "undecided")
    assert (found.first, found.last, found.read) == (0, 15, 5)
    assert found.why == "the 5 runs that the search may take were used"


def test_a_board_that_fails_twice_ends_the_search() -> None:
    answers = iter(["bad", "infrastructure", "infrastructure"])
    found = bisect(16, lambda *_: next(answers))  # type: ignore[arg-type, return-value]
    assert (found.first, found.last, found.read) == (0, 7, 3)
    assert found.why == "the board failed, so the search stopped"
