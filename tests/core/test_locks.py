"""Locks: one process at a time, another result is nobody's business, a killed process holds nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from edgekit.core.errors import OutputError
from edgekit.core.locks import locked
from tests.support.shell import line_of, python, send

_HOLD = """
import sys
from pathlib import Path
from edgekit.core.locks import locked

with locked(Path(sys.argv[1])):
    print("inside", flush=True)
    sys.stdin.readline()
print("outside", flush=True)
"""

_COUNT = """
import sys
from pathlib import Path
from edgekit.core.locks import locked

file = Path(sys.argv[1])
for _ in range(200):
    with locked(file):
        file.write_text(str(int(file.read_text()) + 1))
"""


def test_another_process_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    result = tmp_path / "made" / "engine"
    with python(_HOLD, str(result)) as other:
        with locked(tmp_path / "other"):
            assert line_of(other.stdout) == "inside"
        send(other)
        assert line_of(other.stdout) == "outside"
    assert not result.parent.exists()  # neither the file is left, nor the folder that was made for it
    with locked(result), python(_HOLD, str(result)) as other:
        assert line_of(other.stderr) == f"waiting for another edgekit (process {os.getpid()}), which makes {result}"
    with python(_HOLD, str(result)) as other:
        assert line_of(other.stdout) == "inside"


def test_who_waited_goes_on_when_the_lock_is_free(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with locked(tmp_path / "a"):
            other = stack.enter_context(python(_HOLD, str(tmp_path / "a")))
            assert "waiting" in line_of(other.stderr)
        assert line_of(other.stdout) == "inside"
        send(other)
        assert line_of(other.stdout) == "outside"
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing_and_its_file_is_taken_over(tmp_path: Path) -> None:
    with python(_HOLD, str(tmp_path / "a")) as other:
        assert line_of(other.stdout) == "inside"
        other.kill()
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    with locked(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_many_processes_that_take_turns_lose_no_count(tmp_path: Path) -> None:
    """The file of a lock is removed and made anew all the time: two must never hold two of them."""
    file = tmp_path / "count"
    file.write_text("0")
    with (
        python(_COUNT, str(file)) as first,
        python(_COUNT, str(file)) as second,
        python(_COUNT, str(file)) as third,
    ):
        processes = (first, second, third)
        for process in processes:
            process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert file.read_text() == "600"


def test_threads_of_one_process_take_turns_too(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(100):
            with locked(tmp_path / "a"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), locked(tmp_path / "a"):
        raise RuntimeError("stop")
    with locked(tmp_path / "a"):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with (
        pytest.raises(OutputError, match=r"cannot lock .*a: no locks available; choose a folder on a local disk"),
        locked(tmp_path / "a"),
    ):
        pass
    assert len(os.listdir("/proc/self/fd")) == before  # nothing stays open


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/a"), locked(tmp_path / "file" / "a"):
        pass
