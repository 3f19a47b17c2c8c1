"""How often the gate is wrong: simulations on recorded latencies and frames of this machine.

    python benchmarks/gate_power.py record examples/camvid/artifacts/camvid-seg-cpu --root data/camvid
    python benchmarks/gate_power.py simulate --json benchmarks/results/gate_power.json

``record`` times an engine against a second copy of itself (A/A), the two in turn (A B, B A, ...), opened anew again and
again as ``runs`` of ``loads`` openings, and some long openings beside them; and keeps what FP32 and INT8 did on each
evaluation frame. It takes about half an hour; nothing else should run.

``simulate`` draws A/A pairs and pairs with a known loss from the recording and lets the gate judge them: false alarms,
detection, coverage of the intervals. A gate on point estimates (``naive``) gets the same draws. An A/A pair has no
difference because each opening's two copies are swapped at random; a slowdown is the recorded times x 1.05.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.bundle import Bundle, open_bundle
from edgekit.core.reports import EvaluateReport, Interval, Metric, ProfileReport, Settings
from edgekit.core.spec import Kpi
from edgekit.engine import predict
from edgekit.evaluation import bootstrap
from edgekit.kpis import against, judge, measured
from edgekit.profiling import interval, machine, summarise
from edgekit.stats.openings import percentile_interval, typical_ratio

RECORDING = Path(__file__).parent / "results" / "gate_power.npz"
WARMUP = 4
UNIT_MS = 0.005  # of the times in the file
SLOWER = 1.05
RATIO = 1.025  # half-way to what must be found
LOST = 0.01
MIOU = Metric("miou", True)


def record(args: argparse.Namespace) -> None:
    bundle = open_bundle(args.bundle)
    runs = np.stack([_run(bundle, args.openings, args.queries, run) for run in range(args.runs)])
    long = _openings(bundle, args.long, args.openings * args.queries)
    control, candidate = _frames(bundle, args.root, args.frames)
    args.recording.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        args.recording,
        runs=_stored(runs),
        long=_stored(long),
        control=control,
        candidate=candidate,
        machine=np.array(json.dumps(asdict(machine()))),
        bundle=np.array(bundle.identity),
    )
    print(f"{args.recording}: {args.recording.stat().st_size / 1024:.0f} KiB")


def _run(bundle: Bundle, loads: int, queries: int, run: int) -> np.ndarray:
    start = time.monotonic()
    found = _openings(bundle, loads, queries)
    print(f"run {run}: p50 {np.median(found, axis=(0, 1))} ms, {time.monotonic() - start:.0f} s", flush=True)
    return found


def _openings(bundle: Bundle, loads: int, queries: int) -> np.ndarray:
    """Milliseconds of two copies of the engine in turn, float64 ``(loads, queries, 2)``."""
    feeds = bundle.golden().feeds(0)
    times = np.zeros((loads, queries, 2))
    for load in range(loads):
        with bundle.engine() as first, bundle.engine() as second:
            order = [(0, first), (1, second)]
            for query in range(-WARMUP, queries):
                for copy, engine in order:
                    start = time.perf_counter()
                    engine.infer(feeds)
                    if query >= 0:
                        times[load, query, copy] = (time.perf_counter() - start) * 1e3
                order.reverse()
    return times


def _frames(bundle: Bundle, root: Path | None, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels right, predicted and true by class of FP32 and INT8, int32 ``(frames, 3, classes)`` each."""
    preprocess, task, dataset = bundle.preprocess(), bundle.task(), bundle.dataset(root)
    if bundle.contents.control is None:
        raise SystemExit(f"{bundle.path}: the bundle has no FP32 control; its spec does not quantize")
    scores = [task.accumulator(), task.accumulator()]
    with bundle.engine(bundle.contents.control) as control, bundle.engine() as candidate:
        for index in range(min(len(dataset), limit or len(dataset))):
            sample = dataset[index]
            prepared = preprocess(sample.images)
            for score, engine in zip(scores, (control, candidate), strict=True):
                score.update(predict(engine, task, prepared), sample.truth, sample.id)
    first, second = (score.counts.all().astype(np.int32) for score in scores)
    return first, second


def _stored(times_ms: np.ndarray) -> np.ndarray:
    return np.round(times_ms / UNIT_MS).astype(np.uint32)


