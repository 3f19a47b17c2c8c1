"""The board's own lease, held while a run measures."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from edgekit.core.errors import EnvironmentFault
from edgekit_hil.link import Link, LinkLost

SECONDS = 60.0
"""How long a lease holds without a heartbeat."""
_log = logging.getLogger("edgekit.hil")


class LeaseLost(EnvironmentFault):
    """The board is no longer this run's."""


@dataclass
class Lease:
    """A lease on a board; ``token`` proves it to the jobs there."""

    link: Link
    owner: str
    run: str
    seconds: float = SECONDS
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _why: str = ""
    _ended: threading.Event = field(default_factory=threading.Event)

    def take(self) -> None:
        """Take the lease.

        Raises:
            EnvironmentFault: somebody else holds it.
        """
        request = {"owner": self.owner, "run": self.run, "token": self.token, "seconds": self.seconds}
        answer = self.link.ask("lease-take", request)
        if not answer["held"]:
            other = answer["holder"]
            raise EnvironmentFault(
                f"{self.link.name}: {other['owner']} holds the board (run {other['run']}, for "
                f"{other['ends_in_s']:.0f} s unless it goes on); wait for it, or run on another place"
            )

    def check(self) -> None:
        """Raise :class:`LeaseLost` when a heartbeat has found that the lease is no longer this run's."""
        if self._why:
            raise LeaseLost(self._why)

    def confirm(self) -> None:
        """The same, asked of the board now: a heartbeat may be a quarter of the lease old."""
        self.check()
        held, other = self._holder()
        if not held:
            self._why = self._lost(other)
        self.check()

    @property
    def lost(self) -> bool:
        """Whether it is known to be lost."""
        return bool(self._why)

    def regain(self) -> str:
        """Take a lease that ended again, unless somebody else took the board; who that is, or empty: it is this run's.

        What a run has changed on a board is its to undo until somebody else measures there.
        """
        held, other = self._holder()
        if not held and other is None:
            request = {"owner": self.owner, "run": self.run, "token": self.token, "seconds": self.seconds}
            other = self.link.ask("lease-take", request).get("holder")
        return "" if other is None else f"{other['owner']} (run {other['run']})"

    def release(self) -> None:
        """Give the board back; without a link the lease ends by itself."""
        self._ended.set()
        try:
            self.link.ask("lease-release", {"token": self.token})
        except LinkLost as error:
            _log.warning("the lease ends by itself in %g s: %s", self.seconds, error)

    def keep(self) -> None:
        """Renew the lease until it is released or lost; for a thread of its own."""
        while not self._ended.wait(self.seconds / 4):
            try:
                answer = self.link.ask("lease-renew", {"token": self.token, "seconds": self.seconds})
            except EnvironmentFault as error:
                self._why = f"{self.link.name}: the lease cannot be renewed: {error}"
                return
            if not answer["held"]:
                self._why = self._lost(answer["holder"])
                return

    def _holder(self) -> tuple[bool, dict[str, Any] | None]:
        """Whether this run holds the board, and who else does."""
        found: dict[str, Any] | None = self.link.ask("lease-show")["lease"]
        held = found is not None and found["token"] == self.token
        return held, None if held else found

    def _lost(self, other: dict[str, Any] | None) -> str:
        now = (
            f"{other['owner']} holds the board now (run {other['run']})"
            if other is not None
            else "it ended, or the board booted, and nobody holds the board now"
        )
        return f"{self.link.name}: the lease was lost: {now}; measuring stopped"


@contextmanager
def held(link: Link, owner: str, run: str, seconds: float = SECONDS) -> Iterator[Lease]:
    """Hold the board's lease inside the block."""
    lease = Lease(link, owner, run, seconds)
    lease.take()
    keeper = threading.Thread(target=lease.keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.release()
        keeper.join()
