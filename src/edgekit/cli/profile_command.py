"""``edgekit profile``."""

from __future__ import annotations

from typing import Annotated

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

QueriesOption = Annotated[int, typer.Option(help="Queries that count.")]
WarmupOption = Annotated[int, typer.Option(help="Queries before them that do not.")]


def profile(
    bundle: BundleArgument,
    queries: QueriesOption = 200,
    warmup: WarmupOption = 20,
    root: RootOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Latency by stage and peak memory of the engine, timed in turn with its FP32 control."""
    from edgekit import pipeline
    from edgekit.profiling import Load

    report = pipeline.profile(bundle, Load(queries, warmup), root, Bars(verbose))
    if as_json:
        print_json(report.to_dict())
        return
    rows = [(stage, *(f"{v:.2f}" for v in (t.p50, t.p90, t.p99))) for stage, t in report.stages_ms.items()]
    print_table(f"{report.bundle}: milliseconds over {queries} queries", ("stage", "p50", "p90", "p99"), rows)
    if report.control is not None:
        print(
            f"FP32 control: p50 {report.control['latency_ms']['p50']:.2f} ms; "
            f"the engine is {report.speedup_p50:.2f}x as fast"
        )
    memory = report.memory_mib
    print(
        f"peak memory {memory['peak_rss']:.0f} MiB (engine {memory['engine']:.0f} MiB), "
        f"engine file {report.size_mib:.2f} MiB"
    )


command = single(profile)
