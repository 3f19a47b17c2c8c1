"""How a bundle is measured: its engine, its control and a baseline, on the same frames and in the same loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgekit import evaluation, profiling
from edgekit.bundle import Bundle, EngineFile
from edgekit.core.budget import Budget
from edgekit.core.errors import InputError
from edgekit.core.progress import Progress
from edgekit.core.reports import (
    ControlProfile,
    EvaluateReport,
    Interval,
    LayerTime,
    PeaksReport,
    ProfileReport,
    Settings,
)
from edgekit.core.tensors import Arrays
from edgekit.data import Sample
from edgekit.data.images import Images
from edgekit.engine import Chain, Engine
from edgekit.evaluation import Measurement, Resampling
from edgekit.preprocess import Preprocess
from edgekit.profiling import Load, Scenario, SingleStream, Timed, layers, roofline, trace
from edgekit.sensors import Recorder
from edgekit.stages.gate_budget import FRAMES_SHARE, OPENINGS_SHARE
from edgekit.stats.openings import MIN_OPENINGS

BASELINE = "baseline"
AGAIN = "the engine again"
"""A second copy of the engine: what it differs from the first is the noise of this machine (A/A)."""
FRAMES = 16
SENSOR_RATE_HZ = 2.0  # often enough for a mean, seldom enough that few queries meet a reading
TRACED = 50


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate.

    ``root``: where the evaluation data are on this machine; ``table``: a CSV file of further metadata by frame id;
    ``resampling``: how intervals are made; ``worst``: how many of the worst frames are named.
    ``budget``: :class:`~edgekit.core.budget.OutOfTime` when the frames would take more than most of it.
    """

    root: Path | None = None
    table: Path | None = None
    resampling: Resampling = field(default_factory=Resampling)
    worst: int = 10
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True)
class ProfileOptions:
    """How to profile.

    ``load``: queries of the interleaved run.  ``scenario``: traffic for the engine alone, in its place.  ``busy``:
    the other cores are kept busy meanwhile.  ``layers``, ``leak``: also time each layer, and run the leak test.
    ``trace``: a file for Perfetto.  ``sensors``: those that must work; none: all that do.  ``images``: a folder of
    frames in place of the evaluation data, because time needs no labels.
    ``budget``: fewer openings when it ends; :class:`~edgekit.core.budget.OutOfTime` when not even five fit into it.
    """

    load: Load = field(default_factory=Load)
    root: Path | None = None
    scenario: Scenario | None = None
    busy: bool = False
    layers: bool = False
    leak: bool = False
    trace: Path | None = None
    sensors: tuple[str, ...] = ()
    images: Path | None = None
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True)
class Compared:
    """A bundle and its baseline, measured together; ``paired`` has the baseline in the control's place."""

    evaluation: EvaluateReport
    paired: EvaluateReport
    baseline_evaluation: EvaluateReport
    profile: ProfileReport
    baseline_profile: ProfileReport


def evaluate(bundle: Bundle, options: EvaluateOptions, progress: Progress) -> EvaluateReport:
    """Task metrics of the engine and of its control, with intervals, slices and worst frames."""
    with _engines(bundle) as engines:
        return _reported(bundle, _measured(bundle, engines, options, progress), options)


def profile(bundle: Bundle, options: ProfileOptions, progress: Progress) -> ProfileReport:
    """Latency by stage, memory, power and what else ``how`` asks for.

    Raises:
        InputError: the options do not go together.
        EnvironmentFault: something that was asked for is not on this machine.
    """
    samples = _frames(bundle, options)
    with contextlib.ExitStack() as stack:
        recorder = stack.enter_context(Recorder(options.sensors, SENSOR_RATE_HZ))
        if options.busy:
            stack.enter_context(profiling.co_load(bundle.contents.engine.cpus))
        if options.scenario is None:
            report = _in_turn(bundle, _timed(bundle, None, samples, options, progress), samples)
        else:
            report = _driven(bundle, samples, options.scenario, progress)
    power = recorder.report(report.settings.queries)
    if options.scenario is None:
        power = replace(power, energy_j_per_query=None)  # engines took turns: the energy is not of one of them
    report = replace(report, power=power, settings=replace(report.settings, co_load=options.busy))
    if options.budget.left > 0:
        report = _with_memory(bundle, report, samples, progress)
    return _in_detail(bundle, report, samples, options, progress)


