"""What commands show: one comparison table, and overlay pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import DataError
from edgekit.core.reports import EvaluateReport, GateReport, ProfileReport
from edgekit.core.tensors import Array

Row = tuple[str, str, str, str]


def comparison(
    evaluation: EvaluateReport, profile: ProfileReport, gate: GateReport | None, headline: Iterable[str]
) -> list[Row]:
    """Rows (what, control, candidate, change) of the FP32-against-candidate table."""
    before = evaluation.control or {}
    rows = [
        _row(name, before.get(name), evaluation.metrics[name], "{:.4f}", difference=True)
        for name in headline
        if name in evaluation.metrics
    ]
    control = profile.control
    for percentile in ("p50", "p90", "p99"):
        now = getattr(profile.latency_ms, percentile)
        then = None if control is None else getattr(control.latency_ms, percentile)
        rows.append(_row(f"latency {percentile} (ms)", then, now, "{:.2f}"))
    rows.append(_row("engine size (MiB)", None if control is None else control.size_mib, profile.size_mib, "{:.2f}"))
    memory = {} if control is None else control.memory_mib
    rows.append(_row("peak memory (MiB)", memory.get("peak_rss"), profile.memory_mib["peak_rss"], "{:.0f}"))
    if gate is not None:
        rows.append(("gate", "", gate.verdict.upper(), f"{len(gate.kpis)} KPIs"))
    return rows


def _row(name: str, before: float | None, now: float, form: str, difference: bool = False) -> Row:
    if before is None:
        return name, "-", form.format(now), ""
    change = f"{now - before:+.4f}" if difference else f"{before / now:.2f}x" if now else ""
    return name, form.format(before), form.format(now), change


def write_picture(path: Path, picture: Array) -> None:
    """Write an RGB uint8 ``(H, W, 3)`` array as PNG or JPEG, by the path's suffix, atomically."""
    import cv2

    try:
        _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise DataError(f"{path}: cannot be encoded as {path.suffix!r}; use .png or .jpg") from error
    write_bytes(path, encoded.tobytes())
