"""``edgekit evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.console import (
    Bars,
    BundleArgument,
    JsonOption,
    RootOption,
    VerboseOption,
    print_json,
    print_table,
    single,
)

if TYPE_CHECKING:
    from edgekit.core.reports import EvaluateReport

TableOption = Annotated[
    Path | None, typer.Option(help="CSV file of further metadata: frame id, then columns to slice by.")
]
UnitOption = Annotated[
    str | None, typer.Option(help="What intervals draw: frame, or a metadata column such as sequence or drive.")
]
ResamplesOption = Annotated[int, typer.Option(help="Draws of the bootstrap behind the intervals.")]
BagOption = Annotated[Path | None, typer.Option(help="A ROS 2 bag whose frames are taken; the labels stay the same.")]
TopicOption = Annotated[str | None, typer.Option(help="With --bag: the topic of images, where there are several.")]
TruthOption = Annotated[str | None, typer.Option(help="With --bag: a topic of true objects (Detection2DArray).")]
NamesOption = Annotated[
    Path | None, typer.Option(help="With --bag: CSV file of the columns stamp and name, the ids of the labels.")
]
WorstOption = Annotated[int, typer.Option(help="How many of the worst frames are named.")]


def evaluate(
    bundle: BundleArgument,
    metadata: TableOption = None,
    unit: UnitOption = None,
    resamples: ResamplesOption = 1000,
    worst: WorstOption = 10,
    bag: BagOption = None,
    topic: TopicOption = None,
    truth: TruthOption = None,
    names: NamesOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Accuracy of the engine on the bundle's evaluation data, beside its control on the same frames."""
    from dataclasses import replace

    from edgekit import pipeline
    from edgekit.bundle import open_bundle
    from edgekit.core.errors import InputError
    from edgekit.evaluation import Resampling
    from edgekit.stages.bags import BagFrames, on_bag
    from edgekit.stages.measure import EvaluateOptions

    how = EvaluateOptions(root, metadata, Resampling(unit, resamples), worst)
    if bag is None:
        alone = {"--topic": topic, "--truth": truth, "--names": names}
        lone = next((name for name, value in alone.items() if value is not None), None)
        if lone:
            raise InputError(f"{lone} says how a bag is read; name the bag with --bag")
        report = pipeline.evaluate(bundle, how, Bars(verbose))
    else:
        with open_bundle(bundle) as opened:
            recorded = on_bag(opened, BagFrames(bag, topic, truth, names), root)
            report = pipeline.evaluate(recorded, replace(how, root=None), Bars(verbose))
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)


def _show(report: EvaluateReport) -> None:
    from edgekit.core.reports import control_name

    control = report.control or {}
    rows = []
    for name, value in report.metrics.items():
        before, spread, gap = control.get(name), report.intervals.get(name), report.differences.get(name)
        rows.append(
            (
                name,
                "-" if before is None else f"{before:.4f}",
                f"{value:.4f}",
                "" if spread is None else _ends(spread.low, spread.high),
                "" if before is None else f"{value - before:+.4f}",
                "" if gap is None else _ends(gap.low, gap.high, sign="+"),
            )
        )
    header = ("metric", control_name(report.control_engine), "engine", "95 % interval", "change", "95 % interval")
    print_table(f"{report.bundle} on {report.frames} frames", header, rows)
    for warning in report.warnings:
        print(f"warning: {warning}")
    for note in report.notes:
        print(f"note: {note}")
    if report.slices:
        _show_slices(report)
    if report.bootstrap is not None:
        print(
            f"intervals from {report.bootstrap.resamples} draws of {report.bootstrap.units} x {report.bootstrap.unit}"
        )
    if report.worst:
        print("worst frames: " + ", ".join(f"{frame.id} ({frame.score:.3f})" for frame in report.worst[:5]))


def _show_slices(report: EvaluateReport) -> None:
    headline = next(iter(report.metrics))
    rows = []
    for part in report.slices:
        if headline not in part.metrics:
            continue
        spread, gap = part.intervals.get(headline), part.differences.get(headline)
        rows.append(
            (
                f"{part.column}={part.value}",
                str(part.frames),
                f"{part.metrics[headline]:.4f}",
                "" if spread is None else _ends(spread.low, spread.high),
                "" if gap is None else f"{gap.value:+.4f}",
                "" if gap is None or gap.p_adjusted is None else f"{gap.p_adjusted:.3f}",
            )
        )
    print_table(f"{headline} by slice", ("slice", "frames", "engine", "95 % interval", "change", "adjusted p"), rows)


def _ends(low: float | None, high: float | None, sign: str = "") -> str:
    ends = ["?" if end is None else f"{end:{sign}.4f}" for end in (low, high)]
    return f"[{', '.join(ends)}]"


command = single(evaluate)
