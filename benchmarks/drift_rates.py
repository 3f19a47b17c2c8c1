"""How often `edgekit.history.drifts` reports a change: of noise, where it is false, and of steps and slow drifts.

python benchmarks/drift_rates.py --json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.core.reports import Series
from edgekit.history import drifts

Rng = np.random.Generator


def correlated(rng: Rng, share: float, nights: int = 60) -> Any:
    """Noise of which each night keeps ``share`` of the night before."""
    values = rng.normal(size=nights + 20)
    for i in range(1, len(values)):
        values[i] += share * values[i - 1]
    return values[20:]


def drift(rng: Rng, nights: int, start: int) -> Any:
    """Noise of one sigma, and three sigma in the 30 nights from ``start``."""
    return rng.normal(size=nights) + 3 * np.clip((np.arange(nights) - start) / 30, 0, 1)


def step(rng: Rng, size: float, after: int) -> Any:
    """60 nights of noise of one sigma, and ``size`` sigma in the last ``after``."""
    return rng.normal(size=60) + size * (np.arange(60) >= 60 - after)


CASES: dict[str, Callable[[Rng], Any]] = {
    "false: normal noise, 60 nights": lambda rng: rng.normal(size=60),
    "false: normal noise, 200 nights": lambda rng: rng.normal(size=200),
    "false: lognormal noise, 60 nights": lambda rng: np.exp(0.8 * rng.normal(size=60)),
    "false: Student's t with 3 degrees of freedom, 60 nights": lambda rng: rng.standard_t(3, size=60),
    "false: noise that keeps 0.2 of the night before, 60 nights": lambda rng: correlated(rng, 0.2),
    "false: noise that keeps 0.4 of the night before, 60 nights": lambda rng: correlated(rng, 0.4),
    "found: 3 sigma in the last 30 of 60 nights": lambda rng: step(rng, 3, 30),
    "found: 3 sigma in the last 5 of 60 nights": lambda rng: step(rng, 3, 5),
    "found: 3 sigma in the last 3 of 60 nights": lambda rng: step(rng, 3, 3),
    "found: 2 sigma in the last 10 of 60 nights": lambda rng: step(rng, 2, 10),
    "found: drift of 3 sigma in the last 30 of 60 nights": lambda rng: drift(rng, 60, 30),
    "found: drift of 3 sigma in 30 nights, nothing before": lambda rng: drift(rng, 30, 0),
}


def series(values: Any) -> Series:
    n = len(values)
    none = (None,) * n
    return Series("m", "t", tuple(range(n)), tuple(map(float, values)), none, none, ("",) * n, ("",) * n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--series", type=int, default=1000, help="simulated series of each case")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rates = {}
    for name, make in CASES.items():
        rng = np.random.default_rng(7)
        rates[name] = sum(bool(drifts(series(make(rng)))) for _ in range(args.series)) / args.series
    if args.json:
        print(json.dumps({"series": args.series, "rates": rates}, indent=2))
    else:
        for name, rate in rates.items():
            print(f"{rate:6.3f}  {name}")


if __name__ == "__main__":
    main()
