"""The labels of the data, checked before time goes into a build: they agree with the task, frame by frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.bundle import EvaluationData
from edgekit.core.artifacts import write_json
from edgekit.core.errors import DataError
from edgekit.core.progress import Progress
from edgekit.core.spec import Spec
from edgekit.core.workspace import Workspace
from edgekit.evaluation.class_names import Agreed, agreed
from edgekit.stages import keys

STAGE = "labels"
VERSION = 1  # of the checks: raise it when they find more
_log = logging.getLogger("edgekit")


@contextmanager
def checked(
    spec: Spec, roles: Sequence[str], workspace: Workspace, progress: Progress
) -> Iterator[Mapping[str, EvaluationData]]:
    """Check the labels of the spec's data sections ``roles``, where they are there; gives what each is now.

    That they were checked is kept when what follows went well: a build that fails leaves nothing behind.

    Raises:
        DataError: data cannot be read, are empty, or have a label that the task cannot be judged on.
    """
    found: dict[str, EvaluationData] = {}
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for role in roles:
        config = getattr(spec.data, role)
        if config is None:
            continue
        data = of(spec, role)
        for note in data.notes:
            _log.warning("data.%s: %s", role, note)
        found[role] = EvaluationData.of(config.format, data.dataset)
        inputs = {
            "data": found[role].dataset_hash,
            "task": keys.task(spec),
            "checks": VERSION,
            "tools": keys.tools(),
        }
        if not data.dataset.made and not workspace.has(STAGE, inputs):
            _check(role, data, progress)
            kept.append((inputs, {"frames": len(data.dataset), "notes": data.notes}))
    yield found
    for inputs, content in kept:
        workspace.stage(STAGE, inputs, partial(_write, content))


def _write(content: Mapping[str, Any], folder: Path) -> None:
    write_json(folder / "labels.json", content)


def _check(role: str, data: Agreed, progress: Progress) -> None:
    with progress.track(f"check {role} labels", len(data.dataset)) as advance:
        try:
            for _ in data.check_labels():
                advance()
        except DataError as error:
            raise DataError(f"data.{role}: {error}") from error


def of(spec: Spec, role: str) -> Agreed:
    """One of the spec's data sections for its task.

    Raises:
        DataError: the two cannot agree; names the section.
    """
    try:
        return agreed(getattr(spec.data, role), spec.task.create())
    except DataError as error:
        raise DataError(f"data.{role}: {error}") from error
