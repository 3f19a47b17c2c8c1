"""Which mutants count, and which lines run where one is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.mutant_places import counts, lines_of


def change(start: tuple[int, int] = (1, 0), operator: str = "core/NumberReplacer") -> Any:
    return SimpleNamespace(operator_name=operator, start_pos=start)


def test_annotations_are_no_code() -> None:
    source = "def f(a: int | None) -> str | None:\n    b: int | str = 1 | 2\n    return a | b\n"
    bars = [(row, at) for row, line in enumerate(source.splitlines(), 1) for at, c in enumerate(line) if c == "|"]
    assert [start for start in bars if counts(change(start), source)] == [
        (2, 21),
        (3, 13),
    ]


@pytest.mark.parametrize(
    ("source", "operator", "counted"),
    [
        ("a == 'x'", "core/ReplaceComparisonOperator_Eq_Is", False),
        ("a != 3", "core/ReplaceComparisonOperator_NotEq_IsNot", False),
        ("a == 'x'", "core/ReplaceComparisonOperator_Eq_Lt", True),
        ("a == b", "core/ReplaceComparisonOperator_Eq_Is", True),
        ("a is not None", "core/ReplaceComparisonOperator_IsNot_Is", True),
    ],
)
def test_what_lint_refuses_needs_no_test(source: str, operator: str, counted: bool) -> None:
    assert counts(change(operator=operator), source) == counted


SOURCE = """\
LIMIT = 3

@decorated(
    1
)
def outer(
    a=2,
):
    if (
        a > LIMIT
    ):
        try:
            return a
        except ValueError:
            return (
                -a
            )

    def inner(b=4):
        return b
    match a:
        case 5:
            return inner()
"""


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (1, None),
        (4, None),
        (7, None),
        (10, [9, 10, 11]),
        (12, [12]),
        (13, [13]),
        (14, [14]),
        (16, [15, 16, 17]),
        (19, [19]),
        (20, [20]),
        (22, [21, 22]),
    ],
)
def test_lines_of_a_change(line: int, lines: list[int] | None) -> None:
    assert lines_of(SOURCE, line) == lines
