"""Reports as the named numbers that MLflow keeps."""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError
from edgekit.core.reports import Difference, Document, EvaluateReport, Interval, Latency, Metric, ProfileReport
from edgekit.kpis.operation import operation

_LONGEST = 250 - len(":high")  # MLflow's limit of a metric's name
_PERCENTILES = ("p50", "p90", "p99", "p999")
_STAGES = {"infer": "latency"}  # as KPIs call it


@dataclass(frozen=True)
class Value:
    """A number of a run and the ends of its interval; ``higher`` None: neither direction is better.

    ``source`` says what must be equal for two runs to be compared: the data, or the machine.
    """

    value: float
    higher: bool | None
    unit: str
    source: Literal["evaluation", "profile"]
    low: float | None = None
    high: float | None = None


def key(name: str) -> str:
    """``name`` as MLflow allows it: ``weather=fog/miou`` becomes ``weather:fog/miou``, other characters ``_<hex>_``."""
    text = re.sub(r"[^\w.\-: /]", lambda found: f"_{ord(found[0]):x}_", name.replace("=", ":"))
    if posixpath.normpath(text) != text or text.startswith(("/", "..")) or text == ".":
        text = text.replace("/", "_2f_").replace(".", "_2e_")
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 17]}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return text


def values(
    evaluation: EvaluateReport, profile: ProfileReport | None, metrics: Mapping[str, Metric]
) -> dict[str, Value]:
    """Every number of the reports by name.

    A task's metrics keep their names; ``control/NAME``, ``difference/NAME`` and ``COLUMN=VALUE/NAME`` (a
    slice) go with them. A profile's are named as KPIs name them, and ``power/...``, ``leak/...``, ``traffic/...``
    by their keys.

    Raises:
        DataError: a number is not finite, or two names are the same to MLflow.
    """
    found = dict(_of_evaluation(evaluation, metrics))
    if profile is not None:
        found |= dict(_of_profile(profile))
    taken: dict[str, str] = {}
    for name, value in found.items():
        for number in (value.value, value.low, value.high):
            if number is not None and not math.isfinite(number):
                raise DataError(f"{name} is {number}; a history keeps finite numbers only; measure it again")
        if taken.setdefault(key(name), name) != name:
            raise DataError(
                f"{name!r} and {taken[key(name)]!r} have the same name in MLflow, {key(name)!r}; rename one"
            )
    return found


def _of_evaluation(report: EvaluateReport, metrics: Mapping[str, Metric]) -> Iterator[tuple[str, Value]]:
    yield from _part("", report.metrics, report.control, report.intervals, report.differences, metrics)
    for part in report.slices:
        where = f"{part.column}={part.value}/"
        yield from _part(where, part.metrics, part.control, part.intervals, part.differences, metrics)


def _part(
    where: str,
    measured: Mapping[str, float],
    control: Mapping[str, float] | None,
    intervals: Mapping[str, Interval],
    differences: Mapping[str, Difference],
    metrics: Mapping[str, Metric],
) -> Iterator[tuple[str, Value]]:
    def make(name: str, value: float, interval: Interval | Difference | None = None) -> Value:
        metric = metrics.get(name)
        low, high = (interval.low, interval.high) if interval is not None else (None, None)
        return Value(value, metric.higher if metric else None, metric.unit if metric else "", "evaluation", low, high)

    for name, value in measured.items():
        yield f"{where}{name}", make(name, value, intervals.get(name))
    for name, value in (control or {}).items():
        yield f"{where}control/{name}", make(name, value)
    for name, difference in differences.items():
        yield f"{where}difference/{name}", make(name, difference.value, difference)


def _of_profile(report: ProfileReport) -> Iterator[tuple[str, Value]]:
    for stage, latency in {**report.stages_ms, "infer": report.latency_ms}.items():
        yield from _percentiles(_STAGES.get(stage, stage), latency)
    for name, size in (("peak_memory_mib", "peak_rss"), ("engine_memory_mib", "engine")):
        if size in report.memory_mib:
            yield name, Value(report.memory_mib[size], False, "MiB", "profile")
    for name, size_mib in report.memory_mib.items():
        if name not in ("peak_rss", "engine"):
            yield f"memory/{name}", Value(size_mib, False, "MiB", "profile")
    yield "size_mib", Value(report.size_mib, False, "MiB", "profile")
    if report.speedup_p50 is not None:
        between = report.speedup_interval or Interval(None, None)
        yield "speedup_p50", Value(report.speedup_p50, True, "x", "profile", between.low, between.high)
    for name, at_work in operation(report).items():
        between = at_work.interval or Interval(None, None)
        yield name, Value(at_work.value, False, at_work.metric.unit, "profile", between.low, between.high)
    for section in ("control", "traffic", "leak", "power"):
        part: Document | None = getattr(report, section)
        for name, number in _leaves(section, {} if part is None else part.to_dict()):
            yield name, Value(number, None, "", "profile")


def _percentiles(stage: str, latency: Latency) -> Iterator[tuple[str, Value]]:
    for percentile in _PERCENTILES:
        value = getattr(latency, percentile)
        if value is not None:
            between = latency.intervals.get(percentile) or Interval(None, None)
            yield f"{stage}_{percentile}_ms", Value(value, False, "ms", "profile", between.low, between.high)
    yield f"{stage}_mean_ms", Value(latency.mean, False, "ms", "profile")


def _leaves(path: str, node: Any) -> Iterator[tuple[str, float]]:
    """Numbers in nested dictionaries; lists, such as the samples of a sensor, stay in the document."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _leaves(f"{path}/{name}", child)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, float(node)


def parameters(evaluation: EvaluateReport, profile: ProfileReport | None, more: Mapping[str, object]) -> dict[str, str]:
    """What a run was made of and with, flat; MLflow shows and compares it."""
    facts: dict[str, object] = {
        "engine": evaluation.engine,
        "dataset": evaluation.dataset,
        "frames": evaluation.frames,
        "dataset_hash": evaluation.dataset_hash,
        "preprocess_hash": evaluation.preprocess_hash,
    }
    if profile is not None:
        facts |= {"scenario": profile.scenario, "machine": profile.machine.to_dict(), "settings": _settings(profile)}
    return {key(name): text for name, text in _texts("", {**facts, **more}) if text}


def _texts(path: str, node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _texts(f"{path}.{name}" if path else str(name), child)
    elif node is not None:
        yield path, str(node)


def _settings(profile: ProfileReport) -> dict[str, object]:
    found = profile.settings.to_dict()
    del found["more"]
    return found | dict(profile.settings.more)


def same_data(evaluation: EvaluateReport) -> str:
    """Equal for runs whose accuracy can be compared."""
    return sha256_of([evaluation.dataset_hash or evaluation.dataset, evaluation.preprocess_hash])[:16]


def same_machine(profile: ProfileReport | None) -> str:
    """Equal for runs whose latency can be compared; what changes from hour to hour, such as the load, is left out."""
    if profile is None:
        return ""
    machine, traffic = profile.machine, profile.traffic
    cpus = "" if machine.cpus is None else str(machine.cpus)
    # The last is the accelerator, which no profile names in its machine: runs of before have it so too.
    facts = [machine.system, machine.machine, machine.cpu, cpus, ""]
    rate = None if traffic is None else traffic.rate_hz
    return sha256_of([*facts, profile.scenario, *([] if rate is None else [rate])])[:16]
