"""Latencies of engines with other widths, measured on the target, and what they say of widths that were not measured.

Each row is a whole engine with a width of its own in every group, timed in turn with the engine of the network as it
is.  A layer's time is taken to grow with its multiplications, and with the results that it writes, both in whole steps
of the staircase: one rate for each kind of kernel, found by non-negative least squares on relative errors, and then a
correction of each layer's rate, held to the kind's by a ridge whose strength the rows decide, each predicted by all
others (Hoerl and Kennard, "Ridge Regression", 1970).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.core.artifacts import write_json
from edgekit.core.errors import ModelError
from edgekit.prune.channels.groups import Group
from edgekit.prune.channels.layers import Numbers, Work

FORMAT = 1
_RIDGES = tuple(10.0**power for power in range(-4, 3))
_SPREAD = 0.2
"""How far the groups of one row are apart, as a share of their width (standard deviation)."""


@dataclass(frozen=True)
class Row:
    """An engine: its widths by group, its median milliseconds, and those of the unpruned engine beside it."""

    widths: Mapping[str, int]
    ms: float
    reference_ms: float

    @property
    def share(self) -> float:
        """Its time over that of the unpruned engine."""
        return self.ms / self.reference_ms


class Table:
    """Rows in a file, which grows by one whole row at a time; ``path`` None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[Row] = []
        if path is not None and path.exists():
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.get("format") != FORMAT:
                raise ModelError(f"{path} is no latency table of this version; delete it to measure again")
            self.rows = [Row(**row) for row in document["rows"]]

    def find(self, widths: Mapping[str, int]) -> Row | None:
        """The row of these widths."""
        return next((row for row in self.rows if row.widths == widths), None)

    def add(self, row: Row) -> None:
        """Keep one row more."""
        self.rows.append(row)
        if self.path is not None:
            rows = [{"widths": dict(r.widths), "ms": r.ms, "reference_ms": r.reference_ms} for r in self.rows]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"format": FORMAT, "rows": rows})


@dataclass(frozen=True)
class Fit:
    """Predicts milliseconds from widths.

    Args:
        work: of the layers.
        reference_ms: the unpruned engine's, median over the rows.
        rates: of each layer's multiplications, and of its results, in shares of the unpruned engine's time.
        fixed: what no width changes, in the same shares.
        errors: relative error of each row, predicted from the others.
    """

    work: Work
    reference_ms: float
    rates: tuple[Numbers, Numbers]
    fixed: float
    errors: tuple[float, ...] = field(default=())

    def ms(self, choices: Numbers) -> Numbers:
        """Milliseconds of widths ``(choices, groups)``."""
        found: Numbers = (self.by_layer(choices).sum(1) + self.fixed) * self.reference_ms
        return found

    def share(self, choice: Numbers) -> float:
        """The share of the unpruned engine's time that one choice takes."""
        return float(self.by_layer(choice).sum() + self.fixed)

    def by_layer(self, choices: Numbers) -> Numbers:
        """The share of the unpruned engine's time that each layer takes, ``(choices, layers)``."""
        products, results = self.work.of(choices)
        found: Numbers = products * self.rates[0] + results * self.rates[1]
        return found

    @property
    def error(self) -> float:
        """Median relative error of rows that the prediction did not know."""
        return float(np.median(np.abs(self.errors)))


def fit(work: Work, rows: Sequence[Row]) -> Fit:
    """The prediction of ``rows``, and of the unpruned network, whose share is 1."""
    choices = np.concatenate([work.widths[None], *(work.row(row.widths) for row in rows)])
    shares = np.array([1.0, *(row.share for row in rows)])
    best, found = math.inf, (1.0, np.zeros(len(rows)))
    for ridge in _RIDGES:
        errors = np.array([_left_out(work, choices, shares, ridge, at) for at in range(1, len(shares))])
        total = float(np.square(errors).sum())
        if total < best:
            best, found = total, (ridge, errors)
    rates, fixed = _solve(work, choices, shares, found[0])
    reference = float(np.median([row.reference_ms for row in rows]))
    return Fit(work, reference, rates, fixed, tuple(float(error) for error in found[1]))


def designed(groups: Sequence[Group], options: Mapping[str, Sequence[int]], count: int) -> list[dict[str, int]]:
    """Widths of ``count`` engines, always the same: the narrowest first, then random ones from wide to narrow."""
    rng = np.random.default_rng(0)
    made = [{group.name: options[group.name][-1] for group in groups}]
    while len(made) < count:
        narrowest = np.array([options[group.name][-1] / group.width for group in groups])
        level = rng.uniform(narrowest.min(), 1)
        wanted = np.clip(level + rng.normal(0, _SPREAD, len(groups)), narrowest, 1)
        made.append(
            {
                group.name: min(options[group.name], key=lambda one, w=share * group.width: abs(one - w))  # type: ignore[misc]
                for group, share in zip(groups, wanted, strict=True)
            }
        )
    return made


def _left_out(work: Work, choices: Numbers, shares: Numbers, ridge: float, at: int) -> float:
    """Relative error of a row that is predicted from the others."""
    others = np.arange(len(shares)) != at
    rates, fixed = _solve(work, choices[others], shares[others], ridge)
    products, results = work.of(choices[at : at + 1])
    predicted = float((products * rates[0] + results * rates[1]).sum() + fixed)
    return predicted / float(shares[at]) - 1


def _solve(work: Work, choices: Numbers, shares: Numbers, ridge: float) -> tuple[tuple[Numbers, Numbers], float]:
    """Rates of every layer, and what is fixed."""
    from scipy.optimize import nnls

    products, results = work.of(choices)
    kinds = [layer.kind for layer in work.layers]
    names = sorted(set(kinds))
    held = np.array([[kind == name for name in names] for kind in kinds], float)
    columns = np.concatenate([products @ held, results @ held, np.ones((len(choices), 1))], 1)
    scale = columns.max(0)
    relative = 1 / shares[:, None]
    rates, _ = nnls(columns / scale * relative, np.ones(len(shares)))
    rates = rates / scale
    multiplying, writing = (held @ part for part in (rates[: len(names)], rates[len(names) : -1]))
    base = products * multiplying + results * writing
    left = 1 - (base.sum(1) + rates[-1]) / shares
    seen = base * relative
    # The ridge in closed form, over rows: there are fewer of them than layers.
    inner = seen @ seen.T + ridge * np.eye(len(shares))
    more = np.maximum(1 + seen.T @ np.linalg.solve(inner, left), 0)
    return (multiplying * more, writing * more), float(rates[-1])
