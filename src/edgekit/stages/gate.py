"""How a bundle is judged: against its KPIs, a baseline from a bundle or from earlier runs, and for the record."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.bundle import Bundle, pack
from edgekit.core.artifacts import write_json
from edgekit.core.budget import Budget
from edgekit.core.errors import InputError, SpecError
from edgekit.core.progress import Progress
from edgekit.core.reports import ControlChart, EvaluateReport, GateReport, Metric, ProfileReport
from edgekit.core.revision import commit_of
from edgekit.core.spec import KPI_LIMITS, Kpi
from edgekit.kpis import PROFILE_METRICS, Baseline, against, judge, measured, require_measured
from edgekit.profiling import Load
from edgekit.stages import baseline as baselines
from edgekit.stages import measure
from edgekit.stages.baseline import Other
from edgekit.stages.gate_budget import Part, Timely
from edgekit.stages.measure import EvaluateOptions, ProfileOptions
from edgekit.stages.race import run_again

if TYPE_CHECKING:
    from edgekit.history import History


def load_of(queries: int | None) -> Load:
    """The load of a gate: of so many queries, or the default, which goes on until p99 has an interval."""
    return Load(most=4) if queries is None else Load(queries, openings=max(1, queries // Load().each))


@dataclass(frozen=True)
class GateOptions:
    """How to judge.

    ``root``: where the evaluation data are on this machine.  ``allow_undecided``: what cannot be decided does not
    fail.  ``against``: the baseline: a bundle's path, or ``last-good``, a git revision or a run of the history, whose
    bundle is run again where the history keeps it and it runs here.
    ``history``: a file or server that runs are looked up in and recorded to; None: nothing is recorded.
    ``beside``: profiles of further runs, such as one under traffic, for KPIs on what the first has no number of.
    ``documents``: folder that the measurements are written to, as ``evaluation.json`` and ``profile.json``.
    ``load``: queries of a fresh profile.  ``needs_baseline``: KPIs against a baseline are refused without one;
    otherwise they are left out, with a warning.  ``budget_s``: seconds for measuring; see
    :mod:`edgekit.stages.gate_budget`.
    """

    root: Path | None = None
    allow_undecided: bool = False
    against: str | None = None
    history: str | Path | None = None
    beside: tuple[ProfileReport, ...] = ()
    load: Load = field(default_factory=lambda: load_of(None))
    needs_baseline: bool = True
    budget_s: float = math.inf
    documents: Path | None = None


@dataclass(frozen=True)
class Gated:
    """The verdict, the measurements behind it, and the id of the run that was recorded.

    A measurement is None when no time was left for it, or when no KPI is about it and nothing keeps the whole run.
    """

    gate: GateReport
    evaluation: EvaluateReport | None
    profile: ProfileReport | None
    run: str | None = None


def gate(
    bundle: Bundle,
    options: GateOptions,
    evaluated: EvaluateReport | None,
    profiled: ProfileReport | None,
    progress: Progress,
) -> Gated:
    """Judge the bundle on the reports given, or on fresh measurements.

    Raises:
        InputError: the baseline is unknown, or its data or preprocessing are others; the evaluation data are not
            those that the bundle was built for; a profile is of the control.
        SpecError: a KPI cannot be judged.
    """
    book = _history(options)  # before anything is measured: a damaged file costs no night
    given = options.beside if profiled is None else (profiled, *options.beside)
    fresh = evaluated is None and profiled is None
    other = None if options.against is None else baselines.find(bundle, options.against, book, fresh)
    _require_candidate(bundle, given)
    _require_data(bundle, options, evaluated)
    alone = profiled is None and (other is None or other.bundle is None)
    built = bundle.built if profiled is None else {}
    contents, metrics = bundle.contents, _metrics(bundle)
    if other is None and not options.needs_baseline:
        other = Other(why="no baseline was named")
    kpis, unjudged = _comparable(bundle, other)
    require_measured(kpis, contents.target, given, measuring=profiled is None, sensors=alone, built=built)
    timely = Timely(Budget(options.budget_s))
    evaluated, profiled, baseline = _measure(bundle, options, other, (evaluated, profiled), timely, progress)
    _keep(options.documents, evaluated, profiled)
    numbers = measured(evaluated, profiled, metrics, options.beside)
    kpis, missed = timely.split(kpis, contents.target, numbers, [m.name for m in metrics], baseline is not None)
    well = bool(missed) or (other is not None and not other.exists)
    report = judge(
        kpis, contents.target, numbers, bundle.identity, baseline, options.allow_undecided, none_is_well=well
    )
    if missed:
        allowed = all(options.allow_undecided or bundle.contents.kpis[name].allow_undecided for name in missed)
        verdict = "undecided" if report.verdict == "pass" and not allowed else report.verdict
        report = replace(report, unmeasured=missed, verdict=verdict)
    warnings = (*(evaluated.warnings if evaluated is not None else ()), *unjudged)
    report = replace(report, warnings=warnings, race=run_again(bundle.race, profiled))
    if book is None or evaluated is None or profiled is None:  # half a run is no run to compare later ones with
        return Gated(report, evaluated, profiled)
    run = _record(bundle, book, evaluated, profiled, report, fresh)
    return Gated(replace(report, run=run), evaluated, profiled, run)


def _keep(folder: Path | None, evaluated: EvaluateReport | None, profiled: ProfileReport | None) -> None:
    """Write what was measured, so that it can be judged again, shown and compared without measuring anew."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, report in (("evaluation", evaluated), ("profile", profiled)):
        if report is not None:
            write_json(folder / f"{name}.json", report.to_dict())


