"""The accuracy ladder: the cheapest technique whose engine holds the floor and beats the float control.

Rungs, in order: the FP32 control, an FP16 control, PTQ with each calibrator, PTQ with accuracy
repair, mixed precision, quantization-aware training.  Every rung is built as an engine of the
target and measured there; the climb stops at the first INT8 engine that holds the floor and is
faster than the fastest control.  When none does, the fastest control that holds it is the result,
and the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.reports import CompressReport, LayerNoise, Rung
from edgekit.quantize import half, mixed, qat
from edgekit.quantize import ptq as post_training
from edgekit.quantize.mixed.sensitivity import analyse, picture
from edgekit.quantize.mixed.variants import Variants
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.quantize.qat import Config as QatConfig
from edgekit.stats import faster
from edgekit.stats.openings import summarise_openings
from edgekit.technique import Bench, Job, Quantized, TechniqueConfig

QUERIES = 100
# What the repair rungs switch on, the cheapest first.
REPAIRS: dict[str, dict[str, Any]] = {
    "bias correction": {"bias_correction": True},
    "equalization": {"equalize": True},
    "equalization, bias correction": {"equalize": True, "bias_correction": True},
    "adaround": {"rounding": "adaround"},
}
REPORT = "report.json"
PICTURE = "sensitivity.png"


class Config(TechniqueConfig):
    """The ladder."""

    method: Literal["auto"] = "auto"
    max_drop: float = Field(
        ge=0, description="loss of the metric against FP32 on the validation frames that is allowed"
    )
    metric: str | None = Field(None, description="a metric of the task; default: its first")
    ptq: PtqConfig = Field(PtqConfig(), description="where the climb starts; its calibrator is tried first")
    calibrators: tuple[post_training.Calibrator, ...] = Field(
        (), description="further calibrators to try before any repair; each is one more chance to pass by luck"
    )
    qat: QatConfig | None = Field(None, description="the last rung; none: weights are not trained")

    @property
    def measures(self) -> bool:
        return True


@dataclass(frozen=True)
class Attempt:
    """A rung and the model that it measured; ``ptq`` is the configuration to build on."""

    rung: Rung
    model: bytes
    record: dict[str, Any]
    ptq: PtqConfig | None = None


def apply(job: Job, config: Config) -> Quantized:
    """Climb until an engine holds ``max_drop`` and is faster than the control.

    Raises:
        SpecError: there is no bench, or a qat rung and no training frames.
        DataError, ModelError: as :func:`edgekit.quantize.ptq.apply`.
    """
    if config.qat is not None and job.examples is None:
        raise SpecError("the qat rung trains on data.training, which is missing; give frames, or leave qat out")
    ladder = _Ladder(job, config, job.need_bench("method auto"))
    for attempt in ladder.attempts():
        ladder.tried.append(attempt)
        if attempt.rung.verdict == "meets":
            break
    return ladder.result()


class _Ladder:
    def __init__(self, job: Job, config: Config, bench: Bench) -> None:
        self.job = job
        self.config = config
        self.bench = bench
        self.source = job.source.read_bytes()
        self.reference = bench.control_accuracy()
        self.floor = mixed.floor_of(self.reference, config.max_drop, bench)
        self.tried: list[Attempt] = []
        self.layers: tuple[LayerNoise, ...] = ()
        self.excluded: tuple[str, ...] = ()

    # -- the rungs, in order ---------------------------------------------------------------------

    def attempts(self) -> Iterator[Attempt]:
        """One attempt after the other, each made when it is asked for."""
        yield self.control()
        yield self.half_control()
        for calibrator in dict.fromkeys((self.config.ptq.calibrator, *self.config.calibrators)):
            chosen = self.config.ptq.model_copy(update={"calibrator": calibrator})
            yield self.post_training(f"ptq {calibrator}", chosen)
        best = self.best_ptq()
        for name, update in REPAIRS.items():
            yield self.post_training(f"ptq {best.calibrator} + {name}", best.model_copy(update=update))
        yield self.mixed(self.best_ptq())
        if self.config.qat is not None:
            yield self.trained(self.config.qat)

    def control(self) -> Attempt:
        latency = self.bench.latency({"it": self.source}, QUERIES)["it"]
        size = self.bench.size_mib(self.source)
        accuracy = self.bench.accuracy(self.source)
        drop = self._drop(accuracy)
        rung = Rung("fp32", "fp32", accuracy, drop, latency, 1.0, size, "control")
        return Attempt(rung, self.source, {"method": "auto"})

    def half_control(self) -> Attempt:
        attempt = self._attempt("fp16", lambda: half.apply(self.job, half.Config(method="half")))
        if attempt.rung.accuracy is None:
            return attempt
        meets = attempt.rung.verdict == "meets"
        return replace(attempt, rung=replace(attempt.rung, verdict="control" if meets else "rejected"))

    def post_training(self, name: str, chosen: PtqConfig) -> Attempt:
        return replace(self._attempt(name, lambda: post_training.apply(self.job, chosen)), ptq=chosen)

    def best_ptq(self) -> PtqConfig:
        """The configuration of the most accurate PTQ rung so far."""
        done = [a for a in self.tried if a.ptq is not None and a.rung.drop is not None]
        if not done:
            return self.config.ptq
        best = min(done, key=lambda attempt: attempt.rung.drop or 0.0)
        assert best.ptq is not None
        return best.ptq

    def mixed(self, base: PtqConfig) -> Attempt:
        variants = Variants(self.job, base)
        self.layers = analyse(variants)
        found = mixed.search(variants, self.bench, self.floor, self.layers)
        self.excluded = found.exclude
        record = variants.record() | {"excluded": list(found.exclude)}
        attempt = self._measured("mixed precision", Quantized(found.model, record))
        blamed = mixed.blamed(self.layers, found.exclude) or "no layer"
        reason = "; ".join(part for part in (attempt.rung.reason, f"in float: {blamed}") if part)
        return replace(attempt, rung=replace(attempt.rung, reason=reason))

    def trained(self, config: QatConfig) -> Attempt:
        best = self.best_ptq()
        # Training repairs better than what repairs without it, and both do not go together.
        plain = {"equalize": False, "bias_correction": False, "rounding": "nearest"}
        best = best.model_copy(update={"exclude": (*best.exclude, *self.excluded), **plain})
        chosen = config.model_copy(update={"ptq": best})
        return self._attempt("qat", lambda: qat.apply(self.job, chosen))

    # -- measuring ---------------------------------------------------------------------------------

    def _attempt(self, name: str, make: Callable[[], Quantized]) -> Attempt:
        try:
            return self._measured(name, make())
        except ModelError as problem:
            # A rung that this model or engine does not admit is reported, and the climb goes on.
            rung = Rung(name, "", None, None, None, None, None, "rejected", str(problem))
            return Attempt(rung, b"", {})

    def _measured(self, name: str, made: Quantized) -> Attempt:
        accuracy = self.bench.accuracy(made.model)
        control = self._control()
        times = self.bench.times_ms({"fp32": self.source, control.rung.name: control.model, "it": made.model})
        drop = self._drop(accuracy)
        speedup = faster.speedup(times["fp32"], times["it"], faster.OPENINGS)
        against = faster.speedup(times[control.rung.name], times["it"], faster.OPENINGS)
        reasons = []
        if not mixed.holds(accuracy, self.floor, self.bench):
            reasons.append(f"loses {drop:.4f} {self.bench.metric.name}, allowed {self.config.max_drop:g}")
        if (found := faster.faster(against)) != "faster":
            how = "not faster" if found == "rejected" else "not shown to be faster"
            reasons.append(f"{how} than the {control.rung.name} control ({against}, {faster.MARGIN:g}x is needed)")
        if not reasons and (departs := self.bench.departs(made.model, made.precision)):
            reasons.append(departs)
        size = self.bench.size_mib(made.model)
        verdict: Literal["meets", "rejected"] = "rejected" if reasons else "meets"
        settings = made.record.get("config", {})
        latency = summarise_openings(np.array(times["it"]), faster.OPENINGS)
        reason = "; ".join(reasons)
        rung = Rung(name, made.precision, accuracy, drop, latency, speedup.ratio, size, verdict, reason, settings)
        return Attempt(rung, made.model, made.record)

    def _drop(self, accuracy: float) -> float:
        return self.reference - accuracy if self.bench.metric.higher else accuracy - self.reference

    def _control(self) -> Attempt:
        """The fastest control so far."""
        controls = [attempt for attempt in self.tried if attempt.rung.verdict == "control"]
        return max(controls, key=lambda attempt: attempt.rung.speedup_p50 or 1.0)

    # -- the result --------------------------------------------------------------------------------

    def blame(self) -> None:
        """Rank the layers of the first PTQ rung that lost too much, unless a later rung did so already."""
        lost = [a.ptq for a in self.tried if a.ptq is not None and a.rung.accuracy is not None and not self._ok(a)]
        if lost and not self.layers:
            self.layers = analyse(Variants(self.job, lost[0]))

    def _ok(self, attempt: Attempt) -> bool:
        return attempt.rung.accuracy is not None and mixed.holds(attempt.rung.accuracy, self.floor, self.bench)

    def result(self) -> Quantized:
        self.blame()
        chosen = self.tried[-1]
        if chosen.rung.verdict != "meets":
            chosen = self._control()
        report = CompressReport(
            target=self.bench.target,
            metric=self.bench.metric.name,
            max_drop=self.config.max_drop,
            chosen=chosen.rung.name,
            rungs=tuple(attempt.rung for attempt in self.tried),
            layers=self.layers,
            excluded=self.excluded if chosen.rung.name in ("mixed precision", "qat") else (),
        )
        files = {REPORT: json.dumps(report.to_dict(), indent=2).encode()}
        if self.layers:
            files[PICTURE] = picture(self.layers, "Layers by output noise in INT8", self.excluded)
        record = chosen.record | {"method": "auto", "rung": chosen.rung.name}
        return Quantized(chosen.model, record, chosen.rung.precision, files=files)
