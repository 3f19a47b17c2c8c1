"""The history of a fleet: each board's own last-good, its runs, its trends.

A board's runs are recorded under the target ``<target>.<board>``, so that its last-good, its series and its control
charts are its own, in one file or on one server for the whole fleet; see docs/decisions/0039-night.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.bundle import open_bundle
from edgekit.history import LAST_GOOD, Entry, History, control_chart, key, worsenings
from edgekit_hil.night.report import Trend
from edgekit_hil.night.shelf import Ware
from edgekit_hil.recording import board_target, record_run
from edgekit_hil.report import RunReport


class Book:
    """A fleet's history; the calls of one are not for several threads at once."""

    def __init__(self, uri: str) -> None:
        """Open it now: a damaged file costs no night.

        Raises:
            InputError: it is damaged, or no history.
            EnvironmentFault: the server does not answer, or MLflow is missing.
        """
        if "://" not in uri:
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
        self._history = History.open(uri, writing=True)

    def last_good(self, board: str, bundle: Ware) -> Entry | None:
        """The newest run of this model on this board that passed; None: none did yet."""
        target = board_target(bundle.target, board)
        if not self._history.has_good(target, bundle.name):
            return None
        return self._history.find(LAST_GOOD, target, bundle.name).entry

    def since(self, board: str, bundle: Ware, entry: Entry) -> tuple[Entry, ...]:
        """Runs of this model on this board after ``entry``, oldest first."""
        runs = self._history.entries(board_target(bundle.target, board), bundle.name)
        return tuple(run for run in reversed(runs) if run.time_ms > entry.time_ms)

    def needed(self) -> set[str]:
        """Digests that a night to come may ask for: of each board and model last-good, and all that ran there since.

        Of every board in the history, those that this night did not run, or that failed, among them.

        Raises:
            InputError: what the history says of a last-good is damaged.
        """
        found: set[str] = set()
        runs = self._history.entries()
        for target, name in {(run.target, run.name) for run in runs}:
            if self._history.has_good(target, name):
                good = self._history.find(LAST_GOOD, target, name).entry
                since = (r.digest for r in runs if (r.target, r.name) == (target, name) and r.time_ms > good.time_ms)
                found |= {good.digest, *since}
        return found

    def record(self, board: str, bundle: Ware, report: RunReport) -> bool:
        """Record a run once, and move last-good when it passed; whether last-good is now it."""
        with open_bundle(bundle.path) as opened:
            return record_run(self._history, report, opened, board, bundle.known.revision)

    def trends(self, board: str, plan_name: str, bundle: Ware, metrics: Iterable[str]) -> tuple[Trend, ...]:
        """Control charts of the metrics of which this board has two runs or more."""
        target = board_target(bundle.target, board)
        runs = self._history.entries(target, bundle.name)
        known = [name for name in dict.fromkeys(metrics) if any(key(name) in run.metrics for run in runs)]
        series = [self._history.series(name, target, name=bundle.name) for name in known]
        charts = [control_chart(one) for one in series if len(one) > 1]
        return tuple(Trend(board, plan_name, chart, worsenings(chart)) for chart in charts)
