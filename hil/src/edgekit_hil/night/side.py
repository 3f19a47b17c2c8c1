"""The same bundle on several boards, side by side: accuracy, outputs, latency, what each board is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.reporting import words
from edgekit_hil.report import RunReport

_METRICS = 10
_CHECKS = ("check", "engine", "verify")
_SAME = 1e-9  # relative: sums in another order


@dataclass(frozen=True)
class Row:
    """One number on every board; ``spread`` says how far they are apart, ``apart`` whether that is worth a look."""

    name: str
    cells: tuple[str, ...]
    spread: str = ""
    apart: bool = False


@dataclass(frozen=True)
class Side:
    """A bundle: ``boards`` are the columns; ``note`` warns of what cannot be compared."""

    bundle: str
    boards: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


def side_by_side(bundle: str, runs: Mapping[str, RunReport]) -> Side | None:
    """The runs of one bundle by board; None: no board measured it.

    Accuracy on the same frames differs between boards only by what the boards and their runtimes compute, not by
    chance, so every difference beyond rounding is named.
    """
    measured = {board: run for board, run in runs.items() if run.evaluation is not None or run.profile is not None}
    if not measured:
        return None
    found = list(measured.values())
    rows = [Row("bundle", tuple(run.bundle for run in found), apart=len({run.bundle for run in found}) > 1)]
    rows += [_checked(found), *_accuracy(found), *_outputs(found), *_timing(found)]
    emulated = [board for board, run in measured.items() if run.board.emulated]
    notes = [f"Times of {', '.join(emulated)} are those of an emulator and mean nothing."] if emulated else []
    if rows[0].apart:
        notes.append("The boards ran different builds of it: a difference may come from the build.")
    return Side(bundle, tuple(measured), tuple(row for row in rows if any(row.cells)), " ".join(notes))


def _checked(runs: Sequence[RunReport]) -> Row:
    """What the check of the engine against the bundle's golden outputs said."""
    cells = []
    for run in runs:
        step = next((step for step in run.steps if step.name in _CHECKS), None)
        cells.append("" if step is None else step.said or step.outcome)
    return Row("outputs against golden", tuple(cells))


def _accuracy(runs: Sequence[RunReport]) -> list[Row]:
    found = [run.evaluation.metrics if run.evaluation is not None else {} for run in runs]
    names = dict.fromkeys(name for one in found for name in one)
    return [_row(name, [one.get(name) for one in found], compared=True) for name in list(names)[:_METRICS]]


def _outputs(runs: Sequence[RunReport]) -> list[Row]:
    """Of the frames that every board names among its worst, the one whose scores are furthest apart."""
    scores = [{f.id: f.score for f in run.evaluation.worst} if run.evaluation is not None else {} for run in runs]
    shared = [frame for frame in scores[0] if all(frame in one for one in scores)] if len(runs) > 1 else []
    if not shared:
        return []
    apart = max(shared, key=lambda frame: max(s[frame] for s in scores) - min(s[frame] for s in scores))
    return [_row(f"score of frame {apart}", [one[apart] for one in scores], compared=True)]


def _timing(runs: Sequence[RunReport]) -> list[Row]:
    profiles = [run.profile for run in runs]
    return [
        _row("latency p50", [p.latency_ms.p50 if p is not None else None for p in profiles], "ms"),
        _row("latency p99", [p.latency_ms.p99 if p is not None else None for p in profiles], "ms"),
        _row("peak memory", [p.memory_mib.get("peak_rss") if p is not None else None for p in profiles], "MiB"),
        _row("results of the bag", [run.node.results if run.node is not None else None for run in runs]),
    ]


def _row(name: str, values: Sequence[float | None], unit: str = "", compared: bool = False) -> Row:
    known = [value for value in values if value is not None]
    cells = tuple("" if value is None else words.number(value, unit) for value in values)
    if len(known) < 2:
        return Row(name, cells)
    low, high = min(known), max(known)
    if compared:
        apart = high - low > _SAME * max(abs(low), abs(high))
        return Row(name, cells, f"differs by {words.number(high - low)}" if apart else "equal", apart)
    return Row(name, cells, f"{high / low:.3g} times" if low > 0 else "")
