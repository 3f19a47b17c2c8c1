"""A plan's mistakes are told with file, line, value and fix; boards and bundles become tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import SpecError
from edgekit_hil.night.plan import read_plan, tasks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.yaml", "b.yaml", "x.edgekit", "y.edgekit"):
        (tmp_path / name).touch()
    (tmp_path / "built").mkdir()
    return tmp_path


def plan(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


WHOLE = """\
boards:
  a: {environment: a.yaml, place: rack-1, must_pass: true, labels: {runner: lab}}
  b: {environment: b.yaml}
bundles:
  x: x.edgekit
  y:
    path: {b: y.edgekit}
    between: {b: built}
rest_pass_share: 0.5
history: https://mlflow.example
"""


def test_bundles_on_boards_become_tasks(folder: Path) -> None:
    read = read_plan(plan(folder, WHOLE))
    assert [(t.board, t.bundle, t.path.name, t.place, t.must_pass) for t in tasks(read)] == [
        ("a", "x", "x.edgekit", "rack-1", True),
        ("b", "x", "x.edgekit", "", False),
        ("b", "y", "y.edgekit", "", False),
    ]
    assert [t.candidates for t in tasks(read)] == [None, None, folder / "built"]
    assert (read.book, read.out) == ("https://mlflow.example", folder / "nights")


def test_a_history_file_lies_beside_the_plan(folder: Path) -> None:
    text = "boards: {a: {environment: a.yaml}}\nbundles: {x: x.edgekit}\n"
    assert read_plan(plan(folder, text)).book == str(folder / "nights" / "history.db")
    assert read_plan(plan(folder, text + "history: h.db\n")).book == str(folder / "h.db")


def test_an_environment_that_comes_along_is_named(folder: Path) -> None:
    read = read_plan(plan(folder, WHOLE.replace("a.yaml", "loopback.yaml")))
    assert read.boards["a"].environment.is_file()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("must_pass", "must_pas", ":2: boards.a.must_pas: unknown key 'must_pas'; did you mean 'must_pass'?"),
        ("a.yaml", "c.yaml", ":2: boards.a.environment: no such file or folder: "),
        ("x: x.edgekit", "x: z.edgekit", ":5: bundles.x.path: no such file or folder: "),
        ("{b: y.edgekit}", "{c: y.edgekit}", ":7: bundles.y.path.c: no board 'c'; allowed: a, b"),
        ("{b: y.edgekit}", "{}", ":7: bundles.y.path: expected a path for one board or more"),
        ("{b: built}", "{b: gone}", ":8: bundles.y.between.b: no such file or folder: "),
        ("0.5", "50", ":9: rest_pass_share: expected 1.0 or less; found 50"),
        ("x: x.edgekit", "x: {path: x.edgekit, dta: .}", ":5: bundles.x.dta: unknown key 'dta'; did you mean 'data'?"),
        ("  x: x.edgekit\n", "", ":2: boards.a: no bundle runs on it; add it to a path of bundles, or leave it out"),
        ("  x: x", "  a b: x", ":5: bundles.a b: expected a name of letters"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(folder: Path, old: str, new: str, said: str) -> None:
    path = plan(folder, WHOLE.replace(old, new, 1))
    with pytest.raises(SpecError) as raised:
        read_plan(path)
    assert any(f"{path}{said}" in problem for problem in raised.value.problems), raised.value.problems


def test_no_plan_no_night(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"plan\.yaml: cannot be read .*name a YAML file"):
        read_plan(tmp_path / "plan.yaml")
    with pytest.raises(SpecError, match=r"plan\.yaml:1: expected a mapping with the keys boards, bundles"):
        read_plan(plan(tmp_path, "- a\n"))
