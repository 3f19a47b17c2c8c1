"""Power, clocks and temperatures of the machine while something runs, one file per source.

A sensor is a module with a frozen ``Config`` (where to read: a root folder, a command) whose
``reader()`` returns a :class:`Reader`.  :class:`Recorder` runs every one that works here around a
piece of work and sums up what they saw.
"""

from __future__ import annotations

from edgekit.core.reports.power import ClockState
from edgekit.sensors._clocks import ClockSources, clock_state
from edgekit.sensors._reader import PollingReader, Reader, Reading, Recording, SensorConfig
from edgekit.sensors._recorder import Recorder, probe
from edgekit.sensors._samples import Samples, Scope, Total

__all__ = [
    "ClockSources",
    "ClockState",
    "PollingReader",
    "Reader",
    "Reading",
    "Recorder",
    "Recording",
    "Samples",
    "Scope",
    "SensorConfig",
    "Total",
    "clock_state",
    "probe",
]
