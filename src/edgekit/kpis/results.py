"""KPIs against measured numbers: a verdict for each, and one for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.core.errors import SpecError
from edgekit.core.reports import GateReport, Interval, KpiKind, KpiLimit, KpiResult, KpiVerdict
from edgekit.core.spec import KPI_LIMITS, Kpi
from edgekit.core.suggest import allowed
from edgekit.kpis.checks import contradiction
from edgekit.kpis.comparison import Baseline, Comparison, drop_from_baseline, drop_from_control, worse_ratio
from edgekit.kpis.decision import Decision, decide
from edgekit.kpis.numbers import HOW, check_numbers, interval_at
from edgekit.kpis.quantity import Measured
from edgekit.stats.percentiles import QUANTILES, minimum_queries

EVERY = "*"


def judge(
    kpis: Mapping[str, Kpi],
    target: str,
    numbers: Mapping[str, Measured],
    bundle: str = "",
    baseline: Baseline | None = None,
    allow_undecided: bool = False,
    none_is_well: bool = False,
) -> GateReport:
    """Judge every KPI that applies to ``target``.

    Args:
        kpis: by name.
        target: KPIs of other targets are named in the report and not judged.
        numbers: :func:`~edgekit.kpis.measured` of the bundle's reports.
        bundle: its identity.
        baseline: what ``baseline_drop`` and ``baseline_ratio`` are against.
        allow_undecided: no undecided KPI fails the gate; otherwise each KPI says so itself.
        none_is_well: pass when no KPI applies.

    Raises:
        SpecError: no KPI applies; a KPI names a metric, column or value that was not measured, has a limit that
            contradicts the metric's direction, or needs a baseline or control that is not there.
        InputError: a ratio of numbers that are not positive.
    """
    results: list[KpiResult] = []
    elsewhere = tuple(name for name, kpi in kpis.items() if kpi.target not in (None, target))
    for name, kpi in kpis.items():
        if name not in elsewhere:
            results += _Judge(name, kpi, baseline, allow_undecided or kpi.allow_undecided).results(numbers)
    if not results and not none_is_well:
        raise SpecError(f"no KPI applies to target {target!r}; add one under kpis, e.g. latency_p99_ms: {{max: 33.3}}")
    return GateReport(
        bundle, target, _overall(results), tuple(results), elsewhere, None if baseline is None else baseline.name
    )


def _overall(results: list[KpiResult]) -> KpiVerdict:
    verdicts = {r.verdict for r in results if not (r.verdict == "undecided" and r.allowed)}
    return "fail" if "fail" in verdicts else "undecided" if "undecided" in verdicts else "pass"


@dataclass(frozen=True)
class _Slice:
    """One number to hold against the limits, the same of the baseline, and the name of its slice."""

    number: Measured
    other: Measured | None = None
    paired: Measured | None = None
    where: str = ""


@dataclass(frozen=True)
class _Judge:
    """One KPI."""

    name: str
    kpi: Kpi
    baseline: Baseline | None
    allowed: bool

    @property
    def metric(self) -> str:
        return self.kpi.metric or self.name

    @property
    def at(self) -> str:
        return f"kpis.{self.name}"

    def results(self, numbers: Mapping[str, Measured]) -> list[KpiResult]:
        self._check(numbers)
        found = []
        for part in self._slices(numbers):
            at = f"{self.at}{part.where and f' ({part.where})'}"
            for number in (part.number, part.other, part.paired):
                if number is not None:
                    check_numbers(number, at)
            found += [self._result(kind, part) for kind in KPI_LIMITS if getattr(self.kpi, kind) is not None]
        return found

    def _check(self, numbers: Mapping[str, Measured]) -> None:
        if self.metric not in numbers:
            raise SpecError(f"{self.at}: {_unmeasured(self.metric, numbers)}")
        if wrong := contradiction(self.kpi, numbers[self.metric].metric):
            raise SpecError(f"{self.at}: {wrong}")
        for kind in ("baseline_drop", "baseline_ratio"):
            if getattr(self.kpi, kind) is not None and self.baseline is None:
                raise SpecError(f"{self.at}: {kind} needs a baseline; name one with: edgekit gate --against")
        if self.baseline is not None and self._against_baseline and self.metric not in self.baseline.numbers:
            known = _unmeasured(self.metric, self.baseline.numbers)
            raise SpecError(f"{self.at}: in the baseline {self.baseline.name} {known}")
        if self.baseline is not None and self._against_baseline:
            conditions, baseline_conditions = (table[self.metric].under for table in (numbers, self.baseline.numbers))
            if conditions != baseline_conditions:
                raise SpecError(
                    f"{self.at}: measured under {conditions}, in the baseline {self.baseline.name} under "
                    f"{baseline_conditions}; measure both alike"
                )

    @property
    def _against_baseline(self) -> bool:
        return self.kpi.baseline_drop is not None or self.kpi.baseline_ratio is not None

    def _slices(self, numbers: Mapping[str, Measured]) -> Iterator[_Slice]:
        number = numbers[self.metric]
        other = paired = None
        if self.baseline is not None and self._against_baseline:
            other, paired = self.baseline.numbers[self.metric], self.baseline.paired.get(self.metric)
        if self.kpi.where is None:
            yield _Slice(number, other, paired)
            return
        ((column, wanted),) = self.kpi.where.items()
        values = self._column(number, column)
        for value in values if wanted == EVERY else (wanted,):
            where = f"{column}={value}"
            yield _Slice(
                self._of(number, column, value),
                None if other is None else self._of(other, column, value),
                None if paired is None else self._of(paired, column, value),
                where,
            )

    def _column(self, number: Measured, column: str) -> Mapping[str, Measured]:
        if not number.slices:
            raise SpecError(f"{self.at}.where: {self.metric} was not measured by slice; leave where out")
        if column not in number.slices:
            raise SpecError(f"{self.at}.where: no column {column!r}; {allowed(column, tuple(number.slices))}")
        return number.slices[column]

    def _of(self, number: Measured, column: str, value: str) -> Measured:
        values = self._column(number, column)
        if value not in values:
            raise SpecError(
                f"{self.at}.where: {self.metric} was not measured where {column} is {value!r}; "
                f"{allowed(value, tuple(values))}"
            )
        return values[value]

    def _result(self, kind: KpiKind, part: _Slice) -> KpiResult:
        limit = getattr(self.kpi, kind)
        metric = None if self.metric == self.name else self.metric
        described = KpiLimit(kind, limit, metric, part.number.under or None)
        if kind in ("min", "max"):
            number = part.number
            interval = interval_at(number, self.kpi.confidence, self.at)
            sampling = number.sampling and replace(number.sampling, confidence=self.kpi.confidence)
            decision = decide(number.value, interval, limit, kind == "max", sampling)
            margin = limit - number.value if kind == "max" else number.value - limit
        else:
            worse, interval, found, facts = self._worse(kind, part)
            described = replace(described, **facts)
            decision, margin = _held(worse, interval, limit, found), limit - worse
        return KpiResult(
            self.name,
            part.number.value,
            described,
            margin,
            part.number.metric.unit,
            decision.verdict,
            interval,
            decision.needed,
            "" if part.number.sampling is None else part.number.sampling.units,
            part.where,
            decision.reason,
            decision.verdict == "undecided" and self.allowed,
        )

    def _worse(self, kind: str, part: _Slice) -> tuple[float, Interval | None, Comparison, dict[str, Any]]:
        """How much worse than the control or baseline, its interval, where both come from, and what to show."""
        confidence = self.kpi.confidence
        if kind == "max_drop":
            found = drop_from_control(part.number, confidence, self.at)
            if found is None:
                raise SpecError(f"{self.at}: max_drop needs the control, which has no {self.metric}; use min or max")
            against: dict[str, Any] = {"control": part.number.control}
        elif part.other is None or self.baseline is None:
            raise AssertionError("_check has refused a limit without its baseline")
        else:
            found = drop_from_baseline(part.number, part.other, part.paired, self.baseline, confidence, self.at)
            against = {"baseline": part.other.value}
            if kind == "baseline_ratio":
                ratio, interval = worse_ratio(found, part.other, self.at)
                return ratio, interval, found, against | {"ratio": ratio, "higher": part.number.metric.higher}
        # Rounded, so that 0.72 to 0.70 is a drop of 0.02 and not of 0.020000000000000018.
        drop = round(found.drop, 12)
        return drop, found.interval and _rounded(found.interval), found, against | {"drop": drop}


def _held(worse: float, interval: Interval | None, limit: float, found: Comparison) -> Decision:
    # A drop of a share is no share.
    sampling = found.sampling and replace(found.sampling, share=None)
    decision = decide(worse, interval, limit, True, sampling)
    return replace(decision, reason=found.reason) if decision.verdict == "undecided" and found.reason else decision


def _rounded(interval: Interval) -> Interval:
    return Interval(*(None if end is None else round(end, 12) for end in (interval.low, interval.high)))


def _unmeasured(metric: str, numbers: Mapping[str, Measured]) -> str:
    """Why ``metric`` has no number: too few queries for it, or a name that is no metric."""
    stage, _, rest = metric.removesuffix("_ms").rpartition("_")
    beside = numbers.get(f"{stage}_p50_ms")
    if rest in QUANTILES and beside is not None and beside.sampling is not None:
        fewest = minimum_queries(QUANTILES[rest])
        if beside.sampling.size < fewest:
            return f"not measured: {beside.sampling.size} queries were timed; it needs {fewest} (profile --queries)"
    if metric in HOW:
        return f"{metric} was not measured; measure it with: {HOW[metric]}"
    return f"{metric} was not measured; {allowed(metric, tuple(numbers))}"
