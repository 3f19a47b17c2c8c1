"""New INT8 engines against the control that they race: by the one rule of :mod:`edgekit.stats.faster`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgekit.core.progress import Progress
from edgekit.core.reports import ProfileReport, Race
from edgekit.engine import Backend
from edgekit.stages.typed import TypedModel
from edgekit.stats import faster
from edgekit.stats.faster import OPENINGS


def race(
    backend: Backend, engines: Mapping[str, Path], models: Sequence[TypedModel], progress: Progress
) -> Race | None:
    """INT8 against its control, by median latency.

    Here, or on a board that has edgekit, both run in turn on a golden input, opened anew again and again; of a board
    with ``trtexec`` alone the medians are those of its two builds, which decide nothing.

    Args:
        backend: what built them.
        engines: files by name.
        models: what they were made from, the candidate's first; their golden arrays give the inputs.
        progress: shows the step.

    Returns:
        None where there is nothing to race (no INT8, or on its backend it does not race), or nothing was measured.
    """
    control = backend.int8_control
    candidate, *others = models
    other = next((model for model in others if model.precision == control), None)
    if not backend.int8_races or candidate.precision != "int8" or other is None:
        return None
    feeds = {model.name: model.golden.feeds(0) for model in models}
    with progress.track(f"time int8 and {control}"):
        times = backend.race(engines, feeds)
    return raced(times.ms[candidate.name], times.ms[other.name], control, times.by) if times.ms else None


def raced(times_ms: Sequence[float], control_ms: Sequence[float], control: str, by: str) -> Race:
    """The verdict on times in :data:`~edgekit.stats.faster.OPENINGS` equal parts, or on a single median of each."""
    alone = len(times_ms) == 1
    found = faster.speedup(control_ms, times_ms, 1 if alone else OPENINGS)
    return Race(
        control=control,
        p50_ms=float(np.median(times_ms)),
        control_p50_ms=float(np.median(control_ms)),
        speedup_p50=found.ratio,
        interval=None if alone else found.interval,
        queries=None if alone else len(times_ms),
        openings=None if alone else OPENINGS,
        by=by,
        verdict=faster.faster(found),
    )


def run_again(built: Race | None, profile: ProfileReport | None) -> Race | None:
    """The race of a build as a profile ran it since: newer, and on the machine that counts; else the build's own."""
    if built is None or profile is None or profile.control is None or profile.speedup_interval is None:
        return built
    openings = profile.settings.loads
    found = faster.Speedup(profile.speedup_p50 or 0.0, profile.speedup_interval, openings)
    return Race(
        control=built.control,
        p50_ms=profile.latency_ms.p50,
        control_p50_ms=profile.control.latency_ms.p50,
        speedup_p50=found.ratio,
        interval=found.interval,
        queries=profile.latency_ms.samples,
        openings=openings,
        by=built.by,
        verdict=faster.faster(found),
    )
