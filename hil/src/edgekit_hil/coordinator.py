"""labgrid's coordinator: one connection, and the calls of it that holding a place needs.

What is called is the coordinator's gRPC service through labgrid's own ``ClientSession``: its messages are what clients
and coordinators of different releases speak to each other, and they answer with values.  ``labgrid-client`` prints for
people, takes half a second to start for each call and ends between two of them.

From labgrid's sources (26.0): a reservation that nobody polls ends after 60 s; one whose place is acquired is kept by
the coordinator.  An acquired place stays so when its client goes away.  Nothing of either is written to disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from labgrid.remote.client import ClientSession, ServerError
from labgrid.remote.common import Reservation
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.util.proxy import proxymanager

from edgekit.core.errors import EnvironmentFault

PORT = 20408
ANSWER_S = 10.0
T = TypeVar("T")


class Away(EnvironmentFault):
    """The coordinator cannot be reached, or the connection to it was lost."""


class Refused(EnvironmentFault):
    """The coordinator answered, and said no."""


@dataclass(frozen=True)
class PlaceNow:
    """A place as the coordinator last told: ``holder`` is ``host/user``, ``missing`` what no exporter offers."""

    name: str
    holder: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reserved:
    """A reservation: ``place`` is empty while it waits; ``state`` is labgrid's name of it."""

    token: str
    owner: str
    state: str
    place: str = ""


class Coordinator:
    """A connection, made by ``connect``; who it speaks for is in LG_HOSTNAME and LG_USERNAME, as labgrid has it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = ClientSession(
            proxymanager.get_grpc_address(address, default_port=PORT), asyncio.get_running_loop()
        )

    async def connect(self) -> None:
        """Connect, and wait until all places and resources are known.

        Raises:
            Away: nobody answers there.
        """
        try:
            await asyncio.wait_for(self._session.start(), ANSWER_S)
        except (ServerError, asyncio.TimeoutError) as error:
            await self.close()
            raise Away(
                f"no labgrid coordinator answers at {self.address}; start labgrid-coordinator there, or name another "
                "by LG_COORDINATOR=HOST:PORT"
            ) from error

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return bool(self._session.stopping.is_set())

    async def close(self) -> None:
        """End the connection."""
        self._session.stopping.set()
        await self._session.stop()
        await self._session.close()

    def places(self) -> dict[str, PlaceNow]:
        """Every place by its name."""
        offered = [
            (exporter, group, entry.cls, name)
            for exporter, groups in self._session.resources.items()
            for group, entries in groups.items()
            for name, entry in entries.items()
            if entry.data
        ]
        return {
            name: PlaceNow(
                name, place.acquired or "", dict(place.tags), frozenset(place.aliases), _missing(place.matches, offered)
            )
            for name, place in self._session.places.items()
        }

    async def reserve(self, filters: Mapping[str, str], priority: float) -> Reserved:
        """Queue for a place whose tags have all ``filters``; ``name`` is a tag that each place has."""
        wanted = {"main": messages.Reservation.Filter(filter=dict(filters))}
        request = messages.CreateReservationRequest(filters=wanted, prio=priority)
        return _reserved((await self._call(self._session.stub.CreateReservation(request))).reservation)

    async def poll(self, token: str) -> Reserved:
        """How a reservation stands; keeps it for 60 s more."""
        request = messages.PollReservationRequest(token=token)
        return _reserved((await self._call(self._session.stub.PollReservation(request))).reservation)

    async def reservations(self) -> tuple[Reserved, ...]:
        """All of them."""
        answer = await self._call(self._session.stub.GetReservations(messages.GetReservationsRequest()))
        return tuple(_reserved(one) for one in answer.reservations)

    async def cancel(self, token: str) -> None:
        """Give a reservation up."""
        await self._call(self._session.stub.CancelReservation(messages.CancelReservationRequest(token=token)))

    async def acquire(self, place: str, beside: str) -> None:
        """Take a place, and let ``beside`` (``host/user``) use it too."""
        await self._call(self._session.stub.AcquirePlace(messages.AcquirePlaceRequest(placename=place)))
        await self._call(self._session.stub.AllowPlace(messages.AllowPlaceRequest(placename=place, user=beside)))
        await self._session.sync_with_coordinator()

    async def release(self, place: str, holder: str) -> None:
        """Give a place back, if ``holder`` has it."""
        request = messages.ReleasePlaceRequest(placename=place, fromuser=holder)
        await self._call(self._session.stub.ReleasePlace(request))

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(_awaited(call), ANSWER_S * 2)
        except asyncio.TimeoutError as error:
            raise Away(f"the labgrid coordinator at {self.address} does not answer") from error
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                raise Away(f"the labgrid coordinator at {self.address} went away: {error.details()}") from error
            raise Refused(f"the labgrid coordinator at {self.address} says: {error.details()}") from error


async def _awaited(call: Awaitable[T]) -> T:
    # A gRPC call can be awaited and is no coroutine.
    return await call


def _reserved(message: messages.Reservation) -> Reserved:
    one = Reservation.from_pb2(message)
    places = [place for group in one.allocations.values() for place in group]
    return Reserved(one.token, one.owner, one.state.name, places[0] if places else "")


def _missing(matches: list[object], offered: list[tuple[str, str, str, str]]) -> tuple[str, ...]:
    return tuple(str(match) for match in matches if not any(match.ismatch(path) for path in offered))  # type: ignore[attr-defined]
