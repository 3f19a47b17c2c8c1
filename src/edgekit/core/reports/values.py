"""What all reports are made of."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA_VERSION = 1

Verdict = Literal["pass", "fail"]
KpiVerdict = Literal["pass", "fail", "undecided"]


class Document:
    """Mix-in: a report as a JSON-ready dictionary."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings, numbers, booleans and None."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


def control_name(engine: str) -> str:
    """``FP16 control`` of ``engines/fp16.engine``; ``control`` of a file that is not named after its precision."""
    precision = engine.rpartition("/")[2].partition(".")[0]
    return f"{precision.upper()} control" if re.fullmatch(r"(fp|bf|int)\d+", precision) else "control"


@dataclass(frozen=True)
class Metric:
    """The direction and unit of a number; ``higher`` says whether more is better, ``share`` that 0..1 bounds it."""

    name: str
    higher: bool
    unit: str = ""
    share: bool = True


@dataclass(frozen=True)
class Interval:
    """A confidence interval; an end is None where the data are too few to say."""

    low: float | None
    high: float | None
