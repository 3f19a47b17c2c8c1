"""The process that holds a place for another one, and gives it back when that has ended: ``places.held`` starts it.

It is told what to hold as JSON, writes what happens as lines of JSON, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import difflib
import getpass
import json
import logging
import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit_hil.coordinator import Away, Coordinator, PlaceNow, Refused, Reserved
from edgekit_hil.places import Event, Said, Wanted

STEP_S = 1.0
# After a restart those that hold places come back first; who only waits queues up this much later.
_HOLDERS_FIRST_S = 5.0
_GIVE_BACK_S = 600.0
_FIRST = 1.0
_PER_SECOND = 1e-6
_LIVE = ("waiting", "allocated", "acquired")


def _process(pid: int | str) -> str:
    """When a process of this namespace began, in ticks since boot; empty: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


def _namespace() -> str:
    return re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))


def user_name(owner: str) -> str:
    """The user as whom this process holds: it tells whether the process is still there."""
    return f"{owner}.{_namespace()}.{os.getpid()}.{_process('self')}"


def is_left_over(holder: str, host: str) -> bool:
    """Whether a keeper of this machine has this name and is gone."""
    match = re.fullmatch(r"(.*)/[\w.@-]+\.(\d+)\.(\d+)\.(\d+)", holder)
    if match is None or match[1] != host or match[2] != _namespace():
        return False
    return _process(match[3]) != match[4]


