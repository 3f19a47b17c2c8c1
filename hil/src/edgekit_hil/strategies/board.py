"""From a board that is off to one that was measured, and back: each transition with its timeout and its way back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum

import attr
from labgrid.driver import ExecutionError, SSHDriver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.step import step
from labgrid.strategy import Strategy, StrategyError

from edgekit.core.errors import EnvironmentFault
from edgekit_hil.drivers.agent import AgentDriver
from edgekit_hil.drivers.clocks import ClocksProtocol
from edgekit_hil.link import LinkLost, connect

_log = logging.getLogger("edgekit.hil")


class Status(Enum):
    """Where a board is on its way."""

    off = 0
    booted = 1
    locked = 2
    deployed = 3
    measured = 4
    released = 5


@target_factory.reg_driver
@attr.s(eq=False)
class BoardStrategy(Strategy):
    """off -> booted -> locked -> deployed -> measured -> released.

    What is deployed and how it is measured is the run's: :meth:`plan` hands it over.  From any state ``released`` is
    reached by the ways back of what was done, the last first, and each is tried though another fails.

    Args:
        boot_timeout_s: seconds until the board answers over SSH; past it, it is switched off and on again once.
        lock_timeout_s: seconds for its clocks to be locked.
        leave: ``on`` or ``off``: what the board is when it was released.
    """

    bindings = {  # noqa: RUF012 - labgrid's way
        "ssh": SSHDriver,
        "agent": AgentDriver,
        "power": {PowerProtocol, None},
        "clocks": {ClocksProtocol, None},
    }
    boot_timeout_s: float = attr.ib(default=180.0, validator=attr.validators.instance_of(float))
    lock_timeout_s: float = attr.ib(default=60.0, validator=attr.validators.instance_of(float))
    leave: str = attr.ib(default="on", validator=attr.validators.in_(("on", "off")))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.status = Status.off
        self._back: list[tuple[str, Callable[[], None], bool]] = []
        self._taken_by: Callable[[], str] = lambda: ""
        self._deploy: Callable[[], None] = lambda: None
        self._measure: Callable[[], None] = lambda: None

    def plan(self, deploy: Callable[[], None], measure: Callable[[], None]) -> None:
        """What ``deployed`` and ``measured`` do."""
        self._deploy, self._measure = deploy, measure

    def way_back(self, name: str, undo: Callable[[], None], changes: bool = True) -> None:
        """Something that must be undone before the board is released; ``changes``: that changes the board itself."""
        self._back.append((name, undo, changes))

    def under(self, taken_by: Callable[[], str]) -> None:
        """``taken_by`` says who has taken the board from this run; empty: nobody.

        On a board that is somebody else's by now no power is switched and no clock changed; see docs/hil.md.
        """
        self._taken_by = taken_by

    @step(args=["status"])
    def transition(self, status: Status | str) -> None:
        """Go to a state, through those between.

        Raises:
            EnvironmentFault: the board does not come up, or its clocks cannot be locked.
        """
        wanted = Status[status] if isinstance(status, str) else status
        if wanted is Status.released:
            self._release()
            return
        if self.status is Status.released:
            raise StrategyError("the board was released; run again")
        steps = {
            Status.booted: self._boot,
            Status.locked: self._lock,
            Status.deployed: self._deploy,
            Status.measured: self._measure,
        }
        for state, go in steps.items():
            if self.status.value < state.value <= wanted.value:
                go()
                self.status = state

    def _boot(self) -> None:
        if self.power is not None:
            self.target.activate(self.power)
            self.power.on()
            self.way_back("power", self._power_down)
        if not self._answers(self.boot_timeout_s):
            if self.power is None:
                raise LinkLost(f"{self._address}: not reachable over SSH for {self.boot_timeout_s:g} s")
            _log.warning("%s: no answer for %g s; switching it off and on", self._address, self.boot_timeout_s)
            self.power.cycle()
            if not self._answers(self.boot_timeout_s):
                raise LinkLost(
                    f"{self._address}: it hangs at boot: no answer over SSH for {self.boot_timeout_s:g} s, twice, with "
                    "the power switched between; look at its serial console"
                )
        self.way_back("connection", lambda: self.target.deactivate(self.ssh), changes=False)
        self.target.activate(self.agent)

    @property
    def _address(self) -> str:
        return str(self.ssh.networkservice.address)

    def _answers(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while why := connect(self.ssh):
            _log.debug("%s: %s", self._address, why)
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def _lock(self) -> None:
        if self.clocks is None:
            return
        self.target.activate(self.clocks)
        self.way_back("clocks", self.clocks.unlock)
        self.clocks.lock(self.lock_timeout_s)

    def _power_down(self) -> None:
        if self.leave == "off":
            self.power.off()

    def _release(self) -> None:
        """Every way back, the last first; the first failure is told when all were tried."""
        failed: list[str] = []
        other = self._other()
        while self._back:
            name, undo, changes = self._back.pop()
            if other and changes:
                _log.warning("%s: %s holds the board: %s is left as it is", self._address, other, name)
                continue
            try:
                undo()
            except (EnvironmentFault, ExecutionError, StrategyError) as error:
                failed.append(f"{name}: {error}")
        self.status = Status.released
        if failed:
            raise EnvironmentFault(f"{self._address}: not restored: {'; '.join(failed)}; look at the board")

    def _other(self) -> str:
        """Who has taken the board; what cannot be asked of a board is answered by the ways back themselves."""
        try:
            return self._taken_by()
        except EnvironmentFault as error:
            _log.debug("%s: %s", self._address, error)
            return ""
