"""Run the calibration frames once and find the range of every tensor that a plan rounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array, Arrays
from edgekit.qdq.glance import Glances
from edgekit.qdq.graph import Graph, feeds_depthwise
from edgekit.qdq.observe import Observer
from edgekit.qdq.profiles import Profile
from edgekit.qdq.ranges import Histogram, MinMax, RangeFinder, Steps
from edgekit.qdq.seen import function_of
from edgekit.technique import Frames


@dataclass(frozen=True)
class Calibration:
    """What the frames showed: one range finder per tensor; ``unseen`` were empty in every frame."""

    finders: dict[str, RangeFinder]
    frames: int
    unseen: frozenset[str] = frozenset()
    _searched: dict[Steps, dict[str, tuple[float, float]]] = field(default_factory=dict, compare=False)

    def ranges(self, profile: Profile) -> dict[str, tuple[float, float]]:
        """(lowest, highest) of every tensor for the grids of ``profile``.

        Raises:
            DataError: no frame had a value of a tensor.
        """
        if self.unseen:
            raise DataError(
                f"tensor {min(self.unseen)!r} was empty in every calibration frame; give data.calibration a frame "
                "in which it holds values, or exclude the nodes that make and read it"
            )
        steps = Steps(254 if profile.symmetric else 255, profile.symmetric)
        if steps not in self._searched:
            self._searched[steps] = {name: finder.range(steps) for name, finder in self.finders.items()}
        return self._searched[steps]

    def channel_ranges(self, profile: Profile) -> dict[str, Array]:
        """Of the tensors of which channels were looked at: the ranges of these, ``(2, C)``."""
        ranges = self.ranges(profile)
        found = {name: finder.channel_ranges(*ranges[name]) for name, finder in self.finders.items()}
        return {name: by_channel for name, by_channel in found.items() if by_channel is not None}


def calibrate(
    graph: Graph,
    tensors: Iterable[str],
    frames: Frames,
    finder: Callable[[str], RangeFinder],
    advance: Callable[[], None] = lambda: None,
    by_channel: Collection[str] = (),
) -> Calibration:
    """Show every frame to the model and its tensors to their finders; one frame is in memory at a time.

    Args:
        graph: the FP32 model.
        tensors: names of float activations or inputs.
        frames: at least one.
        finder: makes the empty finder of a tensor.
        advance: called after every frame.
        by_channel: images of which the ranges of the channels are wanted too, beside those that depthwise convolutions
            read.

    Raises:
        DataError: no frame.
        ModelError: NaN or infinity in a tensor, or frames that do not fit the model.
    """
    finders = {name: finder(name) for name in tensors}
    for name, one in finders.items():
        one.by_channel = name in by_channel or feeds_depthwise(graph, name)
        if isinstance(one, Histogram):
            one.seen = function_of(graph, name)
    glances = Glances(graph, finders)
    unseen = set(finders)
    count = 0
    for feeds in frames:
        for name in finders.keys() & feeds.keys():
            finders[name].update(feeds[name])
            if feeds[name].size:
                unseen.discard(name)
        empty, broken = glances(feeds)
        if broken is not None:
            _blame(graph, finders, feeds, broken)
        unseen &= empty | set(graph.inputs)
        count += 1
        advance()
    if count == 0:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return Calibration(finders, count, frozenset(unseen))


def _blame(graph: Graph, finders: Mapping[str, RangeFinder], feeds: Arrays, output: str) -> None:
    """Raise :class:`ModelError` with the name of the first tensor that holds NaN."""
    seen = Observer(graph, [name for name in finders if name not in graph.inputs])(feeds)
    for name in (name for node in graph.nodes for name in node.output if name in seen):
        finders[name].update(seen[name])
    MinMax(output).update(np.array([np.nan], np.float32))
