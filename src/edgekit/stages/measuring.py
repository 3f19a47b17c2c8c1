"""Where the compress steps of a spec measure: on this machine, or on the target's host over SSH."""

from __future__ import annotations

from edgekit import engine, remote
from edgekit.core.errors import EnvironmentFault
from edgekit.core.progress import Progress
from edgekit.core.spec import Spec
from edgekit.engine import Backend


def backend_of(spec: Spec, target: str, progress: Progress) -> Backend:
    """The backend that compress steps are given: the target's own, or its host where a step measures there.

    Raises:
        EnvironmentFault: a step measures what a host does not give, or the host does not answer; nothing was done yet.
    """
    config = spec.targets[target]
    board = remote.backend(config, progress)
    measuring = [step for step in spec.compress if step.technique.measures]
    if not measuring or not isinstance(board, remote.Board):
        return engine.backend(config)
    other = next((step for step in measuring if not step.technique.times_only), None)
    if other is not None:
        raise EnvironmentFault(
            f"compress: {other.kind} ({other.technique.method}) measures the accuracy of engines on target {target}, "
            f"and over SSH {board.host.name} gives latencies only; compress on the target"
        )
    board.require()
    return board