class Keeper:
    """Holds one place; ``stop`` is set when it is to be given back."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._host = os.environ.get("LG_HOSTNAME", socket.gethostname())
        self._beside = f"{self._host}/{os.environ.get('LG_USERNAME', getpass.getuser())}"
        user = user_name(wanted.owner)
        os.environ.update(LG_HOSTNAME=self._host, LG_USERNAME=user)
        self._me = f"{self._host}/{user}"
        self._began = time.monotonic()
        self._connection: Coordinator | None = None
        self._reserved: Reserved | None = None
        self._place = wanted.place
        self._token = ""
        self._met = False
        self._told: Event | None = None
        self.stop = asyncio.Event()

    async def run(self) -> int:
        """Queue, hold, give back; 0, or 1 where the place could not be had."""
        try:
            self._connection = await _connected(self._wanted.coordinator)
            self._met = True
            self._check()
            if await self._take():
                await self._hold()
        except InputError as error:
            self._say("input", str(error))
            return 1
        except EnvironmentFault as error:
            self._say("fault", str(error))
            return 1
        finally:
            await self._give_back()
        return 0

    def _check(self) -> None:
        """That the place is there, or one with the tags; an alias becomes its place's name."""
        assert self._connection is not None
        places = self._connection.places()
        aliases = {alias: place.name for place in places.values() for alias in place.aliases}
        self._place = aliases.get(self._place, self._place)
        if self._place and self._place not in places:
            near = difflib.get_close_matches(self._place, [*places, *aliases], 3, 0.5) or sorted(places)[:10]
            known = f"did you mean {', '.join(near)}?" if near else "it has none: labgrid-client create"
            raise InputError(f"the coordinator at {self._wanted.coordinator} has no place {self._place!r}; {known}")
        if not any(self._fits(place) for place in places.values()):
            tags = " ".join(f"{key}={value}" for key, value in self._wanted.tags.items())
            have = "; ".join(f"{one.name}: {_words(one)}" for one in places.values() if self._place in ("", one.name))
            raise InputError(f"no place has the tags {tags}; there are {have or 'no places'}")

    def _fits(self, place: PlaceNow) -> bool:
        return self._place in ("", place.name) and self._wanted.tags.items() <= place.tags.items()

    async def _take(self) -> bool:
        """Until the place is held; False: nobody wants it any more."""
        priority = 0.0
        while not self._ended():
            left = self._wanted.timeout_s - (time.monotonic() - self._began)
            if left < 0:
                text = self._told.text if self._told else ""
                raise EnvironmentFault(f"no place in {self._wanted.timeout_s:g} s; {text or 'it was never free'}")
            try:
                if await self._try(priority):
                    return True
            except Away as away:
                self._say("waiting", str(away))
                if await self._reconnect():
                    # The queue was forgotten: who has waited longest comes first again.
                    priority = _PER_SECOND * (time.monotonic() - self._began)
                    await self._pause(_HOLDERS_FIRST_S)
            await self._pause(STEP_S)
        return False

    async def _try(self, priority: float) -> bool:
        """One step nearer to holding the place."""
        connection = self._connection
        if connection is None or connection.lost:
            raise Away(f"the labgrid coordinator at {self._wanted.coordinator} went away")
        await self._clear_left_over(connection)
        if self._reserved is None or self._reserved.state not in _LIVE:
            name = {"name": self._place} if self._place else {}
            # A connection that broke and came back has left it in the queue.
            mine = (one for one in await connection.reservations() if one.owner == self._me and one.state in _LIVE)
            self._reserved = next(mine, None) or await connection.reserve({**self._wanted.tags, **name}, priority)
        else:
            try:
                self._reserved = await connection.poll(self._reserved.token)
            except Refused:
                # It has expired while this process stood still.
                self._reserved = None
                return False
        if not self._reserved.place:
            self._say("waiting", self._queue(connection))
            return False
        return await self._acquire(connection, self._reserved)

    async def _acquire(self, connection: Coordinator, reserved: Reserved) -> bool:
        now = connection.places()[reserved.place]
        if now.missing:
            text = f"no exporter offers {', '.join(now.missing)} of place {now.name}; is labgrid-exporter running?"
            self._say("waiting", text)
            return False
        try:
            await connection.acquire(now.name, self._beside)
        except Refused as refused:
            self._say("waiting", str(refused))
            return False
        self._place = now.name
        self._token = reserved.token
        self._say("held", f"place {now.name} is held")
        return True

    async def _hold(self) -> None:
        """Until it is to be given back; a place that the coordinator has forgotten is taken again."""
        while not self._ended():
            try:
                lost = self._loss()
                if not lost:
                    self._say("held", f"place {self._place} is held")
                elif self._connection is not None:
                    self._say("lost", lost)
                    if self._place in self._connection.places():
                        await self._try(_FIRST)
            except Away as away:
                self._say("lost", str(away))
                await self._reconnect()
            await self._pause(STEP_S)

    def _loss(self) -> str:
        if self._connection is None or self._connection.lost:
            raise Away(
                f"the labgrid coordinator at {self._wanted.coordinator} went away; the board's lease still holds"
            )
        now = self._connection.places().get(self._place)
        if now is None:
            return f"the coordinator has no place {self._place} any more"
        if now.holder == self._me:
            return ""
        return f"the coordinator has forgotten who holds {self._place}" + (
            f", and {now.holder} has it now" if now.holder else ""
        )

    async def _reconnect(self) -> bool:
        if self._connection is not None:
            await self._connection.close()
        self._connection = self._reserved = None
        with suppress(Away):
            self._connection = await _connected(self._wanted.coordinator)
        return self._connection is not None

    async def _clear_left_over(self, connection: Coordinator) -> None:
        """Give back what a keeper of this machine held that was killed itself."""
        for place in connection.places().values():
            if self._fits(place) and is_left_over(place.holder, self._host):
                await _undo(connection, place.name, place.holder)

    async def _give_back(self) -> None:
        """Release and cancel; a coordinator that went away is waited for, up to ten minutes."""
        if not self._met:
            return
        end = time.monotonic() + _GIVE_BACK_S
        while time.monotonic() < end:
            try:
                if self._connection is None or self._connection.lost:
                    await self._reconnect()
                if self._connection is not None:
                    await _undo(self._connection, self._place, self._me)
                    await self._connection.close()
                    return
            except Away:
                pass
            await asyncio.sleep(STEP_S)

    def _queue(self, connection: Coordinator) -> str:
        holders = {
            place.name: place.holder for place in connection.places().values() if self._fits(place) and place.holder
        }
        return "in the queue; " + (
            "; ".join(f"{name} is held by {who}" for name, who in holders.items()) or "others first"
        )

    def _ended(self) -> bool:
        # A process that was forked meanwhile may have kept the pipe open.
        return self.stop.is_set() or os.getppid() != self._wanted.asker

    async def _pause(self, seconds: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    def _say(self, said: Said, text: str) -> None:
        event = Event(said, text, self._place, self._token, time.time())
        if self._told is not None and (event.said, event.text) == (self._told.said, self._told.text):
            return
        self._told = event
        # Whoever listened may be gone.
        with suppress(BrokenPipeError):
            print(event.line(), flush=True)


async def _undo(connection: Coordinator, place: str, holder: str) -> None:
    """Release the place, if ``holder`` has it, and cancel all that he has reserved."""
    if place in connection.places():
        with suppress(Refused):
            await connection.release(place, holder)
    for one in await connection.reservations():
        if one.owner == holder:
            with suppress(Refused):
                await connection.cancel(one.token)


async def _connected(address: str) -> Coordinator:
    connection = Coordinator(address)
    await connection.connect()
    return connection


def _words(place: PlaceNow) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(place.tags.items())) or "no tags"


async def _main(wanted: Wanted) -> int:
    keeper = Keeper(wanted)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, keeper.stop.set)

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            keeper.stop.set()

    loop.add_reader(0, read)
    return await keeper.run()


if __name__ == "__main__":
    # labgrid logs what the events say.
    logging.disable(logging.CRITICAL)
    sys.exit(asyncio.run(_main(Wanted(**json.loads(sys.argv[1])))))
