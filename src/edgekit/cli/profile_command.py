"""``edgekit profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from edgekit.core.reports import Latency, ProfileReport, Traffic

QueriesOption = Annotated[
    int,
    typer.Option(help="Queries that count, rounded up to equally many an opening; p99 needs 662, p99.9 needs 6636."),
]
WarmupOption = Annotated[int, typer.Option(help="Queries before them that do not.")]
LoadsOption = Annotated[
    int, typer.Option(help="How often the engines are opened anew; each time is a little different.")
]
ScenarioOption = Annotated[
    str | None,
    typer.Option(
        help="single-stream, constant-stream or offline, for the engine alone; default: in turn with the control."
    ),
]
RateOption = Annotated[float | None, typer.Option(help="Queries a second of constant-stream, e.g. 30.")]
IdleGapOption = Annotated[float | None, typer.Option(help="Pause before each query of single-stream: cold spikes.")]
CoLoadOption = Annotated[bool, typer.Option("--co-load", help="Keep the other cores busy meanwhile.")]
LayersOption = Annotated[int, typer.Option(help="Also time every layer, and show so many.")]
TraceOption = Annotated[Path | None, typer.Option(help="Write a trace of queries and layers for ui.perfetto.dev.")]
LeakOption = Annotated[bool, typer.Option("--leak", help="Also watch the memory over 2000 queries.")]
SensorOption = Annotated[
    list[str] | None, typer.Option("--sensor", help="A power or clock sensor that must work; may be repeated.")
]

ImagesOption = Annotated[
    Path | None, typer.Option("--images", help="A folder of frames in place of the evaluation data: no labels needed.")
]


def profile(
    bundle: BundleArgument,
    queries: QueriesOption = 1200,
    warmup: WarmupOption = 20,
    loads: LoadsOption = 60,
    scenario: ScenarioOption = None,
    rate: RateOption = None,
    idle_gap_ms: IdleGapOption = None,
    co_load: CoLoadOption = False,
    layers: LayersOption = 0,
    trace: TraceOption = None,
    leak: LeakOption = False,
    sensor: SensorOption = None,
    root: RootOption = None,
    images: ImagesOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Latency by stage and peak memory of the engine, timed in turn with its control."""
    from edgekit import pipeline
    from edgekit.core.artifacts import require_writable
    from edgekit.core.errors import InputError
    from edgekit.profiling import Load
    from edgekit.stages.measure import ProfileOptions

    if trace is not None:
        require_writable(trace.resolve().parent)
    if root is not None and images is not None:
        raise InputError("--root and --images both name the frames; give one")
    traffic = _scenario(scenario, queries, warmup, rate, idle_gap_ms)
    load = Load(queries, warmup, loads) if traffic is None else Load()
    how = ProfileOptions(load, root, traffic, co_load, layers > 0, leak, trace, tuple(sensor or ()), images)
    report = pipeline.profile(bundle, how, Bars(verbose))
    if as_json:
        print_json(report.to_dict())
        return
    _show(report, layers)
    if trace is not None:
        print(f"wrote {trace}; open it at ui.perfetto.dev")


def _scenario(name: str | None, queries: int, warmup: int, rate: float | None, gap_ms: float | None) -> Any:
    from edgekit.core.errors import InputError
    from edgekit.core.suggest import allowed
    from edgekit.profiling import ConstantStream, Offline, SingleStream

    if name is None and gap_ms is not None:
        name = SingleStream.name
    if name is None and rate is not None:
        name = ConstantStream.name
    known = (SingleStream.name, ConstantStream.name, Offline.name)
    if name is not None and name not in known:
        raise InputError(f"--scenario: {name!r} is unknown; {allowed(name, known)}")
    if rate is not None and name != ConstantStream.name:
        raise InputError(f"--rate belongs to constant-stream, not to {name}; leave it out")
    if gap_ms is not None and name != SingleStream.name:
        raise InputError(f"--idle-gap-ms belongs to single-stream, not to {name}; leave it out")
    if name == ConstantStream.name:
        if rate is None:
            raise InputError("--scenario constant-stream needs --rate, the queries a second, e.g. --rate 30")
        return ConstantStream(rate, queries, warmup)
    if name == SingleStream.name:
        return SingleStream(queries, warmup, gap_ms or 0.0)
    return Offline(queries, warmup) if name == Offline.name else None


def _show(report: ProfileReport, top: int) -> None:
    rows = [(stage, *_cells(times)) for stage, times in report.stages_ms.items()]
    title = f"{report.bundle}, {report.scenario}: milliseconds over {report.latency_ms.samples} queries, 95 % intervals"
    print_table(title, ("stage", "p50", "p90", "p99", "p99.9"), rows)
    for line in _lines(report):
        print(line)
    if top and report.layers:
        from edgekit.profiling import layers

        print_table("layers, from a profiled run", layers.COLUMNS, layers.rows(report.layers, top))


def _cells(times: Latency) -> list[str]:
    cells = []
    for name in ("p50", "p90", "p99", "p999"):
        value, spread = getattr(times, name), times.intervals.get(name)
        if value is None:
            cells.append("too few")
            continue
        ends = "" if spread is None else f" [{_end(spread.low)}, {_end(spread.high)}]"
        cells.append(f"{value:.2f}{ends}")
    return cells


def _end(value: float | None, digits: int = 2) -> str:
    return "?" if value is None else f"{value:.{digits}f}"


def _lines(report: ProfileReport) -> list[str]:
    """What is said below the table."""
    from edgekit.core.reports import control_name

    lines = []
    if report.control is not None:
        spread = report.speedup_interval
        ends = f" [{_end(spread.low)}, {_end(spread.high)}]" if spread is not None else ""
        lines.append(
            f"{control_name(report.control.engine)}: p50 {report.control.latency_ms.p50:.2f} ms; "
            f"the engine is {report.speedup_p50:.2f}x{ends} as fast"
        )
    if report.noise is not None:
        lines.append(
            f"noise of this machine: engine against itself {_end(report.noise.low)} to {_end(report.noise.high)}x"
        )
    if report.traffic is not None:
        lines += _traffic_lines(report.traffic)
    memory = report.memory_mib
    lines.append(
        f"peak memory {memory['peak_rss']:.0f} MiB (engine {memory['engine']:.0f} MiB), "
        f"engine file {report.size_mib:.2f} MiB"
    )
    return lines + _power_lines(report)


def _traffic_lines(traffic: Traffic) -> list[str]:
    settled = "" if traffic.stable else "; warm-up did not settle"
    lines = []
    if traffic.throughput_hz is not None:
        lines.append(f"throughput {traffic.throughput_hz:.1f} queries a second{settled}")
    if traffic.rate_hz is not None:
        lines.append(
            f"asked {traffic.rate_hz:g} Hz, kept {_end(traffic.rate_kept_hz, 3)} Hz; "
            f"{traffic.late} of {traffic.queries} queries late; queueing p99 {_end(traffic.queueing_p99_ms)} ms"
        )
    return lines


def _power_lines(report: ProfileReport) -> list[str]:
    lines, power = [], report.power
    if power is not None and power.mean_w is not None:
        lines.append(f"power ({power.scope}): mean {power.mean_w:.2f} W, peak {_end(power.peak_w)} W")
    if power is not None and power.clocks is not None and power.clocks.locked is not True:
        lines.append(f"clocks are not known to be locked: {power.clocks.reason}")
    if power is not None and power.throttled:
        lines.append(f"throttled: {', '.join(power.throttle_reasons)}")
    if report.leak is not None:
        lines.append(f"leak test: {report.leak.verdict}: {report.leak.reason}")
    return lines


command = single(profile)
