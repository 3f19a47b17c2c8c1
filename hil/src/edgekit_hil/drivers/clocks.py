"""What a driver of a board's clocks and power mode does for the strategy."""

from __future__ import annotations

import abc


class ClocksProtocol(abc.ABC):
    """Locks clocks and power mode for a measurement, and restores what was there."""

    @abc.abstractmethod
    def lock(self, timeout_s: float) -> None:
        """Lock them; what was there is kept on the board until :meth:`unlock`, also when this process dies."""

    @abc.abstractmethod
    def unlock(self) -> None:
        """Restore what was there; nothing, when nothing was locked."""

    @abc.abstractmethod
    def facts(self) -> dict[str, str]:
        """Power mode, clocks, versions and thermal state, flat."""
