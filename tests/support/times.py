"""How long the tests of each room take, against the room's budget; and which tests are too slow for ``make check``.

``tests/budgets.yaml`` holds the budgets, ``tests/times.json`` what was measured.  A budget is shown and not asserted: a
busy machine fails nothing.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support import warm

HERE = Path(__file__).parents[1]
BUDGETS, TIMES = HERE / "budgets.yaml", HERE / "times.json"


def room_of(nodeid: str) -> str:
    """The folder of a test, from the root of the repository: ``tests/engine/trt``; ``tests`` for the files on top."""
    return nodeid.split("::")[0].rpartition("/")[0]


def function_of(nodeid: str) -> str:
    """The test without its parameters."""
    return nodeid.partition("[")[0]


@dataclass(frozen=True)
class Budget:
    """Minutes of ``make test`` that the folders of a group may take; the group without folders has all others."""

    name: str
    minutes: float
    folders: tuple[str, ...] = ()

    def covers(self, room: str) -> bool:
        return any(room == folder or room.startswith(f"{folder}/") for folder in self.folders)


def budgets(path: Path = BUDGETS) -> tuple[Budget, ...]:
    """The groups; the one that has what no other names comes first.

    Raises:
        ValueError: none, or more than one, is without folders.
    """
    groups = YAML(typ="safe").load(path)["budgets"]
    found = tuple(Budget(name, one["minutes"], tuple(one.get("folders", ()))) for name, one in groups.items())
    rest = [budget for budget in found if not budget.folders]
    if len(rest) != 1:
        raise ValueError(f"{path}: {len(rest)} budgets name no folders; expected one, for what the others leave")
    return (*rest, *(budget for budget in found if budget.folders))


def group_of(room: str, groups: Sequence[Budget]) -> Budget:
    """The budget that a room counts for; ``groups`` as :func:`budgets` gives them."""
    return next((budget for budget in groups[1:] if budget.covers(room)), groups[0])


@dataclass
class Times:
    """Seconds of every test: set-up, call and teardown, over all workers."""

    workers: int
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, nodeid: str, duration: float) -> None:
        self.seconds[function_of(nodeid)] += duration

    def rooms(self) -> dict[str, float]:
        """Seconds by room; the slowest first."""
        found: dict[str, float] = defaultdict(float)
        for nodeid, seconds in self.seconds.items():
            found[room_of(nodeid)] += seconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def lines(self, groups: Sequence[Budget]) -> Iterable[str]:
        """Each room's seconds of test time, under its budget in minutes of the clock: test time over workers."""
        rooms = self.rooms()
        for budget in groups:
            own = {room: seconds for room, seconds in rooms.items() if group_of(room, groups) is budget}
            if own:
                minutes = sum(own.values()) / self.workers / 60
                over = "" if minutes <= budget.minutes else "   OVER"
                yield f"{budget.name}: {minutes:.1f} of {budget.minutes:g} minutes{over}"
                yield from (f"  {seconds:8.1f} s  {room}" for room, seconds in own.items())

    def slow(self, above: float) -> dict[str, float]:
        """Tests that took more than so many seconds, as ``tests/times.json`` holds them."""
        return {name: round(seconds, 1) for name, seconds in sorted(self.seconds.items()) if seconds > above}


@dataclass(frozen=True)
class Slow:
    """The tests that ``make check`` leaves out: those above ``limit_s``, and all of some folders, or files."""

    limit_s: float
    seconds: Mapping[str, float]
    places: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path = TIMES) -> Slow:
        found = json.loads(path.read_text("utf-8"))
        return cls(found["fast_s"], found["seconds"], tuple(found["left_out"]))

    def __contains__(self, nodeid: str) -> bool:
        file = nodeid.partition("::")[0]
        if any(file == place or file.startswith(f"{place}/") for place in self.places):
            return True
        return self.seconds.get(function_of(nodeid), 0.0) > self.limit_s


class RoomTimes:
    """Sums the times where reports of all workers arrive and prints them below everything but pytest's summary."""

    def __init__(self, workers: int) -> None:
        self._times = Times(max(workers, 1))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._times.add(report.nodeid, report.duration)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("time by room", sep="-")
        for line in self._times.lines(budgets()):
            terminalreporter.write_line(line)


class CpuTimes:
    """Measures tests in CPU seconds of this process and its children, which other work on the machine hardly changes.

    At the end those that ran replace their values in the file; what took less than a second is not listed.
    """

    LISTED_S = 1.0

    def __init__(self, path: Path = TIMES) -> None:
        self._path = path
        self._times = Times(1)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before = self._spent()
        result = yield
        self._times.add(item.nodeid, self._spent() - before)
        return result

    @staticmethod
    def _spent() -> float:
        return sum(os.times()[:4]) + warm.cpu_s()

    def pytest_sessionfinish(self) -> None:
        document = json.loads(self._path.read_text("utf-8"))
        kept = {name: s for name, s in document["seconds"].items() if name not in self._times.seconds}
        document["seconds"] = dict(sorted((kept | self._times.slow(self.LISTED_S)).items()))
        self._path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