def compare(
    bundle: Bundle, baseline: Bundle, accuracy: EvaluateOptions, timing: ProfileOptions, progress: Progress
) -> Compared:
    """Evaluate and profile both with the same frames in the same loops.

    Raises:
        InputError: the baseline prepares its frames differently, so the two cannot take turns.
    """
    if baseline.contents.preprocess != bundle.contents.preprocess:
        raise InputError(
            f"{baseline.identity} prepares its frames differently from {bundle.identity}; "
            "compare bundles that were built with the same preprocess section"
        )
    samples = _frames(bundle, timing)
    with _engines(bundle) as engines, baseline.engine() as other:
        found = _measured(bundle, {**engines, BASELINE: other}, accuracy, progress)
    timed = _timed(bundle, baseline, samples, timing, progress)
    own = {name: score for name, score in found.scores.items() if name != BASELINE}
    pair = {name: found.scores[name] for name in (_candidate(bundle), BASELINE)}
    theirs = _reported(baseline, replace(found, scores={BASELINE: pair[BASELINE]}), accuracy, BASELINE)
    return Compared(
        evaluation=_reported(bundle, replace(found, scores=own), accuracy),
        paired=_reported(bundle, replace(found, scores=pair), accuracy),
        baseline_evaluation=theirs,
        profile=_with_memory(bundle, _in_turn(bundle, timed, samples), samples, progress),
        baseline_profile=_baseline_profile(baseline, timed, samples),
    )


def _reported(
    bundle: Bundle, found: Measurement, options: EvaluateOptions, candidate: str | None = None
) -> EvaluateReport:
    judged = bundle.agreed_data(options.root)
    fingerprint, notes = judged.dataset.fingerprint(), (*judged.notes, *judged.task.notes)
    report = evaluation.report(
        found,
        candidate or _candidate(bundle),
        bundle=bundle.identity,
        dataset=f"{bundle.contents.evaluation.format}:{fingerprint[:16]}",
        dataset_hash=fingerprint,
        preprocess_hash=evaluation.section_hash(bundle.contents.preprocess),
        resampling=options.resampling,
        most_worst=options.worst,
    )
    control = next((name for name in found.scores if name != report.engine), "")
    return replace(report, warnings=_warnings(bundle, report), notes=notes, control_engine=control)


def _warnings(bundle: Bundle, report: EvaluateReport) -> tuple[str, ...]:
    """Why the frames are not the ones that the bundle was built to be judged on, or why nobody knows."""
    pinned = bundle.evaluation_data
    if pinned is None:
        return ("the bundle does not record which evaluation data it was built for; build it again",)
    found = pinned.differs(report.frames, report.dataset_hash)
    return (found,) if found else ()


def _measured(
    bundle: Bundle, engines: Mapping[str, Engine], options: EvaluateOptions, progress: Progress
) -> Measurement:
    table = None if options.table is None else evaluation.read_table(options.table)  # a mistake in it costs no run
    judged = bundle.agreed_data(options.root)
    control = bundle.contents.control or bundle.contents.candidate  # what needs no control is its own
    pace = options.budget.pace(len(judged.dataset), "frames", FRAMES_SHARE)
    with progress.track("evaluate", len(judged.dataset)) as advance:
        step, other = _both(advance, pace), _prepared_by(bundle)
        found = evaluation.measure(engines, bundle.preprocess(), judged.task, judged.dataset, step, control.file, other)
    return found if table is None else evaluation.joined(found, table)


