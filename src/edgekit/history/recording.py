"""Writing a run, so that a process killed at any moment leaves none that counts."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import atomic_directory, sha256_of, write_bytes
from edgekit.core.errors import EnvironmentFault, InputError
from edgekit.core.reports import EvaluateReport, GateReport, Metric, ProfileReport
from edgekit.core.spec import NAME
from edgekit.history import values
from edgekit.history.location import Location
from edgekit.history.runs import DOCUMENTS, EXPERIMENT, LAST_GOOD, TAG, VALUES, Entry, folder_of, model
from edgekit.history.values import Value, key

_BATCH = 100  # MLflow's limit of parameters in one request
_CLOCK_SLACK_MS = 3_600_000  # recorders on several machines do not agree to the second


@dataclass(frozen=True)
class Material:
    """What a run is made of: ``tags`` find it again, ``facts`` and ``values`` are shown, the rest are files.

    Raises:
        InputError: a name or an artefact cannot be used.
    """

    tags: Mapping[str, str]
    facts: Mapping[str, str]
    values: Mapping[str, Value]
    documents: Mapping[str, Mapping[str, Any]]
    artifacts: Mapping[str, Path]

    def __post_init__(self) -> None:
        for what in ("name", "target"):
            check_name(what, self.tags[what])
        for name, path in self.artifacts.items():
            check_name("artefact", name)
            if name in (*DOCUMENTS.values(), VALUES):
                raise InputError(f"artefact {name!r}: the history writes that file itself; give it another name")
            if not path.exists():
                raise InputError(f"artefact {name!r}: there is no {path}")

    @property
    def model(self) -> str:
        """The registered model."""
        return model(self.tags["name"], self.tags["target"])


def gather(
    evaluation: EvaluateReport,
    profile: ProfileReport | None,
    gate: GateReport | None,
    tags: Mapping[str, str],
    facts: Mapping[str, object],
    metrics: Mapping[str, Metric],
    artifacts: Mapping[str, Path],
) -> Material:
    """What the reports add to the tags and facts of a run."""
    reports = {"evaluation": evaluation, "profile": profile, "gate": gate}
    added = {
        "bundle": evaluation.bundle,
        "verdict": gate.verdict if gate is not None else "",
        "data": values.same_data(evaluation),
        "machine": values.same_machine(profile),
        "artifacts": " ".join(sorted(artifacts)),
        "measured": fingerprint(evaluation, profile),
    }
    return Material(
        tags={**tags, **added},
        facts=values.parameters(evaluation, profile, facts),
        values=values.values(evaluation, profile, metrics),
        documents={DOCUMENTS[name]: report.to_dict() for name, report in reports.items() if report is not None},
        artifacts=artifacts,
    )


def fingerprint(evaluation: EvaluateReport, profile: ProfileReport | None) -> str:
    """Equal for the same documents: of one measurement that is judged again."""
    return sha256_of([evaluation.to_dict(), None if profile is None else profile.to_dict()])


def check_name(what: str, name: str) -> None:
    """Raise :class:`InputError` unless ``name`` can be part of a file name and of a query."""
    if not re.fullmatch(NAME, name):
        raise InputError(f"{what} {name!r}: expected letters, digits, '.', '_' and '-', such as camvid-seg")


def write(client: Any, location: Location, made: Material, now_ms: int, newest: Entry | None) -> str:
    """Write the run and return its id; the status that makes it count comes next to last, the alias last.

    Raises:
        EnvironmentFault: ``now_ms`` is behind the newest run of the project.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if newest is not None and now_ms < newest.time_ms - _CLOCK_SLACK_MS:
        raise EnvironmentFault(
            f"the clock of this machine says {_utc(now_ms)}, but the newest run of {newest.name} is of "
            f"{_utc(newest.time_ms)}; set the clock, then record again"
        )
    run = _begin(client, location, made, now_ms)
    try:
        _write_numbers(client, run, made, now_ms)
        _write_files(client, location, run, made)
        version = _register(client, run, made)
        client.set_terminated(run, "FINISHED")
    except BaseException:
        with contextlib.suppress(MlflowException, SQLAlchemyError):  # the first failure is the one to tell
            client.set_terminated(run, "FAILED")
        raise
    if made.tags["verdict"] == "pass":
        client.set_registered_model_alias(made.model, LAST_GOOD, version)
    return run


def _begin(client: Any, location: Location, made: Material, now_ms: int) -> str:
    """A run that is not finished yet."""
    tags = {TAG + name: word for name, word in made.tags.items()}
    if made.tags["revision"]:
        tags["mlflow.source.git.commit"] = made.tags["revision"]
    title = " ".join(filter(None, (made.tags["target"], made.tags["revision"][:12])))
    name = EXPERIMENT + made.tags["name"]
    if client.get_experiment_by_name(name) is None:
        with _unless_there():
            beside = str(location.documents) if location.file is not None else None
            client.create_experiment(name, artifact_location=beside)
    experiment = client.get_experiment_by_name(name).experiment_id
    run: str = client.create_run(experiment, start_time=now_ms, tags=tags, run_name=title).info.run_id
    return run


def _write_numbers(client: Any, run: str, made: Material, now_ms: int) -> None:
    from mlflow.entities import Metric, Param

    numbers = [
        Metric(f"{key(name)}{suffix}", number, now_ms, 0)
        for name, value in made.values.items()
        for suffix, number in (("", value.value), (":low", value.low), (":high", value.high))
        if number is not None
    ]
    facts = [Param(name, text) for name, text in made.facts.items()]
    for start in range(0, max(len(numbers), len(facts)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(run, metrics=numbers[part], params=facts[part])


def _write_files(client: Any, location: Location, run: str, made: Material) -> None:
    if location.file is not None:
        with atomic_directory(folder_of(location, run)) as folder:
            _fill(folder, made)
        return
    with tempfile.TemporaryDirectory(prefix="edgekit-history-") as staged:
        _fill(Path(staged), made)
        client.log_artifacts(run, staged)


def _fill(folder: Path, made: Material) -> None:
    about = {n: {"higher": v.higher, "unit": v.unit, "source": v.source} for n, v in made.values.items()}
    for name, content in {**made.documents, VALUES: about}.items():
        # In their own order: the first metric of an evaluation is its headline.
        write_bytes(folder / name, (json.dumps(content, indent=1) + "\n").encode())
    for name, path in made.artifacts.items():
        if path.is_dir():
            shutil.copytree(path, folder / name)
        else:
            shutil.copyfile(path, folder / name)


def _register(client: Any, run: str, made: Material) -> str:
    """A new version of the target's registered model."""
    about = {TAG + name: made.tags[name] for name in ("name", "target")}
    with _unless_there():
        client.create_registered_model(made.model, tags=about)
    about |= {TAG + name: made.tags[name] for name in ("verdict", "revision", "digest")}
    source = client.get_run(run).info.artifact_uri
    return str(client.create_model_version(made.model, source=source, run_id=run, tags=about).version)


@contextlib.contextmanager
def _unless_there() -> Iterator[None]:
    """Another recorder may have made it meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
