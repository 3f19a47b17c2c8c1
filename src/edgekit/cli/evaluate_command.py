"""``edgekit evaluate``."""

from __future__ import annotations

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


def evaluate(
    bundle: BundleArgument, root: RootOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Accuracy of the engine on the bundle's evaluation data, beside its FP32 control on the same frames."""
    from edgekit import pipeline

    report = pipeline.evaluate(bundle, root, Bars(verbose))
    if as_json:
        print_json(report.to_dict())
        return
    control = report.control or {}
    rows = []
    for name, value in report.metrics.items():
        before = control.get(name)
        change = "" if before is None else f"{value - before:+.4f}"
        rows.append((name, "-" if before is None else f"{before:.4f}", f"{value:.4f}", change))
    print_table(f"{report.bundle} on {report.frames} frames", ("metric", "FP32 control", "engine", "change"), rows)


command = single(evaluate)
