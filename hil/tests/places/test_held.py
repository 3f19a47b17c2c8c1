"""Places of a real coordinator: kept apart, given back however a run ends, taken again after a restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hil.tests.support.lab import Lab, lab

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit_hil.places import Hold, held
from tests.support.waiting import PATIENCE_S, until

PLACES = {"orin-a": {"kind": "orin", "desk": "1"}, "orin-b": {"kind": "orin", "desk": "2"}}
CLIENT = """
import signal, sys, time
from edgekit_hil.places import held
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
with held("orin-a", owner="client", coordinator=sys.argv[1], timeout=60) as hold:
    print(hold._keeper.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), PLACES) as started:
        yield started


@pytest.fixture
def free(running: Lab) -> Lab:
    until(lambda: not running.holders(), "that the test before has given its places back")
    return running


class Run(threading.Thread):
    """A run that holds a place until it is told to end."""

    def __init__(self, address: str, place: str = "", owner: str = "run", **tags: str) -> None:
        super().__init__(daemon=True)
        self._wanted = (place, tags, owner, PATIENCE_S, address)
        self.hold: Hold | None = None
        self.end = threading.Event()
        self.told: list[str] = []
        self.start()

    def run(self) -> None:
        with held(*self._wanted, tell=self.told.append) as hold:
            self.hold = hold
            self.end.wait()

    def place(self) -> str:
        until(lambda: self.hold, "that a place is held")
        assert self.hold is not None
        return self.hold.place

    def finish(self) -> None:
        self.end.set()
        self.join(PATIENCE_S)


def test_two_places_at_once_and_the_third_waits(free: Lab) -> None:
    first = Run(free.address, "orin-a", "first@desk.lab")
    assert first.place() == "orin-a"
    second = Run(free.address, owner="second", kind="orin")
    assert second.place() == "orin-b"
    third = Run(free.address, owner="third", kind="orin")
    until(lambda: third.told, "that the third is told why it waits")
    assert "orin-b is held by" in third.told[0], third.told
    assert set(free.holders()) == {"orin-a", "orin-b"}
    assert third.hold is None
    second.finish()
    assert third.place() == "orin-b"
    assert free.holders()["orin-b"].partition("/")[2].startswith("third.")
    for run in (first, third):
        run.finish()
    assert not free.holders()
    assert not free.reservations()


def test_given_back_after_an_exception(free: Lab) -> None:
    def fails() -> None:
        with held("orin-a", coordinator=free.address) as hold:
            assert hold.token in free.reservations()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not free.holders()
    assert not free.reservations()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_given_back_after_the_run_was_killed(free: Lab, number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", CLIENT, free.address], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        client.stdout.readline()
        assert "orin-a" in free.holders()
        client.send_signal(number)
        assert client.wait(PATIENCE_S) != 0
    until(lambda: not free.holders() and not free.reservations(), "that the place is given back")


def test_what_a_killed_keeper_held_is_taken_by_the_next(free: Lab) -> None:
    with subprocess.Popen([sys.executable, "-c", CLIENT, free.address], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        os.kill(int(client.stdout.readline()), signal.SIGKILL)
        client.kill()
    assert "orin-a" in free.holders()
    with held("orin-a", owner="next", timeout=PATIENCE_S, coordinator=free.address):
        assert free.holders()["orin-a"].partition("/")[2].startswith("next.")


def test_taken_again_after_a_restart(free: Lab) -> None:
    run = Run(free.address, "orin-a", "run")
    run.place()
    assert run.hold is not None
    before = run.hold.token
    free.kill()
    until(lambda: run.hold is not None and "went away" in run.hold.lost, "that the loss is noticed")
    free.start()
    until(lambda: run.hold is not None and not run.hold.lost, "that the place is held again")
    assert free.holders()["orin-a"].partition("/")[2].startswith("run.")
    assert run.hold.token != before
    run.finish()
    assert not free.holders()


def test_one_that_waits_is_not_forgotten_by_a_restart(free: Lab) -> None:
    first, second = Run(free.address, "orin-a", "first"), Run(free.address, "orin-a", "second")
    until(lambda: first.hold or second.hold, "that one of them holds the place")
    holder, waiter = (first, second) if first.hold else (second, first)
    until(lambda: waiter.told, "that the other waits")
    free.kill()
    free.start()
    until(lambda: holder.hold is not None and len(holder.hold.events) > 2 and not holder.hold.lost, "that it is back")
    assert waiter.hold is None
    holder.finish()
    assert waiter.place() == "orin-a"
    waiter.finish()


def test_who_has_it_now_is_reported_and_the_place_is_taken_when_it_is_free(free: Lab) -> None:
    run = Run(free.address, "orin-a", "run")
    run.place()
    assert run.hold is not None
    keeper = run.hold._keeper
    keeper.send_signal(signal.SIGSTOP)
    try:
        free.kill()
        free.start()
        until(lambda: free.client("resources").count("NetworkService") == len(PLACES), "that boards are exported")
        free.client("-p", "orin-a", "acquire")
    finally:
        keeper.send_signal(signal.SIGCONT)
    until(lambda: run.hold is not None and "desk/somebody has it now" in run.hold.lost, "that the other is named")
    free.client("-p", "orin-a", "release")
    until(lambda: run.hold is not None and not run.hold.lost, "that the place is held again")
    run.finish()


def test_this_user_may_use_the_place_too(free: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_HOSTNAME", "desk")
    monkeypatch.setenv("LG_USERNAME", "somebody")
    with held("orin-a", coordinator=free.address):
        assert "allowed: desk/somebody" in free.client("-p", "orin-a", "show")


def test_wrong_places_and_tags_are_the_users(free: Lab) -> None:
    with (
        pytest.raises(InputError, match="no place 'orin-c'; did you mean orin-b, orin-a"),
        held("orin-c", coordinator=free.address),
    ):
        pass
    with (
        pytest.raises(InputError, match="no place has the tags kind=xavier; there are orin-a: desk=1 kind=orin"),
        held(tags={"kind": "xavier"}, coordinator=free.address),
    ):
        pass
    with (
        pytest.raises(InputError, match=r"no place has the tags desk=2; there are orin-a: desk=1 kind=orin$"),
        held("orin-a", {"desk": "2"}, coordinator=free.address),
    ):
        pass
    with pytest.raises(InputError, match="name a place"), held(coordinator=free.address):
        pass
    with pytest.raises(InputError, match="owner 'a/b': expected letters"), held("orin-a", owner="a/b"):
        pass


def test_no_coordinator_is_of_this_machine() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (
        pytest.raises(EnvironmentFault, match=f"no labgrid coordinator answers at {address}") as caught,
        held("orin-a", coordinator=address),
    ):
        pass
    assert caught.value.exit_code == 3


def test_a_place_that_does_not_become_free_says_who_has_it(free: Lab) -> None:
    with (
        held("orin-a", owner="first", coordinator=free.address),
        pytest.raises(EnvironmentFault, match=r"no place in 0\.5 s; in the queue; orin-a is held by .*/first"),
        held("orin-a", owner="second", coordinator=free.address, timeout=0.5),
    ):
        pass
    assert not free.reservations()


def test_a_place_without_its_exporter_is_not_taken(tmp_path: Path) -> None:
    with (
        lab(tmp_path, PLACES, export=False) as running,
        pytest.raises(
            EnvironmentFault,
            match="no exporter offers rack/orin-a/NetworkService of place orin-a; is labgrid-exporter running",
        ),
        held("orin-a", coordinator=running.address, timeout=2),
    ):
        pass
