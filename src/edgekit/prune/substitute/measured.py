"""What pays on the target: engines with each kind exchanged, in turn with the one without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.errors import SpecError
from edgekit.prune.substitute.forms import Kind
from edgekit.stats.faster import MARGIN, OPENINGS, Faster, faster, speedup
from edgekit.technique import Bench

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Tried:
    """One kind in one form: median milliseconds, and how many times as fast the engine is with it."""

    kind: Kind
    form: str
    ms: float
    speedup: str
    verdict: Faster

    def __str__(self) -> str:
        return f"{self.kind} by {self.form}: {self.speedup} ({self.verdict})"


def tried(bench: Bench, before: bytes, after: Mapping[tuple[Kind, str], bytes]) -> list[Tried]:
    """Time the engine of ``before`` in turn with those of ``after``.

    Args:
        bench: of the target.
        before: typed ONNX of the network as it is.
        after: the same with one kind exchanged, by kind and form.
    """
    models = {AS_IT_IS: before} | {f"{kind} {form}": model for (kind, form), model in after.items()}
    times = bench.times_ms(models)
    found = []
    for kind, form in after:
        own = times[f"{kind} {form}"]
        ratio = speedup(times[AS_IT_IS], own, OPENINGS)
        found.append(Tried(kind, form, float(np.median(own)), str(ratio), faster(ratio)))
    return found


def pays(found: Sequence[Tried], forms: Callable[[Kind], Sequence[str]]) -> dict[Kind, str]:
    """The form of each kind that pays: the fastest, or one as fast that computes more nearly the same.

    Raises:
        SpecError: none does; the table is in the message.
    """
    chosen: dict[Kind, str] = {}
    for kind in dict.fromkeys(one.kind for one in found):
        better = {one.form: one.ms for one in found if one.kind == kind and one.verdict == "faster"}
        if better:
            least = min(better.values())
            chosen[kind] = next(form for form in forms(kind) if better.get(form, np.inf) <= least * MARGIN)
    if not chosen:
        table = "; ".join(map(str, found))
        raise SpecError(
            f"prune: substitute: nothing is faster on this target when it is exchanged: {table}; "
            "leave the step out, or exchange all the same with force: true"
        )
    return chosen


def described(found: Sequence[Tried]) -> list[dict[str, Any]]:
    """As JSON."""
    return [
        {"kind": one.kind, "form": one.form, "ms": one.ms, "speedup": one.speedup, "verdict": one.verdict}
        for one in found
    ]