def _measure(
    bundle: Bundle,
    options: GateOptions,
    other: Other | None,
    given: tuple[EvaluateReport | None, ProfileReport | None],
    timely: Timely,
    progress: Progress,
) -> tuple[EvaluateReport | None, ProfileReport | None, Baseline | None]:
    """What was not given, measured as far as the time goes, and what it is held against."""
    metrics, budget = _metrics(bundle), timely.budget
    accuracy, timing = (
        EvaluateOptions(options.root, budget=budget),
        ProfileOptions(options.load, options.root, budget=budget),
    )
    if other is not None and other.bundle is not None:
        theirs = other.bundle
        both = timely.take(("accuracy", "timing"), lambda: measure.compare(bundle, theirs, accuracy, timing, progress))
        if both is None:
            return None, None, None
        mine, before = (both.evaluation, both.profile), (both.baseline_evaluation, both.baseline_profile)
        return *mine, against(other.name, before, mine, metrics, paired=both.paired, same_run=True)
    parts, (evaluated, profiled) = _needed(bundle, options), given
    if evaluated is None and "accuracy" in parts:
        evaluated = timely.take(("accuracy",), lambda: measure.evaluate(bundle, accuracy, progress))
    if profiled is None and "timing" in parts:
        profiled = timely.take(("timing",), lambda: measure.profile(bundle, timing, progress))
    if other is None or other.documents is None or evaluated is None or profiled is None:
        return evaluated, profiled, None
    return evaluated, profiled, against(
        other.name, other.documents, (evaluated, profiled), metrics, history=other.earlier
    )  # fmt: skip


def _needed(bundle: Bundle, options: GateOptions) -> frozenset[Part]:
    """The parts that the KPIs are about; both where a run, a document or a comparison wants the whole, or no KPI is."""
    kpis = {name: kpi for name, kpi in bundle.contents.kpis.items() if kpi.target in (None, bundle.contents.target)}
    whole = any(wish is not None for wish in (options.history, options.documents, options.against))
    if whole or not kpis:
        return frozenset(("accuracy", "timing"))
    of_task, of_profile = ({metric.name for metric in known} for known in (_metrics(bundle), PROFILE_METRICS))
    wanted = {kpi.metric or name for name, kpi in kpis.items()}
    # One that neither knows, of a single class for example, is looked for in all of it.
    parts: dict[Part, bool] = {"accuracy": bool(wanted - of_profile), "timing": bool(wanted - of_task)}
    return frozenset(part for part, needed in parts.items() if needed)