def _frames(bundle: Bundle, options: ProfileOptions) -> list[Sample]:
    """Evenly spread frames of the evaluation data or of a folder, read."""
    dataset = bundle.dataset(options.root) if options.images is None else Images(options.images)
    count = min(FRAMES, len(dataset))
    return [dataset[i * len(dataset) // count] for i in range(count)]


def _timed(
    bundle: Bundle, baseline: Bundle | None, samples: list[Sample], options: ProfileOptions, progress: Progress
) -> Timed:
    """All engines in turn: the candidate, a copy of it, the control if there is one, and the baseline if asked for."""

    openers: dict[str, Callable[[], Engine]] = {role.file: partial(bundle.engine, role) for role in _roles(bundle)}
    if baseline is not None:
        openers[BASELINE] = baseline.engine
    openers[AGAIN] = bundle.engine
    order, preprocess, task, other = list(openers), bundle.preprocess(), bundle.task(), _prepared_by(bundle)

    @contextlib.contextmanager
    def opened() -> Iterator[dict[str, Chain]]:
        # What memory an engine gets depends on which was opened before it: each comes first, and last, as often.
        order.append(order.pop(0))
        with contextlib.ExitStack() as stack:
            engines = {name: stack.enter_context(openers[name]()) for name in order}
            yield {name: Chain(other.get(name, preprocess), engines[name], task) for name in openers}

    load = options.load
    fewest = load.settling(0) + (MIN_OPENINGS - 1) * load.settling(1) + MIN_OPENINGS * load.each
    pace, more = options.budget.pace(fewest, "rounds of queries", OPENINGS_SHARE), options.budget.room(OPENINGS_SHARE)
    with progress.track("time", load.rounds) as advance:
        step = _both(advance, pace)
        return profiling.measure_latency(opened, samples, load, step, more)


def _both(*calls: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        for one in calls:
            one()

    return call


def _in_turn(bundle: Bundle, timed: Timed, samples: list[Sample]) -> ProfileReport:
    """The report of an interleaved run, still without memory."""
    candidate, control = _candidate(bundle), bundle.contents.control
    speedup, spread, beside = None, None, None
    kept = {candidate: timed.infer_ms[candidate]}
    if control is not None:
        infer = timed.stages[control.file]["infer"]
        kept[control.file] = timed.infer_ms[control.file]
        speedup = infer.p50 / timed.stages[candidate]["infer"].p50
        spread = _ratio(timed, control.file, candidate)
        beside = ControlProfile(control.file, infer, _size_mib(bundle, control.file))
    return ProfileReport(
        bundle=bundle.identity,
        engine=candidate,
        latency_ms=timed.stages[candidate]["infer"],
        stages_ms=timed.stages[candidate],
        memory_mib={},
        size_mib=_size_mib(bundle, candidate),
        control=beside,
        speedup_p50=speedup,
        speedup_interval=spread,
        noise=_ratio(timed, AGAIN, candidate),
        times_ms={name: _rounded(times) for name, times in kept.items()},
        settings=_settings(bundle, timed, samples),
        machine=profiling.machine(),
        built=bundle.built,
    )


def _baseline_profile(baseline: Bundle, timed: Timed, samples: list[Sample]) -> ProfileReport:
    name = _candidate(baseline)
    return ProfileReport(
        bundle=baseline.identity,
        engine=name,
        latency_ms=timed.stages[BASELINE]["infer"],
        stages_ms=timed.stages[BASELINE],
        memory_mib=_memory(baseline, name, samples),
        size_mib=_size_mib(baseline, name),
        control=None,
        speedup_p50=None,
        times_ms={name: _rounded(timed.infer_ms[BASELINE])},
        settings=_settings(baseline, timed, samples),
        machine=profiling.machine(),
        built=baseline.built,
    )


def _ratio(timed: Timed, top: str, bottom: str) -> Interval:
    times = timed.infer_ms
    return profiling.p50_ratio(times[top].tolist(), times[bottom].tolist(), profiling.CONFIDENCE, timed.openings)


def _driven(bundle: Bundle, samples: list[Sample], scenario: Scenario, progress: Progress) -> ProfileReport:
    """The report of an engine under traffic of its own, still without memory; no control runs beside it."""
    with bundle.engine() as engine, progress.track(f"time, {scenario.name}"):
        driven = profiling.drive(scenario, bundle.chain(engine), samples)
        described = engine.describe()
    candidate = _candidate(bundle)
    return ProfileReport(
        bundle=bundle.identity,
        engine=candidate,
        latency_ms=driven.stages["infer"],
        stages_ms=driven.stages,
        memory_mib={},
        size_mib=_size_mib(bundle, candidate),
        control=None,
        speedup_p50=None,
        times_ms={candidate: _rounded(driven.infer_ms)},
        scenario=scenario.name,
        traffic=driven.traffic,
        settings=Settings.of(described, scenario.queries, len(samples)),
        machine=profiling.machine(),
        built=bundle.built,
    )


def _with_memory(bundle: Bundle, report: ProfileReport, samples: list[Sample], progress: Progress) -> ProfileReport:
    beside = report.control
    with progress.track("measure memory", 1 if beside is None else 2) as advance:
        own = _memory(bundle, report.engine, samples)
        advance()
        if beside is not None:
            beside = replace(beside, memory_mib=_memory(bundle, beside.engine, samples))
            advance()
    return replace(report, memory_mib=own, control=beside)


def _in_detail(
    bundle: Bundle, report: ProfileReport, samples: list[Sample], options: ProfileOptions, progress: Progress
) -> ProfileReport:
    """What needs runs of its own, which would disturb the timed one."""
    if options.layers or options.trace is not None:
        with bundle.engine() as engine:
            found, peaks = _layers(bundle, engine, samples, options.trace, progress)
        report = replace(report, layers=found, settings=replace(report.settings, peaks=peaks))
    if options.leak:
        config = bundle.contents.engine
        with progress.track("leak test"):
            leak = profiling.leak_test(
                bundle.path / report.engine, config.model_dump(mode="json"), _feeds(bundle, samples)
            )
        report = replace(report, leak=leak)
    return report


def _layers(
    bundle: Bundle, engine: Engine, samples: list[Sample], path: Path | None, progress: Progress
) -> tuple[tuple[LayerTime, ...], PeaksReport]:
    with progress.track("profile layers"):
        source = bundle.path / bundle.contents.candidate.model
        events = layers.layer_events(engine, _feeds(bundle, samples), TRACED, source)
        peaks = roofline.measure_peaks(engine)
        if path is not None:
            stream = SingleStream(queries=TRACED)
            driven = profiling.drive(stream, bundle.chain(engine), samples)
            trace.write_trace(path, trace.query_spans(driven.timeline), events, bundle.name)
    return roofline.annotate(layers.summarise_layers(events), peaks), peaks.report()


def _memory(bundle: Bundle, file: str, samples: list[Sample]) -> dict[str, float]:
    config = bundle.contents.engine
    return profiling.measure_memory(bundle.path / file, config.model_dump(mode="json"), _feeds(bundle, samples, file))


def _feeds(bundle: Bundle, samples: list[Sample], file: str = "") -> Arrays:
    return _prepared_by(bundle).get(file, bundle.preprocess())(samples[0].images).feeds


def _prepared_by(bundle: Bundle) -> dict[str, Preprocess]:
    """The preprocessing of engines that have one of their own, by file name: a step changed the candidate's input."""
    return {role.file: bundle.preprocess(role) for role in _roles(bundle) if role.preprocess is not None}


def _size_mib(bundle: Bundle, file: str) -> float:
    return (bundle.path / file).stat().st_size / 2**20


def _settings(bundle: Bundle, timed: Timed, samples: list[Sample]) -> Settings:
    queries = len(next(iter(timed.infer_ms.values())))
    with bundle.engine() as engine:
        return Settings.of(engine.describe(), queries, len(samples), timed.openings)


def _rounded(times_ms: Any) -> tuple[float, ...]:
    """To the microsecond: more digits would fill reports with noise."""
    return tuple(round(float(ms), 3) for ms in times_ms)


@contextlib.contextmanager
def _engines(bundle: Bundle) -> Iterator[dict[str, Engine]]:
    """The open engines of a bundle by file name: the candidate, and the control if it has one."""
    with contextlib.ExitStack() as stack:
        yield {role.file: stack.enter_context(bundle.engine(role)) for role in _roles(bundle)}


def _roles(bundle: Bundle) -> list[EngineFile]:
    return [role for role in (bundle.contents.candidate, bundle.contents.control) if role]


def _candidate(bundle: Bundle) -> str:
    return bundle.contents.candidate.file