class Frames:
    """mIoU from counts ``(frames, 3, classes)``, as the evaluation's scores compute it."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts.astype(np.float64)

    def compute_many(self, weights: np.ndarray, names: object = None) -> dict[str, np.ndarray]:
        sums = (weights @ self.counts.reshape(len(self.counts), -1)).reshape(len(weights), 3, -1)
        union = sums[:, 1] + sums[:, 2] - sums[:, 0]
        seen = union > 0
        iou = np.divide(sums[:, 0], union, out=np.zeros_like(union), where=seen)
        return {"miou": iou.sum(axis=1) / seen.sum(axis=1)}

    @property
    def miou(self) -> float:
        return float(self.compute_many(np.ones((1, len(self.counts))))["miou"][0])


def degraded(counts: np.ndarray, goal: float, rng: np.random.Generator) -> np.ndarray:
    """Counts whose mIoU is ``goal``: of every class a share of its right pixels becomes the next class.

    The share differs from frame to frame (lognormal), as real losses do.
    """
    uneven = rng.lognormal(sigma=1.0, size=(len(counts), 1))

    def worse(strength: float) -> np.ndarray:
        moved = counts[:, 0] * np.minimum(strength * uneven, 1)
        return np.stack([counts[:, 0] - moved, counts[:, 1] - moved + np.roll(moved, 1, axis=1), counts[:, 2]], axis=1)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if Frames(worse(middle)).miou > goal else (low, middle)
    return worse(high)


def _profile(times_ms: np.ndarray) -> ProfileReport:
    """A report of openings, milliseconds ``(loads, queries)``."""
    flat = times_ms.ravel()
    latency = summarise(flat)
    stages = dict.fromkeys(("pre", "infer", "post", "total"), latency)
    memory = {"peak_rss": 0.0, "imports": 0.0, "engine": 0.0}
    times, settings = {"e": tuple(flat.tolist())}, Settings(loads=len(times_ms))
    return ProfileReport("b", "e", latency, stages, memory, 0.0, None, None, times_ms=times, settings=settings)


NOTHING = EvaluateReport("b", "e", "d", 1, {}, None)


def judged(
    candidate_ms: np.ndarray,
    baseline_ms: np.ndarray,
    same_run: bool,
    confidence: float,
    history: tuple[float, ...] = (),
) -> str:
    """The gate's verdict on a p50 against a baseline's."""
    candidate, base = (NOTHING, _profile(candidate_ms)), (NOTHING, _profile(baseline_ms))
    found = against("base", base, candidate, (), same_run=same_run, history={"latency_p50_ms": history})
    kpi = Kpi(baseline_ratio=RATIO, confidence=confidence)
    return judge({"latency_p50_ms": kpi}, "here", measured(*candidate, ()), "", found).verdict


def naive(candidate_ms: np.ndarray, baseline_ms: np.ndarray) -> str:
    """The verdict of point estimates."""
    return "fail" if np.median(candidate_ms) / np.median(baseline_ms) > RATIO else "pass"


@dataclass
class Simulation:
    """The recording, and how many draws to make."""

    runs: np.ndarray
    long: np.ndarray
    control: np.ndarray
    candidate: np.ndarray
    trials: int
    confidence: float
    rng: np.random.Generator

    def table(self) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for title, factor in (("A/A", 1.0), (f"p50 x {SLOWER}", SLOWER)):
            rows |= {f"{title}: {name}": found for name, found in self._latency(factor).items()}
        for title, drop in (("equal mIoU", None), (f"mIoU - {LOST}", LOST)):
            rows |= {f"{title}: {name}": found for name, found in self._accuracy(drop).items()}
        return rows

    def _latency(self, factor: float) -> dict[str, dict[str, Any]]:
        votes: dict[str, list[str]] = {}

        def vote(name: str, verdict: str) -> None:
            votes.setdefault(name, []).append(verdict)

        for candidate_ms, baseline_ms in self._swapped(self.runs, self.trials):
            vote("in turn, by openings", judged(candidate_ms * factor, baseline_ms, True, self.confidence))
            vote("in turn, naive", naive(candidate_ms * factor, baseline_ms))
        for candidate_ms, baseline_ms in self._swapped(self.long[:, None], self.trials):
            vote("in turn, opened once", judged(candidate_ms * factor, baseline_ms, True, self.confidence))
            vote("in turn, opened once, naive", naive(candidate_ms * factor, baseline_ms))
        for candidate_ms, baseline_ms, history in self._apart():
            vote(
                "another run, with history", judged(candidate_ms * factor, baseline_ms, False, self.confidence, history)
            )
            vote("another run, naive", naive(candidate_ms * factor, baseline_ms))
        return {name: _shares(found) for name, found in votes.items()}

    def _swapped(self, runs: np.ndarray, trials: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Two sides of openings ``(loads, queries)``: a run's openings drawn with replacement, copies swapped."""
        for _ in range(trials):
            run = runs[self.rng.integers(len(runs))]
            drawn = run[self.rng.integers(0, len(run), len(run))]
            swap = self.rng.integers(0, 2, len(drawn))
            rows = np.arange(len(drawn))
            yield drawn[rows, :, swap], drawn[rows, :, 1 - swap]

    def _apart(self) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
        """Two runs, and the medians of up to ten others."""
        if len(self.runs) < 7:
            return
        for _ in range(self.trials):
            candidate_ms, baseline_ms, *others = self.rng.permutation(len(self.runs))
            history = tuple(float(np.median(self.runs[i, ..., 0])) for i in others[:10])
            yield self.runs[candidate_ms, ..., 0], self.runs[baseline_ms, ..., 1], history

    def _accuracy(self, drop: float | None) -> dict[str, dict[str, Any]]:
        """Verdicts on frames drawn from those recorded; without a ``drop`` the two models are swapped at random."""
        limits, votes = (0.005, 0.01), {}
        pair = self.control.astype(np.float64), self.candidate.astype(np.float64)
        if drop is not None:
            pair = pair[0], degraded(pair[1], Frames(pair[0]).miou - drop, self.rng)
        for _ in range(self.trials):
            drawn = self.rng.integers(0, len(pair[0]), len(pair[0]))
            control, candidate = (counts[drawn] for counts in pair)
            if drop is None:
                swap = self.rng.integers(0, 2, len(drawn)).astype(bool)[:, None, None]
                control, candidate = np.where(swap, candidate, control), np.where(swap, control, candidate)
            report = self.evaluated(control, candidate)
            for limit in limits:
                numbers = measured(report, _EMPTY, (MIOU,))
                verdict = judge({"miou": Kpi(max_drop=limit)}, "here", numbers).verdict
                votes.setdefault(f"max_drop {limit:g}", []).append(verdict)
                lost = report.control["miou"] - report.metrics["miou"] if report.control else 0.0
                votes.setdefault(f"max_drop {limit:g}, naive", []).append("fail" if lost > limit else "pass")
        return {name: _shares(found) for name, found in votes.items()}

    def evaluated(self, control: np.ndarray, candidate: np.ndarray) -> EvaluateReport:
        """The report of two models on frames, as the evaluation makes it."""
        everything = np.ones(len(control), bool)
        own = bootstrap.Units("frame", np.arange(len(control)))
        how = bootstrap.Resampling(seed=int(self.rng.integers(2**31)))
        first, second = bootstrap.spreads([Frames(control), Frames(candidate)], own, how, everything)  # type: ignore[list-item]
        return replace(
            NOTHING,
            frames=len(control),
            metrics=second.metrics,
            control=first.metrics,
            intervals=bootstrap.intervals(second, own.count, how.confidence),
            differences=bootstrap.differences(second, first, own.count, how.confidence),
            bootstrap=own.described(how),
        )

    def coverage(self) -> dict[str, float]:
        """How often 95 % intervals hold what the recording as a whole says."""
        found: dict[str, list[bool]] = {}
        pool = self.runs[..., 0].reshape(-1, self.runs.shape[2])
        truth = {q: float(np.quantile(pool, q)) for q in (0.5, 0.9, 0.99)}
        loads = self.runs.shape[1]
        for _ in range(self.trials):
            drawn = pool[self.rng.integers(0, len(pool), loads)]
            alone = self.rng.choice(pool.ravel(), drawn.size)
            for q, true in truth.items():
                name, times = f"p{100 * q:.0f}", tuple(drawn.ravel().tolist())
                ends = percentile_interval(times, q, 0.95, loads)
                found.setdefault(f"{name}, by openings", []).append(_holds(ends, true))
                found.setdefault(f"{name}, its upper end alone", []).append(_holds(Interval(None, ends.high), true))
                found.setdefault(f"{name}, queries of openings taken as independent", []).append(
                    _holds(interval(drawn.ravel(), q), true)
                )
                found.setdefault(f"{name}, independent queries", []).append(_holds(interval(alone, q), true))
        for candidate_ms, baseline_ms in self._swapped(self.runs, self.trials):
            _, ratio = typical_ratio(tuple(candidate_ms.ravel()), tuple(baseline_ms.ravel()), 0.95, loads)
            found.setdefault("ratio in turn, by openings", []).append(_holds(ratio, 1.0))
        return {name: float(np.mean(held)) for name, held in found.items()} | self._covered_accuracy()

    def _covered_accuracy(self) -> dict[str, float]:
        true = [Frames(counts).miou for counts in (self.control, self.candidate)]
        held: dict[str, list[bool]] = {"mIoU": [], "mIoU difference": []}
        for _ in range(self.trials):
            drawn = self.rng.integers(0, len(self.control), len(self.control))
            report = self.evaluated(self.control[drawn], self.candidate[drawn])
            difference = report.differences["miou"]
            held["mIoU"].append(_holds(report.intervals["miou"], true[1]))
            held["mIoU difference"].append(_holds(Interval(difference.low, difference.high), true[1] - true[0]))
        return {name: float(np.mean(found)) for name, found in held.items()}


