"""Where the numbers come from, what speaks against trusting them, and what was not measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from edgekit.core.reports import LeakReport, PowerReport, ProfileReport, Settings
from edgekit.reporting import words
from edgekit.reporting.content import Content

Facts = list[tuple[str, str]]
DRIFT = 0.05


def groups(content: Content) -> list[tuple[str, Facts]]:
    """Facts in titled groups; empty groups are left out."""
    evaluation, profile = content.evaluation, content.profile
    found: dict[str, Mapping[str, Any]] = {"Bundle": {"measured": content.bundle} | dict(content.provenance)}
    if evaluation is not None:
        found["Data"] = {
            "dataset": evaluation.dataset,
            "frames": f"{evaluation.frames:,}",
            "dataset hash": evaluation.dataset_hash,
            "preprocessing hash": evaluation.preprocess_hash,
            "intervals": asdict(evaluation.bootstrap) if evaluation.bootstrap else None,
        }
    if profile is not None:
        found["Timing"] = {"engine": profile.engine, "scenario": profile.scenario, **_settings(profile.settings)}
        found["Machine"] = profile.machine.to_dict()
    rows = [(title, words.facts(values)) for title, values in found.items()]
    return [(title, facts) for title, facts in rows if facts]


def resources(profile: ProfileReport | None) -> list[tuple[str, Facts]]:
    """Memory, leak test, power and traffic, as far as they were measured."""
    if profile is None:
        return []
    found = {
        "Memory (MiB)": profile.memory_mib,
        "Leak test": _leak(profile.leak),
        "Power and clocks": _power(profile.power),
        "Traffic": profile.traffic and profile.traffic.to_dict(),
    }
    rows = [(title, words.facts(values or {})) for title, values in found.items()]
    return [(title, facts) for title, facts in rows if facts]


def _settings(found: Settings) -> Mapping[str, Any]:
    """What was run, and what the backend says of itself, as one list."""
    values = found.to_dict()
    del values["more"]
    return values | dict(found.more)


def _leak(found: LeakReport | None) -> Mapping[str, Any]:
    """Growth, its interval and the limit in words with their unit; the readings are left out."""
    if found is None:
        return {}
    unit = "KiB per 1000 queries"
    ends = f"{_tenths(found.low)} to {_tenths(found.high)}, at {found.confidence:.0%} confidence"
    return {
        "verdict": found.verdict,
        "queries": found.queries,
        "growth": f"{_tenths(found.slope_kib_per_1000)} {unit} ({ends})",
        "limit": f"{found.limit_kib_per_1000:g} {unit}",
    }


def _tenths(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"  # + 0.0: never -0.0


def _power(found: PowerReport | None) -> Mapping[str, Any]:
    """What was measured: without the sensors that this machine lacks, empty when nothing is left."""
    if found is None:
        return {}
    left = {key: value for key, value in found.to_dict().items() if key not in ("unavailable", "queries", "rate_hz")}
    if found.clocks is not None and found.clocks.locked is None:
        del left["clocks"]
    temperatures = any(left["temperature_c"].values())
    rest = (value for key, value in left.items() if key != "temperature_c")
    return left if temperatures or any(value not in (None, (), {}) for value in rest) else {}


def warnings(content: Content) -> list[str]:
    """What makes the numbers less than they seem: unlocked clocks, a busy machine, too few queries."""
    texts = [text for report in (content.evaluation, content.gate) if report is not None for text in report.warnings]
    if content.gate is not None:
        texts += [f"{name} is undecided: {reason}" for name, reason in content.gate.unmeasured.items()]
        texts += filter(None, [content.gate.race.advice()] if content.gate.race is not None else [])
    found = [f"{text[:1].upper()}{text[1:]}." for text in dict.fromkeys(texts)]
    found += _of_profile(content.profile) if content.profile is not None else ()
    calibration = content.provenance.get("calibration")
    if isinstance(calibration, Mapping) and calibration.get("real") is False:
        found.append("The model was calibrated on random pixels: its accuracy says nothing.")
    return found


def _of_profile(profile: ProfileReport) -> Iterator[str]:
    machine, power = profile.machine, profile.power
    clocks = None if power is None else power.clocks
    if clocks is not None and clocks.locked is not True:
        state = "were not locked" if clocks.locked is False else "may have moved"
        yield f"Clocks {state}: {clocks.reason or 'nothing was read of them'}. Times vary from run to run."
    elif clocks is None and machine.governor not in ("unknown", "performance"):
        yield f"Clocks were not locked: governor {machine.governor}. Times vary from run to run."
    if power is not None and power.throttled:
        yield f"The chip was throttled during the run ({', '.join(power.throttle_reasons) or 'reason not told'})."
    load, cpus = machine.load_average_1min, machine.cpus
    if load is not None and cpus is not None and load > max(1.0, cpus / 2):
        yield f"The machine was busy: load {load:g} on {cpus} CPUs."
    noise = profile.noise
    if noise is not None and noise.low is not None and noise.high is not None and not noise.low <= 1 <= noise.high:
        yield (
            f"The engine timed against itself differs ({words.interval(noise)}, 1 is the same): "
            "differences this small are noise of this machine."
        )
    times = profile.times_ms.get(profile.engine, ())
    change = halves(times)
    if abs(change) > DRIFT:
        yield f"The engine's median moved by {change:+.0%} from the first to the second half of the run."


def halves(times_ms: Sequence[float]) -> float:
    """The relative change of the median from the first to the second half; 0 for fewer than two times."""
    middle = len(times_ms) // 2
    return median(times_ms[middle:]) / median(times_ms[:middle]) - 1 if middle else 0.0


def missing(content: Content) -> list[str]:
    """What was not measured, named."""
    evaluation, profile = content.evaluation, content.profile
    wanted: dict[str, object] = {"accuracy": evaluation, "latency and memory": profile, "earlier runs": content.history}
    if evaluation is not None:
        wanted |= {
            "control": evaluation.control,
            "intervals of the accuracy": evaluation.intervals,
            "slices": evaluation.slices,
            "pictures of the worst frames": content.pictures,
        }
    if profile is not None:
        wanted |= {
            "single query times": profile.times_ms,
            "noise of the machine (A/A)": profile.noise,
            "layer times": profile.layers,
            "leaks": profile.leak,
            "power": _power(profile.power),
        }
    return [name for name, value in wanted.items() if not value]
