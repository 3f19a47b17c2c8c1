"""Widths for a wanted speed-up or budget: from engines measured on the target, and measured again when chosen."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.artifacts import write_json
from edgekit.core.errors import ModelError, SpecError
from edgekit.prune.channels import damage, layers, search, table
from edgekit.prune.channels.choice import Options, Widths
from edgekit.prune.channels.graph import Graph
from edgekit.prune.channels.groups import Group
from edgekit.prune.channels.table import Row
from edgekit.technique import Bench, Export, Job

if TYPE_CHECKING:
    from torch import Tensor, nn

QUERIES = 100
_ATTEMPTS, _SLACK, _CLOSER = 5, 0.96, 0.99
"""Choices that are measured; what is faster by more than the slack gives channels back; a miss aims 1 % closer."""
Scores = Mapping[str, Sequence["Tensor"]]


@dataclass(frozen=True)
class Goal:
    """How fast the engine has to become: times as fast as that of the network as it is, or within milliseconds."""

    speedup: float | None = None
    budget_ms: float | None = None

    def __str__(self) -> str:
        return f"speedup {self.speedup:g}" if self.speedup is not None else f"budget_ms {self.budget_ms:g}"

    def ms(self, reference_ms: float) -> float:
        """The most milliseconds, when the engine of the network as it is takes ``reference_ms``."""
        if self.speedup is not None:
            return reference_ms / self.speedup
        assert self.budget_ms is not None
        return self.budget_ms


@dataclass(frozen=True)
class Chosen:
    """Widths, and how they came about, as JSON keeps it."""

    widths: Widths
    record: dict[str, Any]


class Engines:
    """Times engines of one network with other widths, one after the other in turn with the network's own.

    Args:
        bench: of the target.
        export: of the network.
        network: as it is; not changed.
        inputs: a frame.
        groups: of the network.
        scores: importance of its channels; which go does not matter for the time.
        source: FP32 ONNX of the network as it is.
        typed: gives an ONNX model the types that the engines are to have; None: they stay FP32.
    """

    def __init__(
        self,
        bench: Bench,
        export: Export,
        network: nn.Module,
        inputs: Sequence[Tensor],
        groups: Sequence[Group],
        scores: Scores,
        source: bytes,
        typed: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.typed = typed or bytes
        self.bench, self.export, self.source = bench, export, self.typed(source)
        self.network, self.inputs, self.groups, self.scores = network, inputs, groups, scores

    def time(self, widths: Mapping[str, int]) -> Row:
        """The median of both engines in one loop."""
        narrow = copy.deepcopy(self.network)
        Graph(narrow, self.inputs).cut(self.groups, widths, self.scores)
        found = self.bench.latency({"own": self.source, "narrow": self.typed(self.export(narrow))}, QUERIES)
        return Row(dict(widths), found["narrow"].p50, found["own"].p50)


def choose(job: Job, engines: Engines, goal: Goal, step: int, max_ratio: float, count: int) -> Chosen:
    """The widths that cost least and whose engine, measured, reaches ``goal``.

    What was chosen once is kept in ``job.scratch``: times are not the same twice, and a killed step has to go on with
    the same network.

    Args:
        job: with a bench.
        engines: of the network.
        goal: to be reached.
        step: of the target's staircase.
        max_ratio: the most that a group may lose.
        count: engines in the table.

    Raises:
        SpecError: the engine is as fast already.
        ModelError: the goal cannot be reached; the message has the largest speed-up that is predicted.
    """
    kept = None if job.scratch is None else job.scratch / "prune-choice.json"
    if kept is not None and kept.exists():
        return Chosen(**json.loads(kept.read_text(encoding="utf-8")))
    groups = engines.groups
    options = {group.name: search.coarse(group, step, max_ratio) for group in groups}
    held = table.Table(place(job, groups, step, engines.typed is not bytes))
    work = layers.Work(
        layers.layers(Graph(copy.deepcopy(engines.network), engines.inputs), groups, engines.inputs), groups, step
    )
    measure(job, engines, held, options, count)
    narrowest = {group.name: options[group.name][-1] for group in groups}
    _require_reachable(goal, held, narrowest, max_ratio)
    costs = damage.costs(job, engines.network, engines.inputs, groups, options, engines.scores, job.progress)
    chosen = _corrected(engines, goal, held, work, options, costs)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, asdict(chosen))
    return chosen


def measure(job: Job, engines: Engines, held: table.Table, options: Options, count: int) -> None:
    """Fill the table to ``count`` engines of designed widths."""
    designed = table.designed(engines.groups, options, count)
    with job.progress.track("prune: engines of other widths", len(designed)) as advance:
        for widths in designed:
            if held.find(widths) is None:
                held.add(engines.time(widths))
            advance()


def _corrected(
    engines: Engines,
    goal: Goal,
    held: table.Table,
    work: layers.Work,
    options: Options,
    costs: Mapping[str, search.Cost],
) -> Chosen:
    """Choose, measure, and aim again: further where the goal was missed, less far where far more was reached."""
    groups = engines.groups
    narrowest = {group.name: options[group.name][-1] for group in groups}
    aim, attempts = 1.0, []
    reached: dict[float, tuple[Widths, Row, table.Fit]] = {}
    reference_ms = held.rows[-1].reference_ms
    for _ in range(_ATTEMPTS):
        fitted = table.fit(work, held.rows)
        # A machine that is busier or idler than when the table was made takes longer or shorter for both engines.
        target_ms = goal.ms(reference_ms) / reference_ms * fitted.reference_ms
        widths = search.greedy(groups, options, costs, fitted.ms, target_ms * aim) or narrowest
        known = held.find(widths)
        row = known or engines.time(widths)
        predicted = fitted.share(work.row(widths))
        attempts.append(_attempt(predicted, row))
        reference_ms = row.reference_ms
        wanted = goal.ms(reference_ms)
        if row.ms <= wanted:
            reached[sum(costs[g.name].at(widths[g.name]) for g in groups)] = (widths, row, fitted)
            if known is not None or row.ms >= _SLACK * wanted:
                break
        if known is None:
            held.add(row)
        missed = table.fit(work, held.rows).share(work.row(widths)) / row.share
        aim = missed * (_CLOSER if row.ms > wanted else 1.0)
    if not reached:
        best = min(row.share for row in held.rows)
        raise ModelError(
            f"prune: {goal} is not reached: the fastest engine that was measured is {1 / best:.2f}x as fast as the "
            f"unpruned one, the last took {row.ms:.3g} ms; ask for less, raise max_ratio, or keep fewer layers"
        )
    widths, row, fitted = reached[min(reached)]
    record = _record(groups, work, fitted, widths, costs, len(held.rows))
    return Chosen(widths, record | {"attempts": attempts, "speedup": round(1 / row.share, 4), "ms": round(row.ms, 4)})


def _attempt(predicted: float, row: Row) -> dict[str, float]:
    """A choice that was measured: ``error`` is that of its share of the unpruned engine's time."""
    return {
        "predicted_ms": round(predicted * row.reference_ms, 4),
        "measured_ms": round(row.ms, 4),
        "unpruned_ms": round(row.reference_ms, 4),
        "error": round(predicted / row.share - 1, 4),
    }


