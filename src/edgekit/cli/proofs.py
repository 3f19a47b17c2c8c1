"""What a build found out about its engines, in tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.cli.console import print_table

_COUNTS = {
    "missed_layers": "wider than asked",
    "unfused_qdq": "Q/DQ of their own",
    "reformat_layers": "reformats",
    "dla_subgraphs": "on a DLA",
    "dla_fallbacks": "left to the GPU",
}
_NAMED = 3


def show_summary(report: Mapping[str, Any]) -> None:
    """How many layers of an engine compute in which type, against what its model asked for."""
    achieved = report.get("achieved")
    if achieved is None:
        return
    groups: dict[tuple[str, str], list[str]] = {}
    for layer in achieved["layers"]:
        if layer["wanted"]:
            groups.setdefault((layer["wanted"], layer["achieved"] or "?"), []).append(layer["name"])
    rows = [(*types, str(len(names)), _some(names, achieved["missed"])) for types, names in groups.items()]
    print_table(_title(report), ("asked for", "achieved", "layers", "missed"), rows, "missed")


def show_layers(report: Mapping[str, Any]) -> None:
    """Every layer that was asked for a type, or that only rounds."""
    achieved = report.get("achieved")
    if achieved is None:
        return
    shown = [layer for layer in achieved["layers"] if layer["wanted"] or layer["name"] in achieved["unfused"]]
    rows = [(layer["name"], layer["kind"], layer["wanted"] or "-", layer["achieved"] or "?") for layer in shown]
    print_table(_title(report), ("layer", "kind", "asked for", "achieved"), rows)


def race_line(race: Mapping[str, Any]) -> str:
    """INT8 against its control, in one sentence."""
    interval = race["interval"]
    ends = "" if interval is None or interval["low"] is None else f" [{interval['low']:.2f}, {interval['high']:.2f}]"
    how = f"{race['queries']} queries of each in turn" if race["queries"] else f"medians of {race['by']}, not in turn"
    return (
        f"int8 p50 {race['p50_ms']:.3f} ms, its {race['control'].upper()} control {race['control_p50_ms']:.3f} ms: "
        f"{race['speedup_p50']:.2f}x{ends} as fast ({how}): {race['verdict']}"
    )


def _title(report: Mapping[str, Any]) -> str:
    achieved = report["achieved"]
    counts = [f"{int(achieved['numbers'][name])} {what}" for name, what in _COUNTS.items() if achieved["numbers"][name]]
    if achieved["unknown"]:
        counts.append(f"{achieved['unknown']} not told")
    return f"{achieved['precision']} layers: {achieved['verdict']}; {', '.join(counts) or 'all as asked'}"


def _some(names: list[str], missed: list[str]) -> str:
    found = [name for name in names if name in missed]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
