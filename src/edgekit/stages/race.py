"""New INT8 engines against the control that they race: by the one rule of :mod:`edgekit.stats.faster`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import Race
from edgekit.engine import Backend
from edgekit.stats import faster
from edgekit.stats.faster import LOADS


def race(backend: Backend, engines: Mapping[str, Path], golden: Golden, progress: Progress) -> Race | None:
    """INT8 against its control, by median latency.

    Here, or on a board that has edgekit, both run in turn on a golden input, opened anew again and again; of a board
    with ``trtexec`` alone the medians are those of its two builds, which decide nothing.

    Args:
        backend: what built them.
        engines: files by precision, the candidate first.
        golden: gives the input.
        progress: shows the step.

    Returns:
        None where there is nothing to race (no INT8, or on its backend it does not race), or nothing was measured.
    """
    control = backend.int8_control
    if not backend.int8_races or next(iter(engines)) != "int8" or control not in engines:
        return None
    feeds = golden.feeds(0)
    with progress.track(f"time int8 and {control}"):
        times = backend.race(engines, feeds)
    return judged(times.ms["int8"], times.ms[control], control, times.by) if times.ms else None


def judged(times_ms: Sequence[float], control_ms: Sequence[float], control: str, by: str) -> Race:
    """The verdict on times in :data:`~edgekit.stats.faster.LOADS` equal parts, or on a single median of each."""
    alone = len(times_ms) == 1
    found = faster.speedup(control_ms, times_ms, 1 if alone else LOADS)
    return Race(
        control=control,
        p50_ms=float(np.median(times_ms)),
        control_p50_ms=float(np.median(control_ms)),
        speedup_p50=found.ratio,
        interval=None if alone else found.interval,
        queries=None if alone else len(times_ms),
        openings=None if alone else LOADS,
        by=by,
        verdict=faster.faster(found),
    )
