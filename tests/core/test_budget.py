"""A time budget on a clock that the test sets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from edgekit.core.budget import Budget, OutOfTime, in_words, seconds_of
from edgekit.core.errors import InputError


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800), (" 2m30s ", 150), ("1h1m1s", 3661)],
)
def test_forms(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "0m", "-5m", "10 minutes", "1m1h", "nan", "10ms", "1e3s"])
def test_what_is_no_time_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError, match=r"--budget: '.*' is no time; give hours, minutes or seconds, e\.g\. 10m"):
        seconds_of(text)


def test_what_is_left() -> None:
    clock = Clock()
    budget = Budget(60, clock)
    assert (budget.limited, budget.left) == (True, 60)
    clock.now += 45
    assert budget.left == 15
    clock.now += 45
    assert budget.left == 0
    assert (Budget().limited, Budget().left) == (False, math.inf)


def test_work_gives_up_when_it_sees_the_end() -> None:
    clock = Clock()
    step = Budget(100, clock).pace(50, "frames", share=0.7)
    for _ in range(2):
        clock.now += 2
        step()
    clock.now += 2
    with pytest.raises(OutOfTime, match=r"^50 frames would take about 100 s, 70 s were left for them$"):
        step()


def test_work_that_fits_is_left_alone_to_its_last_step() -> None:
    clock = Clock()
    step = Budget(100, clock).pace(50, "frames", share=0.7)
    for _ in range(50):
        clock.now += 1.39
        step()
    clock.now += 1000
    step()  # what is done is done
    endless = Budget(math.inf, clock).pace(3, "frames")
    for _ in range(3):
        clock.now += 1e9
        endless()


def test_a_slow_step_ends_it_before_the_pace_is_known() -> None:
    clock = Clock()
    step = Budget(10, clock).pace(50, "frames")
    clock.now += 11
    with pytest.raises(OutOfTime):
        step()


def test_room_for_another_part() -> None:
    clock = Clock()
    fits = Budget(100, clock).room(0.5)
    clock.now += 30
    assert fits(2)  # 15 s each
    clock.now += 10
    assert not fits(3)
    assert Budget(math.inf, clock).room()(1)


@pytest.mark.parametrize(("seconds", "words"), [(0.52, "0.52 s"), (45, "45 s"), (700, "12 min"), (9000, "2.5 h")])
def test_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
