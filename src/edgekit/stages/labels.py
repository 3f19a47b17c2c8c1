"""The labels of the data, checked before time goes into a build: they agree with the task, frame by frame."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgekit.agreement import Agreed, agreed
from edgekit.bundle import EvaluationData
from edgekit.core.artifacts import write_json
from edgekit.core.errors import DataError
from edgekit.core.progress import Progress
from edgekit.core.spec import Spec
from edgekit.core.workspace import Workspace

VERSION = 1  # of the checks: raise it when they find more
_log = logging.getLogger("edgekit")


def judged_on(spec: Spec, workspace: Workspace, progress: Progress) -> EvaluationData | None:
    """The evaluation data, whose labels the task can be judged on; None: the spec names none.

    Raises:
        DataError: they cannot be read, are empty, or have a label that the task cannot be judged on.
    """
    config = spec.data.evaluation
    if config is None:
        return None
    found = of(spec, "evaluation")
    pinned = EvaluationData.of(config.format, found.dataset)
    _check(spec, "evaluation", found, pinned.dataset_hash, workspace, progress)
    return pinned


def check(spec: Spec, role: str, workspace: Workspace, progress: Progress) -> None:
    """Check the labels of one of the spec's data sections, if it is there; raises as :func:`judged_on`."""
    if getattr(spec.data, role) is not None:
        found = of(spec, role)
        _check(spec, role, found, found.dataset.fingerprint(), workspace, progress)


def of(spec: Spec, role: str) -> Agreed:
    """One of the spec's data sections for its task.

    Raises:
        DataError: the two cannot agree; names the section.
    """
    try:
        return agreed(getattr(spec.data, role), spec.task.create())
    except DataError as error:
        raise DataError(f"data.{role}: {error}") from error


def _check(spec: Spec, role: str, found: Agreed, fingerprint: str, workspace: Workspace, progress: Progress) -> None:
    """Once for the same labels and task: a check reads every label."""
    for note in found.notes:
        _log.warning("data.%s: %s", role, note)
    inputs: dict[str, Any] = {
        "data": fingerprint,
        "task": spec.task.model_dump(mode="json"),
        "checks": VERSION,
    }

    def fill(folder: Path) -> None:
        count = 0
        with progress.track(f"check {role} labels", len(found.dataset)) as advance:
            try:
                for _ in found.check_labels():
                    advance()
                    count += 1
            except DataError as error:
                raise DataError(f"data.{role}: {error}") from error
        write_json(folder / "labels.json", {"frames": count, "notes": found.notes})

    if not found.dataset.made:
        workspace.stage("labels", inputs, fill)