def _comparable(bundle: Bundle, other: Other | None) -> tuple[dict[str, Kpi], tuple[str, ...]]:
    """The KPIs that can be judged against this baseline, and what to warn of.

    Raises:
        SpecError: a KPI needs a baseline, and none was named.
    """
    kpis = {name: kpi for name, kpi in bundle.contents.kpis.items() if kpi.target in (None, bundle.contents.target)}
    limits = {name: [kind for kind in KPI_LIMITS if getattr(kpi, kind) is not None] for name, kpi in kpis.items()}
    needing = {name: own for name, kinds in limits.items() if (own := [k for k in kinds if k.startswith("baseline_")])}
    if other is None and needing:
        name, (kind, *_) = next(iter(needing.items()))
        raise SpecError(
            f"kpis.{name}: {kind} needs a baseline; name one with: edgekit gate BUNDLE --against last-good, "
            "or a bundle, a revision, a run"
        )
    if other is None or other.exists:
        return dict(bundle.contents.kpis), (other.why,) if other is not None and other.why else ()
    if not needing:
        return dict(bundle.contents.kpis), ()
    kept = {
        name: kpi.model_copy(update=dict.fromkeys(needing.get(name, ())))
        for name, kpi in bundle.contents.kpis.items()
        if limits.get(name) != needing.get(name, [])
    }
    missed = ", ".join(f"{name} ({', '.join(kinds)})" for name, kinds in needing.items())
    return kept, (f"{other.why}; not judged this time: {missed}",)


def _require_candidate(bundle: Bundle, profiles: tuple[ProfileReport, ...]) -> None:
    """Raise unless the profiles are of the engine that is judged: edgekit-run measures the control as well."""
    candidate = bundle.contents.candidate.file
    for profile in profiles:
        if profile.engine != candidate:
            raise InputError(
                f"the profile is of {profile.engine}, and {candidate} is judged; measure that one: edgekit-run without "
                "--role control, or edgekit profile"
            )


def _require_data(bundle: Bundle, options: GateOptions, evaluated: EvaluateReport | None) -> None:
    """Raise unless the frames are those that the bundle was built to be judged on: before they are run."""
    pinned = bundle.evaluation_data
    if pinned is None:
        return
    if evaluated is not None:
        found = pinned.differs(evaluated.frames, evaluated.dataset_hash)
    else:
        dataset = bundle.dataset(options.root)
        found = pinned.differs(len(dataset), dataset.fingerprint())
    if found:
        raise InputError(
            f"{found}; put the data back, or, when the test set is meant to change, build the bundle again with it: "
            f"{bundle.manifest['command']}"
        )


def charts(bundle: Bundle, history: str | Path) -> tuple[ControlChart, ...]:
    """How the KPIs of this bundle's project and target moved over the recorded runs."""
    from edgekit.history import History, control_chart

    book, contents = History.open(history), bundle.contents
    runs = book.entries(contents.target, contents.name)
    names = dict.fromkeys(kpi.metric or name for name, kpi in contents.kpis.items())
    known = [name for name in names if any(name in run.metrics for run in runs)]
    series = [book.series(name, contents.target, name=contents.name) for name in known]
    return tuple(control_chart(one) for one in series if len(one) > 1)


def _history(options: GateOptions) -> History | None:
    if options.history is None:
        return None
    from edgekit.history import History

    return History.open(options.history, writing=True)


def _record(
    bundle: Bundle, book: History, evaluated: EvaluateReport, profiled: ProfileReport, report: GateReport, fresh: bool
) -> str:
    """Record the run and return its id; documents that were judged before with this verdict are no new run."""
    if not fresh and (before := book.recorded(evaluated, profiled, report.verdict)) is not None:
        return before
    contents = bundle.contents
    with _to_keep(bundle, book, report) as artifacts:
        return book.record(
            evaluated,
            profiled,
            report,
            contents.name,
            contents.target,
            bundle.digest,
            revision(),
            artifacts,
            metrics=_metrics(bundle),
            parameters={"precision": contents.candidate.precision, "versions": bundle.manifest.get("tools", {})},
        )


@contextmanager
def _to_keep(bundle: Bundle, book: History, report: GateReport) -> Iterator[dict[str, Path]]:
    """The bundle in one file, when it passed and no run of it keeps it: later ones are run in turn with it."""
    from edgekit.history import BUNDLE

    contents = bundle.contents
    if report.verdict != "pass" or book.keeps(BUNDLE, bundle.digest, contents.target, contents.name):
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="edgekit-history-") as folder:
        yield {BUNDLE: pack(bundle, Path(folder) / BUNDLE)}


def _metrics(bundle: Bundle) -> tuple[Metric, ...]:
    task = bundle.task()
    return (*task.metrics, *task.sequence_metrics)


def revision() -> str | None:
    """The git commit of the working directory; None outside a repository."""
    return commit_of(Path())
