"""What a gate measures within its time budget, and what it says of the KPIs that it had no time for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from edgekit.core.budget import Budget, OutOfTime, in_words
from edgekit.core.spec import Kpi

T = TypeVar("T")
Part = Literal["accuracy", "timing"]

FRAMES_SHARE, OPENINGS_SHARE = 0.7, 0.85
"""Of what is left of a budget: accuracy leaves the rest to timing, and timing its rest to the memory of the engines."""


@dataclass(frozen=True)
class Timely:
    """The budget of one gate, and why a part was given up.

    A part is measured whole or not at all: accuracy on the frames that a little time allows is that of other data.
    Openings of the engines are a sample, so fewer of them give wider intervals, and are taken as they are.
    """

    budget: Budget
    late: dict[Part, str] = field(default_factory=dict)

    def take(self, parts: tuple[Part, ...], measure: Callable[[], T]) -> T | None:
        """The measurement; None: it would not have been done in time."""
        try:
            return measure()
        except OutOfTime as why:
            self.late.update(dict.fromkeys(parts, str(why)))
            return None

    def split(
        self, kpis: Mapping[str, Kpi], target: str, measured: Collection[str], of_task: Collection[str], baseline: bool
    ) -> tuple[dict[str, Kpi], dict[str, str]]:
        """The KPIs that can be judged, and why the others cannot; all of them where there is no budget.

        Args:
            kpis: by name.
            target: KPIs of others are nobody's time.
            measured: names of the numbers there are.
            of_task: names of the task's metrics.
            baseline: whether what is held against a baseline can be.
        """
        if not self.budget.limited:
            return dict(kpis), {}
        kept: dict[str, Kpi] = {}
        missed: dict[str, str] = {}
        for name, kpi in kpis.items():
            against = kpi.baseline_drop is not None or kpi.baseline_ratio is not None
            wanted = kpi.metric or name
            if kpi.target not in (None, target) or (wanted in measured and (baseline or not against)):
                kept[name] = kpi
                continue
            part: Part = "accuracy" if wanted in of_task else "timing"
            why = self.late.get(part) or next(iter(self.late.values()), "too few queries fitted")
            missed[name] = f"no time was left of --budget {in_words(self.budget.seconds)}: {why}"
        return kept, missed
