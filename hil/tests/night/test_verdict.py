"""The fleet's rule: who must pass, what share of the rest, and what a board without a word means."""

from __future__ import annotations

import pytest

from edgekit_hil.night.report import BoardResult, Known, Standing
from edgekit_hil.night.verdict import fleet, worst

LETTERS: dict[str, Standing] = {
    "p": "pass", "f": "fail", "u": "undecided", "k": "flaky", "i": "infrastructure",
}  # fmt: skip


def result(index: int, letter: str) -> BoardResult:
    standing = LETTERS[letter.lower()]
    return BoardResult(f"b{index}", "x", Known("x-cpu@1"), standing, "so", letter.isupper(), "runs")


@pytest.mark.parametrize(
    ("boards", "share", "verdict"),
    [
        # Upper case: must pass.
        ("PP", 1.0, "pass"),
        ("PF", 0.0, "fail"),
        ("PU", 1.0, "undecided"),
        ("PK", 1.0, "infrastructure"),
        ("PI", 1.0, "infrastructure"),
        ("FI", 1.0, "fail"),
        ("Pffpp", 0.5, "pass"),
        ("Pffpp", 0.6, "fail"),
        ("ppppppppff", 0.8, "pass"),
        ("pppppppfff", 0.7, "pass"),
        ("pppppppfff", 0.71, "fail"),
        ("pi", 0.5, "pass"),
        ("pi", 1.0, "infrastructure"),
        ("pk", 1.0, "infrastructure"),
        ("pu", 1.0, "undecided"),
        ("pui", 1.0, "undecided"),
        ("pui", 0.6, "infrastructure"),
        ("pff", 1.0, "fail"),
        ("iiff", 0.75, "fail"),
        ("Fp", 1.0, "fail"),
        ("Pf", 0.0, "pass"),
    ],
)
def test_the_rule(boards: str, share: float, verdict: str) -> None:
    assert fleet("x", [result(i, letter) for i, letter in enumerate(boards)], share).verdict == verdict


def test_the_rule_names_the_boards_that_decided() -> None:
    said = fleet("x", [result(i, letter) for i, letter in enumerate("PFi")], 1.0).why
    assert said == "b1 must pass and is fail: so"
    said = fleet("x", [result(i, letter) for i, letter in enumerate("Ppf")], 1.0).why
    assert said == "1 of 2 other boards passed, 2 have to (b2 fail)"
    assert fleet("x", [result(0, "P")], 1.0).why == "all 1 boards that must pass did"


def test_the_worst_of_several() -> None:
    assert worst(["pass", "infrastructure"]) == "infrastructure"
    assert worst(["undecided", "infrastructure"]) == "undecided"
    assert worst(["undecided", "fail"]) == "fail"
    assert worst([]) == "pass"
