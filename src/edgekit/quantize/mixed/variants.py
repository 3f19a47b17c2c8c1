"""One calibration, many models: the same network with other layers left in float."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import Any

from edgekit.qdq.graph import Graph
from edgekit.qdq.placement import Plan, plan
from edgekit.quantize import ptq
from edgekit.technique import Job


class Variants:
    """Typed models of one job and one PTQ configuration that differ in ``exclude`` only."""

    def __init__(self, job: Job, config: ptq.Config) -> None:
        self.job = job
        self.config = config
        self.prepared = ptq.prepare(job, config)

    @property
    def graph(self) -> Graph:
        """The FP32 model that every variant quantizes."""
        return self.prepared.graph

    @cached_property
    def plan(self) -> Plan:
        """The plan of the variant without further exclusions."""
        return self.prepared.plans[self.job.profile]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the compute nodes that can be left in float, in the order of the graph."""
        return self.plan.compute

    def record(self) -> dict[str, Any]:
        """How the calibration was done; see :func:`edgekit.quantize.ptq.described`."""
        return ptq.described(self.prepared, self.job.profile)

    def model(self, exclude: Collection[str] = ()) -> bytes:
        """The typed model with the layers in ``exclude`` in float."""
        if not exclude:
            return self.prepared.model(self.job.profile)
        names = (*self.prepared.config.exclude, *exclude)
        placed = plan(self.graph, self.plan.profile, names)
        plans = {self.job.profile: placed}
        return replace(self.prepared, plans=plans).model(self.job.profile)
