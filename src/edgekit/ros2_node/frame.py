"""What goes through the node: a frame as it came, and what was made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.core.tensors import Array, Arrays


@dataclass(frozen=True)
class Frame:
    """One image of one camera, not yet decoded.

    ``read`` gives it as RGB ``(H, W, 3)`` and raises :class:`~edgekit.core.errors.DataError` when it cannot be read;
    ``stamp_s`` is the time at which it was taken, ``received_s`` that at which it came here, both by the node's clock;
    ``header`` goes back to whoever publishes the result.
    """

    camera: str
    read: Callable[[], Array]
    stamp_s: float
    received_s: float
    header: object = None


@dataclass(frozen=True)
class Query:
    """The frames of one inference by the source that the model's preprocessing calls them; the first is the leader."""

    frames: dict[str, Frame]

    @property
    def leader(self) -> Frame:
        """Its camera, stamp and header are those of the result."""
        return next(iter(self.frames.values()))


@dataclass(frozen=True)
class Result:
    """What the network said about one query.

    ``image`` is the leader's; ``prediction`` is None when the outputs hold NaN or infinity.  ``age_at_start_s`` and
    ``age_s`` count from the leader's stamp to when its inference began, and to the result.
    """

    query: Query
    image: Array
    outputs: Arrays
    prediction: Any
    pre_s: float
    infer_s: float
    post_s: float
    age_at_start_s: float
    age_s: float

    @property
    def total_s(self) -> float:
        """From the received frame to the prediction, without waiting."""
        return self.pre_s + self.infer_s + self.post_s
