"""What the last lines of ``make test`` say, and what ``make check`` leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.times import Budget, Slow, Times, budgets, function_of, group_of, room_of

REST, ENGINES = Budget("what was there", 2), Budget("CPU engines", 1, ("tests/engine/ov",))


def test_rooms_and_functions_of_tests() -> None:
    assert room_of("tests/engine/trt/test_a.py::TestB::test_c[x/y]") == "tests/engine/trt"
    assert room_of("tests/test_doctor.py::test_a") == "tests"
    assert function_of("tests/a.py::test_b[c[0]]") == "tests/a.py::test_b"


def test_a_room_counts_for_the_budget_that_names_its_folder() -> None:
    groups = (REST, ENGINES)
    assert group_of("tests/engine/ov", groups) is ENGINES
    assert group_of("tests/engine/ov/deeper", groups) is ENGINES
    assert group_of("tests/engine/ovens", groups) is REST
    assert group_of("tests/stages", groups) is REST


def test_lines_say_what_each_room_took_of_its_budget() -> None:
    times = Times(workers=2)
    for name, seconds in (("tests/stages/a.py::x[1]", 100.0), ("tests/stages/a.py::x[2]", 80.0)):
        times.add(name, seconds)
    times.add("tests/core/a.py::x", 12.0)
    times.add("tests/engine/ov/a.py::x", 180.0)
    assert list(times.lines((REST, ENGINES))) == [
        "what was there: 1.6 of 2 minutes",
        "     180.0 s  tests/stages",
        "      12.0 s  tests/core",
        "CPU engines: 1.5 of 1 minutes   OVER",
        "     180.0 s  tests/engine/ov",
    ]
    assert times.slow(50) == {"tests/stages/a.py::x": 180.0, "tests/engine/ov/a.py::x": 180.0}


def test_the_budgets_are_those_of_the_file() -> None:
    first, *others = budgets()
    assert first.folders == ()
    assert all(group.folders for group in others)


@pytest.mark.parametrize(
    "text", ["budgets: {a: {minutes: 1, folders: [b]}}", "budgets: {a: {minutes: 1}, b: {minutes: 2}}"]
)
def test_one_budget_has_what_no_other_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"budgets name no folders; expected one"):
        budgets(tmp_path / "b.yaml")


def test_fast_is_what_was_measured_below_the_limit_or_not_at_all() -> None:
    slow = Slow(1.0, {"tests/a.py::x": 1.5, "tests/a.py::y": 0.9}, ("tests/heavy",))
    found = {
        name: name in slow for name in ("tests/a.py::x[1]", "tests/a.py::y", "tests/a.py::new", "tests/heavy/b.py::z")
    }
    assert found == {
        "tests/a.py::x[1]": True,
        "tests/a.py::y": False,
        "tests/a.py::new": False,
        "tests/heavy/b.py::z": True,
    }
