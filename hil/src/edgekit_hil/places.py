"""A place of labgrid's coordinator, held for as long as a ``with`` block runs.

A process of its own holds it (``keeper.py``).  It outlives whoever asked, by the moment it takes to give the place
back: however the run ends, SIGKILL too, the pipe between both closes, and the place is released and its reservation
cancelled.  A coordinator that restarts has forgotten who holds what; the keeper takes the place again when it is
free, and the run goes on meanwhile, because the board's own lease decides who may measure.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from edgekit.core.errors import EnvironmentFault, InputError

COORDINATOR = "127.0.0.1:20408"
"""labgrid's own default."""
TIMEOUT_S = 3600.0
_GIVE_BACK_S = 20.0
Said = Literal["waiting", "held", "lost", "input", "fault"]


@dataclass(frozen=True)
class Wanted:
    """What the keeper is asked for; ``asker`` is the process id for which it holds."""

    place: str
    tags: Mapping[str, str]
    owner: str
    timeout_s: float
    coordinator: str
    asker: int


@dataclass(frozen=True)
class Event:
    """One line of the keeper; ``at`` is Unix time in seconds."""

    said: Said
    text: str = ""
    place: str = ""
    token: str = ""
    at: float = 0.0

    def line(self) -> str:
        """As JSON in one line."""
        return json.dumps(asdict(self))


class Hold:
    """A held place: which it is, and whether the coordinator still knows."""

    def __init__(self, keeper: subprocess.Popen[str], tell: Callable[[str], None]) -> None:
        self._keeper = keeper
        self._tell = tell
        self._events: list[Event] = []
        self._reader = threading.Thread(target=self._read, daemon=True)

    @property
    def place(self) -> str:
        """The name of the place."""
        return next(event.place for event in self._events if event.said == "held")

    @property
    def token(self) -> str:
        """labgrid's token of the reservation; another one after a restart of the coordinator."""
        return next(event.token for event in reversed(self._events) if event.said == "held")

    @property
    def lost(self) -> str:
        """Why the coordinator does not know of the hold at the moment; empty: it does."""
        # While the place is queued for again, the keeper says that it waits.
        last = next(event for event in reversed(self._events) if event.said in ("held", "lost"))
        return last.text if last.said == "lost" else ""

    @property
    def events(self) -> tuple[Event, ...]:
        """All that the keeper said."""
        return tuple(self._events)

    def wait(self) -> None:
        """Until the place is held.

        Raises:
            InputError: there is no such place, or none with the tags.
            EnvironmentFault: no coordinator, or the place did not become free in time.
        """
        assert self._keeper.stdout is not None
        while (event := self._next()) is not None and event.said == "waiting":
            self._tell(event.text)
        if event is None:
            raise EnvironmentFault(f"the process that holds the place ended with {self._keeper.wait()}")
        if event.said == "input":
            raise InputError(event.text)
        if event.said == "fault":
            raise EnvironmentFault(event.text)
        self._reader.start()

    def release(self) -> None:
        """Ask the keeper to give the place back, and wait until it did, or for 20 s: it goes on alone after that."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        try:
            self._keeper.wait(_GIVE_BACK_S)
        except subprocess.TimeoutExpired:
            self._tell("the coordinator does not take the place back yet; a process in the background goes on trying")
            return
        if self._reader.ident is not None:
            self._reader.join()
        self._keeper.stdout.close()

    def _next(self) -> Event | None:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        if not line:
            return None
        event = Event(**json.loads(line))
        self._events.append(event)
        return event

    def _read(self) -> None:
        while (event := self._next()) is not None:
            self._tell(event.text)
        if not self._keeper.stdin or not self._keeper.stdin.closed:
            gone = Event("lost", "the process that holds the place has ended", at=time.time())
            self._events.append(gone)
            self._tell(gone.text)


@contextmanager
def held(
    place: str = "",
    tags: Mapping[str, str] | None = None,
    owner: str = "edgekit",
    timeout: float = TIMEOUT_S,
    coordinator: str = "",
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Hold]:
    """Queue for a place, take it, and give it back whatever happens.

    Args:
        place: its name or an alias; empty: any that has the tags.
        tags: labgrid's tags that it must have.
        owner: who ``labgrid-client who`` shows; letters, digits and ``_ . @ -``.
        timeout: seconds to wait for it in the queue.
        coordinator: ``HOST:PORT``; empty: LG_COORDINATOR, else labgrid's default.
        tell: called with a line on whatever happens, also from another thread.

    Raises:
        InputError: neither place nor tags; no such place; none has the tags; an owner of other letters.
        EnvironmentFault: no coordinator answers, or the place did not become free in time.
    """
    if not place and not tags:
        raise InputError("name a place, or tags that it must have: --place NAME")
    if re.fullmatch(r"[\w.@-]+", owner) is None:
        raise InputError(f"owner {owner!r}: expected letters, digits, and _ . @ -")
    wanted = Wanted(
        place,
        dict(tags or {}),
        owner,
        timeout,
        coordinator or os.environ.get("LG_COORDINATOR", COORDINATOR),
        os.getpid(),
    )
    # In a session of its own: Ctrl-C at the terminal is for the run, and the keeper ends after it.
    keeper = subprocess.Popen(
        [sys.executable, "-m", "edgekit_hil.keeper", json.dumps(asdict(wanted))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    hold = Hold(keeper, tell)
    try:
        hold.wait()
        yield hold
    finally:
        hold.release()
