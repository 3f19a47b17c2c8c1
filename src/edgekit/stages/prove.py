"""What is found out about new engines: outputs against golden, and precision of every layer."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import remote
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import MissingRequirement
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import Agreement, Departure, EngineProof
from edgekit.core.spec import ParityLimits
from edgekit.data import Dataset
from edgekit.engine import Backend, Engine, layers_path
from edgekit.preprocess import Prepared, Preprocess
from edgekit.tasks import Task
from edgekit.verification import bisect
from edgekit.verification.agreement import TaskComparison
from edgekit.verification.limits import Limits, limits_of
from edgekit.verification.parity import Proven, check, decided, require

VERSION = 5
"""Of what is found out: engines of which less is known are built again."""
_log = logging.getLogger("edgekit")


def prove(
    backend: Backend,
    files: tuple[Path, Path],
    precision: str,
    golden: Golden,
    unrunnable: str,
    progress: Progress,
    chosen: ParityLimits | None = None,
    comparison: TaskComparison | None = None,
) -> EngineProof:
    """What ``parity.json`` says of one engine.

    Args:
        backend: what built it.
        files: the engine and the typed model that it was built from.
        precision: of both.
        golden: see :func:`edgekit.verification.parity.compare`.
        unrunnable: why the engine does not run while it is built; empty: it does.
        progress: shows the step.
        chosen: the spec's limits.
        comparison: the second check; None: it is not asked.

    Returns:
        The parity report, or that it was not run and why; ``achieved`` is the backend's comparison of the engine's
        layers with the request, None where no layer list can be had.

    Raises:
        CheckFailed: its outputs are not those of the typed model; the first layer that departs is named.
    """
    engine, model = files
    if unrunnable:
        proof = EngineProof(precision, "not run", unrunnable)
    else:
        limits = limits_of(precision, chosen)
        proven = Proven(engine, model, precision, golden)
        # Every query is a command on a board: the comparison is asked for when it matters.
        far = isinstance(backend, remote.Board)
        with backend.engine(engine) as opened:
            listed = opened.layer_list()
            agreement = (
                None if comparison is None or far else _asked(comparison, opened, model, precision, limits, progress)
            )
        with progress.track(f"verify {precision}"):
            found = check(backend, proven, limits, agreement)
        if found.verdict != "pass" and far and comparison is not None:
            with backend.engine(engine) as opened:
                agreement = _asked(comparison, opened, model, precision, limits, progress)
            found = decided(replace(found, agreement=agreement), precision)
        if found.verdict != "pass" and found.layers is not None and found.layers.mode == "outputs only":
            with suppress(MissingRequirement):  # a board cannot say which layer it is; that one departs, it can
                found = replace(found, departure=_blamed(backend, proven, limits, progress))
        require(found)
        if listed is not None:
            write_bytes(layers_path(engine), listed.encode())
        proof = EngineProof.of(found)
    return replace(proof, achieved=backend.achieved(engine, model, precision))


def comparison_of(
    task: Task, preprocess: Preprocess, frames: Dataset, fp32: Path, limits: ParityLimits | None = None
) -> TaskComparison:
    """The second check over evenly spread ``frames``."""
    count = min((limits or ParityLimits()).frames, len(frames))
    return TaskComparison(task, Spread(preprocess, frames, count), fp32)


@dataclass(frozen=True)
class Spread:
    """``count`` frames of a dataset, evenly spread, prepared when they are read."""

    preprocess: Preprocess
    frames: Dataset
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Prepared:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.preprocess(self.frames[index * len(self.frames) // self.count].images)


def _asked(
    comparison: TaskComparison, engine: Engine, model: Path, precision: str, limits: Limits, progress: Progress
) -> Agreement:
    with progress.track(f"compare {precision} with its typed model", len(comparison.frames)) as advance:
        found = comparison.ask(engine, model, limits, advance)
    if found.empty == found.frames:
        _log.warning(
            "warning: the task finds nothing on any of %d calibration frames (task.confidence is too high for them, or "
            "they show none of its objects): nothing was compared, and INT8 ranges that were found on such frames may "
            "cut off what real frames give; calibrate on frames with objects",
            found.frames,
        )
    return found


def _blamed(backend: Backend, proven: Proven, limits: Limits, progress: Progress) -> Departure | None:
    """The first layer that departs in engines that show one more tensor each, where outputs can be searched for it."""
    limit = limits.output_rel_l2
    return bisect.find(backend, proven.model, proven.golden, limit, progress)
