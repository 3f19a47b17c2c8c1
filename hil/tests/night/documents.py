"""Documents of nights as ``edgekit hil night`` writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit.core.artifacts import write_json
from edgekit_hil.night.report import BoardResult, Finding, Known, NightReport, Regression, Standing

KEY = "seg-latency_p99_ms-baseline_ratio"
LATENCY = Regression(
    KEY, "seg", ("orin", "nx"), (Finding("latency_p99_ms", "baseline_ratio", "latency_p99_ms", "", "10 %", "5 %"),),
    Known("seg-orin@8"), (Known("seg-orin@9", "abcdef012345"),), 16, (), "", "edgekit hil run",
    "seg: latency_p99_ms, 10 % slower", "Suspect: seg-orin@9.",
)  # fmt: skip


def write_night(
    file: Path, standings: dict[str, Standing], regressions: tuple[Regression, ...] = (), night: str = "2026-11-29"
) -> Path:
    """The document of a night: where bundle ``seg`` stands on each board."""
    results = tuple(
        BoardResult(board, "seg", Known("seg-orin@9"), standing, "", True, f"{board}/seg")
        for board, standing in standings.items()
    )
    report = NightReport(night, "fail" if regressions else "pass", "", f"{night}T01:17:00+00:00", 1.0, 2, results, ())
    write_json(file, replace(report, regressions=regressions).to_dict())
    return file