_EMPTY = _profile(np.ones((1, 1)))


def _holds(found: Interval, true: float) -> bool:
    return (found.low is None or found.low <= true) and (found.high is None or true <= found.high)


def _shares(verdicts: list[str]) -> dict[str, Any]:
    counted = Counter(verdicts)
    return {"trials": len(verdicts)} | {name: counted[name] / len(verdicts) for name in ("pass", "undecided", "fail")}


def simulate(args: argparse.Namespace) -> None:
    with np.load(args.recording) as stored:
        kept = dict(stored)
    simulation = Simulation(
        kept["runs"] * UNIT_MS,
        kept["long"] * UNIT_MS,
        kept["control"],
        kept["candidate"],
        args.trials,
        args.confidence,
        np.random.default_rng(0),
    )
    result = {
        "limits": {"baseline_ratio": RATIO, "confidence_of_latency": args.confidence, "confidence_of_miou": 0.95},
        "recorded": {name: list(kept[name].shape) for name in ("runs", "long", "candidate")},
        "bundle": str(kept["bundle"]),
        "machine": json.loads(str(kept["machine"])),
        "verdicts": simulation.table(),
        "coverage": simulation.coverage(),
    }
    show(result, print)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


def show(result: dict[str, Any], say: Callable[[str], None]) -> None:
    """The table; an alarm that the gate must not give and a loss that it must find are what `fail` counts."""
    say(f"{'':<46} {'trials':>7} {'pass':>8} {'undecided':>10} {'fail':>8}")
    for name, row in result["verdicts"].items():
        say(f"{name:<46} {row['trials']:>7} {row['pass']:>8.1%} {row['undecided']:>10.1%} {row['fail']:>8.1%}")
    say("")
    for name, share in result["coverage"].items():
        say(f"95 % interval covers: {name:<46} {share:>7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    recorder = commands.add_parser("record")
    recorder.add_argument("bundle", type=Path)
    recorder.add_argument("--root", type=Path, help="where the evaluation data are")
    recorder.add_argument("--runs", type=int, default=40)
    recorder.add_argument("--openings", type=int, default=60, help="openings of a run")
    recorder.add_argument("--queries", type=int, default=12, help="queries of an opening")
    recorder.add_argument("--long", type=int, default=24, help="openings as long as a run")
    recorder.add_argument("--frames", type=int, help="default: all")
    recorder.set_defaults(go=record)
    simulator = commands.add_parser("simulate")
    simulator.add_argument("--trials", type=int, default=1000)
    simulator.add_argument("--confidence", type=float, default=0.95, help="of the latency KPI")
    simulator.add_argument("--json", type=Path)
    simulator.set_defaults(go=simulate)
    for command in (recorder, simulator):
        command.add_argument("--recording", type=Path, default=RECORDING)
    args = parser.parse_args()
    args.go(args)


if __name__ == "__main__":
    main()
