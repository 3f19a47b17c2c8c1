"""Which tests a mutant is asked: those of its room that ran the changed lines, measured once on unchanged code.

As a pytest plugin (``-p benchmarks.mutant_tests``) it writes the seconds of each test to the file that ``SECONDS``
names.  Lines come of coverage.py's contexts, one a test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SECONDS = "EDGEKIT_MUTANTS_SECONDS"
QUIET = ["-q", "-o", "addopts="]

_seconds: dict[str, float] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish() -> None:
    Path(os.environ[SECONDS]).write_text(json.dumps(_seconds), "utf-8")


@dataclass(frozen=True)
class Trace:
    """A room's tests on unchanged code: seconds of each, and by file and line (as text) which of them ran it."""

    seconds: Mapping[str, float]
    ran: Mapping[str, Mapping[str, Sequence[str]]]

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    def chosen(self, file: str, lines: Collection[int] | None, text_of: Mapping[str, str]) -> list[str]:
        """Tests in the order in which they are asked: nearest files first, in a file the fast ones first.

        Of ``lines`` (None: run when the file is imported) those that ran one, and then the others of the same files,
        which may share what a fixture made; all of the room where no test is known to have run them.

        Args:
            file: the changed file, relative to the root.
            lines: what :func:`benchmarks.mutant_places.lines_of` says of the change.
            text_of: the source of each file of tests.
        """
        by_line = self.ran.get(file, {})
        met = {test for line in lines or () for test in by_line.get(str(line), ())}
        files = {_file_of(test) for test in met}
        beside = {test for test in self.seconds if _file_of(test) in files or not met}

        def place(test: str) -> tuple[bool, bool, bool, float, str, float]:
            where = _file_of(test)
            alike, mentions = nearness(file, where, text_of[where])
            group = sum(self.seconds[one] for one in (met or beside) if _file_of(one) == where)
            return test not in met, not alike, not mentions, group, where, self.seconds[test]

        return sorted(beside, key=place)


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def nearness(file: str, test: str, text: str) -> tuple[bool, bool]:
    """Whether a file of tests is named like the changed file, and whether it imports it."""
    stem = Path(file).stem
    return stem in Path(test).stem, f"{Path(file).parent.name}.{stem}" in text or f"import {stem}" in text


def trace(tree: Path, tests: Sequence[str], files: Sequence[str], work: Path) -> Trace:
    """Run a room's tests on unchanged code and write down what each takes and runs.

    Args:
        tree: the code; a folder whose ``benchmarks`` holds this file.
        tests: folders and files of the room, relative to ``tree``.
        files: what is changed in the room, relative to ``tree``.
        work: a folder for what coverage.py and the plugin write.

    Raises:
        SystemExit: the tests fail there, so they can judge no mutant.
    """
    from coverage import CoverageData

    work.mkdir(parents=True, exist_ok=True)
    (work / "coverage.ini").write_text("[run]\nsource = src/edgekit\n", "utf-8")  # no branches, no subprocesses
    data, seconds = work / "coverage", work / "seconds.json"
    data.unlink(missing_ok=True)
    cover = ["--cov", f"--cov-config={work / 'coverage.ini'}", "--cov-context=test", "--cov-report="]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, "-p", "benchmarks.mutant_tests", *cover, *tests],
        env=os.environ | {"COVERAGE_FILE": str(data), SECONDS: str(seconds)},
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{tests}: they fail on unchanged code, so they can judge no mutant\n{done.stdout}{done.stderr}")
    measured = CoverageData(str(data))
    measured.read()
    ran = {}
    for file in files:
        contexts = measured.contexts_by_lineno(str(tree / file))
        ran[file] = {
            str(line): sorted({test for one in names if (test := one.rpartition("|")[0])})
            for line, names in contexts.items()
        }
    return Trace(json.loads(seconds.read_text("utf-8")), ran)


def kept(path: Path) -> Trace | None:
    """The trace that :func:`keep` wrote."""
    return Trace(**json.loads(path.read_text("utf-8"))) if path.exists() else None


def keep(path: Path, traced: Trace) -> None:
    path.write_text(json.dumps(asdict(traced)), "utf-8")
