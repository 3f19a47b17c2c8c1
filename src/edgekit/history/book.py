"""The history of a project: record a run, find one, follow a metric."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekit.core.errors import InputError
from edgekit.core.reports import EvaluateReport, GateReport, Metric, ProfileReport, Series
from edgekit.core.suggest import allowed
from edgekit.history import store, values
from edgekit.history.location import Location
from edgekit.history.recording import check_name, fingerprint, gather, write
from edgekit.history.runs import DOCUMENTS, EXPERIMENT, LAST_GOOD, TAG, VALUES, Entry, Run, folder_of, of_one, pick
from edgekit.history.store import PAGE

_NEWEST_FIRST = ["attributes.start_time DESC", "attributes.run_id ASC"]


class History:
    """Runs of one or more projects, kept by MLflow; made by :meth:`open`."""

    def __init__(self, location: Location, client: Any, clock: Callable[[], float]) -> None:
        self._location = location
        self._client = client
        self._clock = clock
        self._copies: list[tempfile.TemporaryDirectory[str]] = []

    @classmethod
    def open(cls, uri: str | Path, writing: bool = False, clock: Callable[[], float] = time.time) -> History:
        """Open a history, and say now what would fail after a night of measuring.

        Args:
            uri: path of a SQLite file, which need not be there yet, or address of an MLflow server.
            writing: whether runs will be recorded.
            clock: seconds since 1970 UTC.

        Raises:
            InputError: the file is damaged, no history, or of another MLflow.
            OutputError: ``writing``, and the folder is read-only.
            MissingRequirement: MLflow is not installed.
            EnvironmentFault: the server does not answer.
        """
        location = Location.parse(uri)
        return cls(location, store.connect(location, writing), clock)

    def record(
        self,
        evaluation: EvaluateReport,
        profile: ProfileReport | None,
        gate: GateReport | None,
        name: str,
        target: str,
        digest: str,
        revision: str | None,
        artifacts: Mapping[str, Path] | None = None,
        metrics: Iterable[Metric] = (),
        parameters: Mapping[str, object] | None = None,
    ) -> str:
        """Record a run and return its id.

        It counts only when everything is written: the status that makes it a run comes next to last, and the
        alias ``last-good`` of the registered model ``<name>-<target>`` last, and only when the gate passed.

        Args:
            evaluation: accuracy; its numbers become metrics of the run.
            profile: latency and memory, as above.
            gate: the verdict; None: the run was not judged, and cannot become ``last-good``.
            name: the project's.
            target: the target's.
            digest: the bundle's.
            revision: git commit of the project; None: not known.
            artifacts: files and folders to keep with the run, by the name they get.
            metrics: directions and units of the task's metrics.
            parameters: more facts, such as precision and tool versions; may be nested.

        Raises:
            DataError: a number is not finite.
            InputError: a name or an artefact cannot be used.
            EnvironmentFault: the clock is behind the newest run, or the history cannot be written.
        """
        tags = {"name": name, "target": target, "digest": digest, "revision": (revision or "").lower()}
        facts = {"target": target, **(parameters or {})}
        made = gather(evaluation, profile, gate, tags, facts, {m.name: m for m in metrics}, artifacts or {})
        if self._client is None:
            with store.written():
                self._client = store.create(self._location)
        with store.written(), store.alone_with(self._location), store.translated(self._location):
            newest = self.entries(name=name, limit=1)
            now_ms = int(self._clock() * 1000)
            return write(self._client, self._location, made, now_ms, newest[0] if newest else None)

    def entries(
        self, target: str | None = None, name: str | None = None, limit: int | None = None
    ) -> tuple[Entry, ...]:
        """Finished runs, newest first; those of a killed or failed recording are left out.

        Raises:
            EnvironmentFault: the server does not answer.
        """
        if target is not None:
            check_name("target", target)
        if self._client is None:
            return ()
        with store.translated(self._location):
            experiments = self._experiments(name)
            if not experiments:
                return ()
            words = "attributes.status = 'FINISHED'"
            if target is not None:
                words += f" and tags.`{TAG}target` = '{target}'"
            rows = store.pages(
                lambda token: self._client.search_runs(
                    experiments, words, max_results=min(PAGE, limit or PAGE), page_token=token, order_by=_NEWEST_FIRST
                ),
                limit,
            )
        return tuple(map(Entry.of, rows))

    def find(self, reference: str, target: str | None = None, name: str | None = None) -> Run:
        """The run that ``reference`` names, with its documents.

        Args:
            reference: ``last-good``, a git revision (its newest run) or a run id; four first letters of these
                are enough when they fit one only.
            target: the target, when the history holds several.
            name: the project, when it holds several.

        Raises:
            InputError: none or several are meant, or a document of the run is missing or damaged.
        """
        entry = self._last_good(target, name) if reference == LAST_GOOD else pick(reference, self.entries(target, name))
        folder = self._documents(entry.id)
        return Run(
            entry,
            _read(folder / DOCUMENTS["evaluation"], EvaluateReport, entry.id),
            _read(folder / DOCUMENTS["profile"], ProfileReport, entry.id, optional=True),
            _read(folder / DOCUMENTS["gate"], GateReport, entry.id, optional=True),
            folder,
        )

    def recorded(self, evaluation: EvaluateReport, profile: ProfileReport | None, verdict: str) -> str | None:
        """The newest run that judged these very documents with this verdict; None: none did."""
        wanted = fingerprint(evaluation, profile)
        return next((e.id for e in self.entries() if (e.measured, e.verdict) == (wanted, verdict)), None)

    def has_good(self, target: str, name: str) -> bool:
        """Whether a run of the target has passed its gate, so that there is a :data:`LAST_GOOD`."""
        try:
            self._last_good(target, name)
        except InputError:
            return False
        return True

    def artifact(self, name: str, digest: str, target: str, project: str) -> Path | None:
        """A file that a run of the bundle ``digest`` keeps, of the newest that does; None: none has it.

        Of a server's run it is a copy, as :attr:`Run.documents` are.
        """
        keeper = self._keeper(name, digest, target, project)
        return None if keeper is None else self._documents(keeper.id, name) / name

    def keeps(self, name: str, digest: str, target: str, project: str) -> bool:
        """Whether :meth:`artifact` has it; nothing is copied."""
        return self._keeper(name, digest, target, project) is not None

    def _keeper(self, name: str, digest: str, target: str, project: str) -> Entry | None:
        """The newest run that has the file; a local one may have been deleted since, so it is looked for."""
        listed = (e for e in self.entries(target, project) if e.digest == digest and name in e.artifacts)
        if self._location.file is not None:
            listed = (e for e in listed if (folder_of(self._location, e.id) / name).exists())
        return next(listed, None)

    def series(self, metric: str, target: str | None = None, limit: int = 365, name: str | None = None) -> Series:
        """One metric over the newest ``limit`` runs that can be compared with the newest of them, oldest first.

        Args:
            metric: as a KPI names it; ``COLUMN=VALUE/NAME`` for a slice, ``control/NAME``, ``difference/NAME``.
            target: the target, when the history holds several.
            limit: how many runs to look at.
            name: the project, when it holds several.

        Raises:
            InputError: no run has the metric, or several projects or targets have runs.
        """
        if limit < 1:
            raise InputError(f"limit is {limit}, expected 1 or more")
        entries = self.entries(target, name, limit)
        of_one({e.model: e for e in entries}, metric)
        wanted = values.key(metric)
        measured = [e for e in reversed(entries) if wanted in e.metrics]
        if not measured:
            known = tuple(self._known(entries[0].id)) if entries else ()
            raise InputError(
                f"no recorded run has {metric!r}; {allowed(metric, known)}" if known else f"{self}: no run is recorded"
            )
        newest = measured[-1]
        about = next((v for n, v in self._known(newest.id).items() if values.key(n) == wanted), {})
        # Accuracy is bound to its data, latency to its machine.
        bound = "machine" if about.get("source") == "profile" else "data"
        kept = [e for e in measured if getattr(e, bound) == getattr(newest, bound)]
        columns = {end: tuple(e.metrics.get(f"{wanted}:{end}") for e in kept) for end in ("low", "high")}
        return Series(
            metric=metric,
            target=newest.target,
            times_ms=tuple(e.time_ms for e in kept),
            values=tuple(e.metrics[wanted] for e in kept),
            runs=tuple(e.id for e in kept),
            verdicts=tuple(e.verdict for e in kept),
            higher=about.get("higher"),
            unit=about.get("unit", ""),
            name=newest.name,
            excluded=len(measured) - len(kept),
            **columns,
        )

    def __str__(self) -> str:
        return f"history {self._location.shown}"

    def _experiments(self, name: str | None) -> list[str]:
        if name is not None:
            found = self._client.get_experiment_by_name(EXPERIMENT + name)
            return [found.experiment_id] if found is not None else []
        every = self._client.search_experiments(filter_string=f"name LIKE '{EXPERIMENT}%'")
        return [experiment.experiment_id for experiment in every]

    def _last_good(self, target: str | None, name: str | None) -> Entry:
        models: dict[str, Any] = {}
        if self._client is not None:
            with store.translated(self._location):
                found = store.pages(
                    lambda token: self._client.search_registered_models(max_results=PAGE, page_token=token)
                )
            models = {m.name: m for m in found if f"{TAG}target" in m.tags}
        matching = {
            key: m
            for key, m in models.items()
            if target in (None, m.tags[f"{TAG}target"]) and name in (None, m.tags.get(f"{TAG}name"))
        }
        if not matching:
            wanted = " ".join(filter(None, (name, target))) or "anything"
            known = allowed(wanted, tuple(models)) if models else "record one with edgekit gate"
            raise InputError(f"{self}: no run of {wanted} is recorded; {known}")
        of_one(matching, LAST_GOOD)
        (registered,) = matching.values()
        if LAST_GOOD not in registered.aliases:
            raise InputError(f"{self}: no run of {registered.name} has passed its gate yet, so there is no {LAST_GOOD}")
        with store.translated(self._location):
            version = self._client.get_model_version_by_alias(registered.name, LAST_GOOD)
            run = self._client.get_run(version.run_id)
        if run.info.status != "FINISHED":
            raise InputError(
                f"{self}: {LAST_GOOD} of {registered.name} is run {version.run_id}, which was not finished"
            )
        return Entry.of(run)

    def _known(self, run: str) -> dict[str, dict[str, Any]]:
        """What the run's numbers are, by name."""
        path = self._documents(run, VALUES) / VALUES
        try:
            read: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise _damaged(path, run) from error
        return read

    def _documents(self, run: str, path: str = "") -> Path:
        """The run's folder; of a server, a copy of it or of one file in it."""
        if self._location.file is not None:
            return folder_of(self._location, run)
        copy = tempfile.TemporaryDirectory(prefix="edgekit-history-")
        self._copies.append(copy)
        with store.translated(self._location):
            self._client.download_artifacts(run, path, copy.name)
        return Path(copy.name)


def _read(path: Path, kind: type, run: str, optional: bool = False) -> Any:
    """A document of a run, checked; None when it is optional and not there."""
    from pydantic import TypeAdapter, ValidationError

    if optional and not path.exists():
        return None
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(path, run) from error


def _damaged(path: Path, run: str) -> InputError:
    return InputError(f"run {run}: its document {path} is missing or damaged; put a copy back, or name another run")
