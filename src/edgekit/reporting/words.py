"""Numbers and limits as a person reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from edgekit.core.reports import Difference, Interval, KpiResult

NOTHING = "–"
LONG = 12


def number(value: float | None, unit: str = "") -> str:
    """Four significant digits or decimals (two digits below 0.0001), never an exponent; a dash for None."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        text = "NaN" if math.isnan(value) else "infinite"
    elif 1e-9 < abs(value) < 1e-4:
        text = f"{value:.{1 - math.floor(math.log10(abs(value)))}f}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        # As many decimals as four significant digits need: 0.7123, 12.35, 512.
        decimals = 4 if abs(value) < 1 else 3 - math.floor(math.log10(abs(value)))
        text = f"{value:.{decimals}f}"
        if "." in text and abs(value) >= 100:
            text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}" if unit else text


def signed(value: float) -> str:
    """As :func:`number`, with a sign that is wide enough to see."""
    return ("−" if value < 0 else "+") + number(abs(value))


def interval(found: Interval | Difference | Mapping[str, Any] | None, sign: bool = False) -> str:
    """``0.701 to 0.724``; an empty text when there is none, and a dash for an end that is not known."""
    if found is None:
        return ""
    low, high = (found["low"], found["high"]) if isinstance(found, Mapping) else (found.low, found.high)
    if low is None and high is None:
        return ""
    form = signed if sign else number
    return " to ".join(NOTHING if end is None else form(end) for end in (low, high))


def worsening(found: Interval | None) -> str:
    """The interval of a drop (above 0 is worse) in words that agree with its signs; empty when there is none."""
    if found is None or (found.low is None and found.high is None):
        return ""
    low, high = found.low, found.high
    if low is None or high is None:
        end, most = (high, "at most") if low is None else (low, "at least")
        return f"{most} {number(end)} worse" if (end or 0) >= 0 else f"{_OTHER[most]} {number(-(end or 0))} better"
    if low >= 0:
        return f"worse by {number(low)} to {number(high)}"
    if high <= 0:
        return f"better by {number(abs(high))} to {number(-low)}"
    return f"between {number(high)} worse and {number(-low)} better"


_OTHER = {"at most": "at least", "at least": "at most"}


def times_baseline(kpi: KpiResult, ratio: float, form: str = "") -> str:
    """A ratio of how much worse a KPI is than the baseline, as a share of the baseline's value.

    Of a number of which more is better (``higher``) the ratio is ``baseline / value``: 1.05 times worse is 1/1.05 of
    the baseline's.
    """
    text = form or number(ratio)
    return (
        f"1/{text.replace(' to ', ' to 1/')} of the baseline's" if kpi.limit.higher else f"{text} times the baseline's"
    )


def p_value(value: float | None) -> str:
    """Three decimals, or ``< 0.001``."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def share(value: float) -> str:
    """A part of one as per cent."""
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"


def small_share(value: float) -> str:
    """A part of one as per cent, with two decimals where it is small."""
    return share(value) if value >= 0.1 or value == 0 else f"{value:.2%}"


def duration(value_ms: float) -> str:
    """Milliseconds, or microseconds when they are few."""
    return f"{value_ms:.3g} ms" if value_ms >= 0.1 else f"{value_ms * 1000:.3g} µs"


def amount(value: float | None, unit: str) -> str:
    """``1.2 GFLOP``, ``34 MB``; a dash for None."""
    if value is None:
        return NOTHING
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.0f} {unit}"


def limit(kpi: KpiResult) -> str:
    """What had to hold, e.g. ``at most 0.01 below FP32 (0.7199)``."""
    kind, most = kpi.limit.kind, f"{kpi.limit.value:g} {kpi.unit}".rstrip()
    if kind == "min":
        return f"at least {most}"
    if kind == "max":
        return f"at most {most}"
    of = number(kpi.limit.control if kind == "max_drop" else kpi.limit.baseline, kpi.unit)
    against = f"{'FP32' if kind == 'max_drop' else 'the baseline'} ({of})"
    if kind == "baseline_ratio":
        share = times_baseline(kpi, kpi.limit.value, f"{kpi.limit.value:g}")
        return f"{'at least' if kpi.limit.higher else 'at most'} {share} ({of})"
    return f"at most {most} worse than {against}"


def breakable(text: str) -> list[str]:
    """A path in pieces, so that a line may end behind each ``/``, ``.`` or ``_``."""
    return re.findall(r"[^/._]*[/._]+|[^/._]+", text)


def facts(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """A mapping of any depth as (name, text) rows; names of inner keys follow their outer ones.

    Long lists of numbers are left out: they are raw readings, which the JSON documents keep.
    """
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}: {key}" if before else str(key).replace("_", " ")
        if isinstance(value, Mapping):
            rows += facts(value, name)
        elif value not in (None, "", (), []) and not _readings(value):
            rows.append((name, _text(value)))
    return rows


def _readings(value: Any) -> bool:
    rows = value if isinstance(value, list | tuple) else ()
    return len(rows) > LONG and all(isinstance(item, int | float | list | tuple) for item in rows)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value[:LONG])) + (f" … ({len(value)} values)" if len(value) > LONG else "")
    return str(value)
