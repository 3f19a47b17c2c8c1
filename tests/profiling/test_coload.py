"""Co-load: other cores are busy inside, nobody is left behind, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from edgekit.core.errors import CheckFailed, EnvironmentFault, InputError
from edgekit.profiling import co_load
from tests.support.waiting import until

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two places for children, also where the tests themselves run on one core."""
    if len(CORES) < 2:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {CORES[0], -1})
        monkeypatch.setattr("edgekit.profiling._coload.sorted", lambda found: [-1, CORES[0]], raising=False)
        return [-1, CORES[0]]
    return CORES


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_one_busy_child_on_each_other_core(cores: list[int]) -> None:
    before = children()
    with co_load() as busy:
        made = [child for child in children() if child not in before]
        assert busy == tuple(cores[1:])
        assert sorted(child.cpu_affinity() for child in made) == [[core] for core in busy]
        used = [child.cpu_times().user for child in made]
        until(lambda: all(c.cpu_times().user > u for c, u in zip(made, used, strict=True)), "that every child is busy")
    assert not any(child.is_running() for child in made)


def test_children_end_when_the_block_fails(cores: list[int]) -> None:
    before, made = children(), list[psutil.Process]()

    def fail() -> None:
        with co_load():
            made.extend(child for child in children() if child not in before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert made
    assert not any(child.is_running() for child in made)


def test_a_child_that_died_is_said(cores: list[int]) -> None:
    before = children()

    def kill_one() -> None:
        with co_load():
            victim = next(child for child in children() if child not in before)
            victim.kill()
            # Until all its threads are gone; psutil's own wait would take the exit code away.
            os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(CheckFailed, match=r"core \d+ ended with -9 before the measurement did"):
        kill_one()


def test_children_end_with_a_parent_that_is_killed() -> None:
    script = (
        "import os, psutil\n"
        "os.sched_getaffinity = lambda pid: {-1, *sorted(psutil.Process().cpu_affinity())[-1:]}\n"
        "from edgekit.profiling import co_load\n"
        "with co_load():\n"
        "    print(*(c.pid for c in psutil.Process().children()), flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert pids
    until(lambda: not any(map(_alive, pids)), "that the children are gone")


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_no_other_core() -> None:
    with pytest.raises(EnvironmentFault, match=rf"needs a core besides the engine's {len(CORES)}"), co_load(len(CORES)):
        pytest.fail("the block must not run")
    with pytest.raises(InputError, match="leaves 0 cores free"), co_load(0):
        pytest.fail("the block must not run")