def _require_reachable(goal: Goal, held: table.Table, narrowest: Mapping[str, int], max_ratio: float) -> None:
    """Raise :class:`SpecError` for a goal that is reached already, :class:`ModelError` for one that is out of reach.

    The narrowest network was measured.
    """
    row = held.find(narrowest)
    assert row is not None
    if goal.ms(row.reference_ms) >= row.reference_ms:
        raise SpecError(
            f"prune: {goal} asks for nothing: the engine takes {row.reference_ms:.3g} ms as it is; "
            "ask for less, or leave the step out"
        )
    if row.ms > goal.ms(row.reference_ms):
        raise ModelError(
            f"prune: {goal} is not reached: with every group at its narrowest (max_ratio {max_ratio:g}) the engine "
            f"takes {row.ms:.3g} ms, {1 / row.share:.2f}x as fast as the unpruned one in {row.reference_ms:.3g} ms; "
            "ask for less, raise max_ratio, or keep fewer layers"
        )


def _record(
    groups: Sequence[Group],
    work: layers.Work,
    fitted: table.Fit,
    widths: Widths,
    costs: Mapping[str, search.Cost],
    engines: int,
) -> dict[str, Any]:
    """What the table says, and for each group its own layers' milliseconds before and after, and its cost."""
    before, after = (
        fitted.by_layer(choice)[0] * fitted.reference_ms for choice in (work.widths[None], work.row(widths))
    )
    made: dict[str, Any] = {}
    for group in groups:
        own = [at for at, layer in enumerate(work.layers) if group.name in layer.makes]
        made[group.name] = {
            "ms_before": round(float(before[own].sum()), 4),
            "ms_after": round(float(after[own].sum()), 4),
            "cost": round(costs[group.name].at(widths[group.name]), 6) if widths[group.name] < group.width else 0.0,
        }
    return {
        "table": {
            "engines": engines,
            "unpruned_ms": round(fitted.reference_ms, 4),
            "median_error": round(fitted.error, 4),
            "largest_error": round(max(abs(error) for error in fitted.errors), 4),
        },
        "by_group": made,
    }


def place(job: Job, groups: Sequence[Group], step: int, typed: bool = False) -> Path | None:
    """The file of the table: beside the project's stages, one for each network, target, staircase and precision."""
    if job.scratch is None or not job.machine:
        return None
    digest = hashlib.sha256(job.source.read_bytes())
    digest.update(json.dumps([job.machine, step, [[g.name, g.width] for g in groups]]).encode())
    digest.update(b"int8" if typed else b"")
    return job.scratch.parent / f"latency-{digest.hexdigest()[:16]}.json"
