"""Which tests a mutant is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import mutant_tests
from benchmarks.mutant_tests import Trace

TRACE = Trace(
    {
        "tests/x/test_other.py::slow": 9.0,
        "tests/x/test_other.py::fast": 1.0,
        "tests/x/test_near.py::ran": 5.0,
        "tests/x/test_near.py::beside": 1.0,
        "tests/x/test_far.py::never": 0.1,
    },
    {
        "src/x/near.py": {
            "4": ["tests/x/test_other.py::fast", "tests/x/test_other.py::slow"],
            "5": ["tests/x/test_near.py::ran"],
        }
    },
)
TEXTS = {f"tests/x/test_{name}.py": "" for name in ("other", "near", "far")}


def test_those_that_ran_the_lines_come_first_and_then_others_of_their_files() -> None:
    assert TRACE.chosen("src/x/near.py", [4, 5], TEXTS) == [
        "tests/x/test_near.py::ran",
        "tests/x/test_other.py::fast",
        "tests/x/test_other.py::slow",
        "tests/x/test_near.py::beside",
    ]


@pytest.mark.parametrize("lines", [None, [7]])
def test_all_are_asked_where_none_is_known_to_have_run_the_lines(lines: list[int] | None) -> None:
    found = TRACE.chosen("src/x/near.py", lines, TEXTS)
    assert found == [
        "tests/x/test_near.py::beside",
        "tests/x/test_near.py::ran",
        "tests/x/test_far.py::never",
        "tests/x/test_other.py::fast",
        "tests/x/test_other.py::slow",
    ]


def test_a_file_that_imports_the_changed_one_is_near() -> None:
    assert mutant_tests.nearness("src/x/near.py", "tests/x/test_far.py", "from x.near import f") == (False, True)
    assert mutant_tests.nearness("src/x/near.py", "tests/x/test_near.py", "") == (True, False)


def test_a_trace_names_the_tests_of_each_line(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name, text in {
        "src/edgekit/__init__.py": "",
        "src/edgekit/one.py": "def f(a):\n    if a:\n        return 1\n    return 2\n",
        "tests/test_one.py": (
            "import sys\nsys.path.insert(0, 'src')\nimport pytest\n"
            "from edgekit.one import f\n@pytest.mark.parametrize('a', [0, 'x|y'])\ndef test_f(a):\n    assert f(a)\n"
        ),
        "benchmarks/mutant_tests.py": Path(mutant_tests.__file__).read_text("utf-8"),
        "pytest.ini": "[pytest]\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    traced = mutant_tests.trace(tree, ["tests"], ["src/edgekit/one.py"], tmp_path / "work")
    mutant_tests.keep(tmp_path / "kept.json", traced)
    assert mutant_tests.kept(tmp_path / "kept.json") == traced
    truth, falsehood = "tests/test_one.py::test_f[x|y]", "tests/test_one.py::test_f[0]"
    assert set(traced.seconds) == {truth, falsehood}
    lines = traced.ran["src/edgekit/one.py"]
    assert lines["2"] == sorted([truth, falsehood])
    assert (lines["3"], lines["4"]) == ([truth], [falsehood])
    (tree / "tests" / "test_one.py").write_text("def test_f():\n    assert False\n")
    with pytest.raises(SystemExit, match="they fail on unchanged code"):
        mutant_tests.trace(tree, ["tests"], ["src/edgekit/one.py"], tmp_path / "work")


def test_nothing_is_kept_yet(tmp_path: Path) -> None:
    assert mutant_tests.kept(tmp_path / "kept.json") is None
