"""What pruning each group alone costs and saves: the numbers that a choice by milliseconds is made from."""

from __future__ import annotations

import copy

from edgekit.core.reports import GroupCost
from edgekit.prune.channels import damage, frames, graph, layers, search, table, timed
from edgekit.prune.channels.ranking import importance
from edgekit.prune.channels.staircase import step
from edgekit.technique import Job

ENGINES, MAX_RATIO, FRAMES = 12, 0.75, 64


def analyse(job: Job) -> tuple[GroupCost, ...]:
    """Every group at about half of its channels, the one that saves most milliseconds for its cost first.

    Makes the latency table of :mod:`edgekit.prune.channels.table`, or reads the one that is kept for the target.

    Raises:
        ModelError: an ONNX file, or a network in which nothing can be pruned.
        SpecError: there is no bench.
        DataError: no calibration frame.
        MissingRequirement: torch-pruning is not installed.
    """
    network_of, export = job.need_network("what pruning costs")
    bench, inputs = job.need_bench("what pruning saves"), frames.first(job)
    groups = graph.prunable(network_of, inputs).groups
    network, stride = network_of(), step(job.profile)
    rank = importance("l2", network, frames.Batches(job, FRAMES), job.outputs, job.loss)
    whole = graph.Graph(network, inputs)
    scores = whole.scores(groups, rank)
    options = {group.name: search.coarse(group, stride, MAX_RATIO) for group in groups}
    work = layers.Work(layers.layers(whole, groups, inputs), groups, stride)
    engines = timed.Engines(bench, export, copy.deepcopy(network), inputs, groups, scores, job.source.read_bytes())
    held = table.Table(timed.place(job, groups, stride))
    timed.measure(job, engines, held, options, ENGINES)
    fitted = table.fit(work, held.rows)
    costs = damage.costs(job, network, inputs, groups, options, scores, job.progress)
    full = {group.name: group.width for group in groups}
    found = []
    for group in groups:
        narrowed = min(options[group.name], key=lambda width, half=group.width / 2: abs(width - half))  # type: ignore[misc]
        if narrowed == group.width:
            continue
        saved = float((fitted.ms(work.row(full)) - fitted.ms(work.row({**full, group.name: narrowed})))[0])
        found.append(GroupCost(group.layers, group.width, narrowed, costs[group.name].at(narrowed), saved))
    return tuple(sorted(found, key=lambda one: one.cost / max(one.saved_ms, 1e-9)))
