"""Whether a KPI can be judged at all, before anything is built or measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgekit.core.errors import SpecError
from edgekit.core.reports import Metric, ProfileReport
from edgekit.core.spec import Kpi
from edgekit.core.suggest import allowed
from edgekit.kpis.numbers import HOW, PROFILE_METRICS, profile_values
from edgekit.kpis.operation import ANY_RUN, SPEEDUP


def contradiction(kpi: Kpi, metric: Metric) -> str:
    """Why a limit contradicts the metric's direction; empty: it does not."""
    wrong, right, better = ("max", "min", "higher") if metric.higher else ("min", "max", "lower")
    if getattr(kpi, wrong) is None:
        return ""
    return f"{wrong} contradicts the metric ({better} is better); use {right}"


def check_names(kpis: Mapping[str, Kpi], metrics: tuple[Metric, ...]) -> None:
    """Raise unless every KPI names a number that the task or a profile can have, with limits that fit it.

    Args:
        kpis: by name, of every target.
        metrics: all that the task may give, those of single classes and of sequences too.

    Raises:
        SpecError: lists every mistake; the message is the first.
    """
    known = {metric.name: metric for metric in (*metrics, *PROFILE_METRICS)}
    problems = tuple(f"kpis.{name}: {wrong}" for name, kpi in kpis.items() if (wrong := _wrong(name, kpi, known)))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SpecError(problems[0] + more, problems)


def _wrong(name: str, kpi: Kpi, known: Mapping[str, Metric]) -> str:
    wanted = kpi.metric or name
    if wanted not in known:
        key = "" if kpi.metric is None else "metric: "
        return f"{key}no metric {wanted!r}; {allowed(wanted, tuple(known))}"
    of_profile = wanted in {metric.name for metric in PROFILE_METRICS}
    if of_profile and kpi.where is not None:
        return f"where: {wanted} is not measured by slice; leave where out"
    if of_profile and kpi.max_drop is not None:
        return f"max_drop: the control has no {wanted} of its own; use min, max or baseline_drop"
    return contradiction(kpi, known[wanted])


def require_measured(
    kpis: Mapping[str, Kpi],
    target: str,
    given: Iterable[ProfileReport],
    *,
    measuring: bool = False,
    sensors: bool = False,
    built: Iterable[str] = (),
) -> None:
    """Raise when a KPI of ``target`` needs a profile that is not there, before time goes into the others.

    Args:
        kpis: by name.
        target: KPIs of other targets do not count.
        given: profiles that were measured.
        measuring: the gate will also time engine and control in turn by itself.
        sensors: it will read sensors meanwhile.
        built: what the bundle knows of its engine, so that every new profile has it.

    Raises:
        SpecError: names the KPI, and the command that measures it.
    """
    have = {name for profile in given for name in profile_values(profile)} | set(built)
    fresh = ({SPEEDUP} if measuring else set()) | (ANY_RUN if sensors else set())
    for name, kpi in kpis.items():
        wanted = kpi.metric or name
        if kpi.target in (None, target) and wanted in HOW and wanted not in have and wanted not in fresh:
            raise SpecError(f"kpis.{name}: {wanted} was not measured; measure it with: {HOW[wanted]}")
