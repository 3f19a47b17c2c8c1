"""The accuracy ladder: the cheapest technique whose engine holds the floor and beats the float control.

Rungs, in order: the FP32 control, an FP16 control, PTQ with each calibrator, PTQ with accuracy
repair, mixed precision, quantization-aware training; then, with a wanted speed-up and a section
``prune``, chains of steps: the network pruned, distilled, and quantized.  Every rung is built as an
engine of the target and measured there; the climb stops at the first engine that holds the floor and
is faster than the fastest control, and as fast as wanted.  When none is, the fastest that holds the
floor is the result, a control if need be, and the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import MissingRequirement, ModelError, SpecError
from edgekit.core.reports import CompressReport, LayerNoise, Rung
from edgekit.core.spec import CompressStep, DistillSection
from edgekit.quantize import half, mixed, qat
from edgekit.quantize import ptq as post_training
from edgekit.quantize.mixed.sensitivity import analyse_blocks, picture
from edgekit.quantize.mixed.variants import Variants
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.quantize.qat import Config as QatConfig
from edgekit.stats import faster
from edgekit.stats.openings import summarise_openings
from edgekit.technique import Bench, Job, Link, Quantized, TechniqueConfig

QUERIES = 100
# What the repair rungs switch on, the cheapest first.
REPAIRS: dict[str, dict[str, Any]] = {
    "bias correction": {"bias_correction": True},
    "equalization": {"equalize": True},
    "equalization, bias correction": {"equalize": True, "bias_correction": True},
    "adaround": {"rounding": "adaround"},
}
PRUNINGS, LEAST_PRUNED = 2, 1.1
"""Chains that are tried, each as much faster as the one before lacked; less than 10 % is not worth a training."""
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
    qat: QatConfig | None = Field(None, description="a rung that trains the rounded network; none: not tried")
    speedup: float | None = Field(
        None, gt=1, description="over FP32 that is wanted; none: faster than the float controls is enough"
    )
    prune: dict[str, Any] | None = Field(
        None, description="a prune step, without how far: chains that begin with it are tried; needs speedup"
    )
    distill: DistillSection = Field(None, description="the distill step that follows pruning; needs prune")

    @property
    def measures(self) -> bool:
        return True

    @model_validator(mode="after")
    def _chain_is_whole(self) -> Self:
        if self.prune is not None and self.speedup is None:
            raise ValueError("prune needs speedup: how fast the engine has to become, e.g. speedup: 3.0")
        if self.distill is not None and self.prune is None:
            raise ValueError("distill follows prune; give prune, e.g. {method: channels}, or a distill step of its own")
        if self.prune is not None:
            self.linked(Link("prune", {"speedup": self.speedup}))
        return self

    def reads(self) -> tuple[Path, ...]:
        return () if self.distill is None else self.distill.reads()

    def linked(self, link: Link) -> TechniqueConfig:
        if link.kind == "distill":
            found: TechniqueConfig = self.distill
            return found
        step = CompressStep.model_validate({"prune": {**(self.prune or {}), **link.chosen}})
        pruned: TechniqueConfig = step.technique
        return pruned


@dataclass(frozen=True)
class Attempt:
    """A rung and the model that it measured.

    ``ptq`` is the configuration to build on, ``links`` are the steps before it, ``short`` says that it lacks nothing
    but the wanted speed-up.
    """

    rung: Rung
    model: bytes
    record: dict[str, Any]
    ptq: PtqConfig | None = None
    links: tuple[Link, ...] = ()
    short: bool = False


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
        yield from self.chains()

    def control(self) -> Attempt:
        latency = self.bench.latency({"it": self.source}, QUERIES)["it"]
        size = self.bench.size_mib(self.source)
        accuracy = self.bench.accuracy(self.source)
        drop = self._drop(accuracy)
        rung = Rung("fp32", "fp32", accuracy, drop, latency, 1.0, size, "control")
        return Attempt(rung, self.source, {"method": "auto"})

    def half_control(self) -> Attempt:
        attempt = self._attempt("fp16", lambda: (half.apply(self.job, half.Config(method="half")), self.job))
        if attempt.rung.accuracy is None:
            return attempt
        meets = attempt.rung.verdict == "meets" or attempt.short
        return replace(attempt, rung=replace(attempt.rung, verdict="control" if meets else "rejected"))

    def post_training(self, name: str, chosen: PtqConfig) -> Attempt:
        return replace(self._attempt(name, lambda: (post_training.apply(self.job, chosen), self.job)), ptq=chosen)

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

        def layers() -> tuple[LayerNoise, ...]:
            self.layers = analyse_blocks(variants)
            return self.layers

        found = mixed.search(variants, self.bench, self.floor, layers)
        self.excluded = found.exclude
        record = variants.record() | {"excluded": list(found.exclude)}
        attempt = self._measured("mixed precision", Quantized(found.model, record), self.job)
        blamed = mixed.blamed(variants.graph, found.exclude) or "no layer"
        reason = "; ".join(part for part in (attempt.rung.reason, f"in float: {blamed}") if part)
        return replace(attempt, rung=replace(attempt.rung, reason=reason))

    def trained(self, config: QatConfig) -> Attempt:
        best = self.best_ptq()
        # Training repairs better than what repairs without it, and both do not go together.
        plain = {"equalize": False, "bias_correction": False, "rounding": "nearest"}
        best = best.model_copy(update={"exclude": (*best.exclude, *self.excluded), **plain})
        chosen = config.model_copy(update={"ptq": best})
        return self._attempt("qat", lambda: (qat.apply(self.job, chosen), self.job))

    def chains(self) -> Iterator[Attempt]:
        """The network pruned, distilled, in INT8: as far as quantizing leaves to do, then as far as that lacked."""
        wanted = self.config.speedup
        if self.config.prune is None or wanted is None:
            return
        gain = max((a.rung.speedup_p50 or 1.0 for a in self.tried if a.ptq is not None and self._ok(a)), default=1.0)
        factor = wanted / max(gain, 1.0)
        for _ in range(PRUNINGS):
            factor = max(factor, LEAST_PRUNED)
            for attempt in self.pruned(round(factor, 2)):
                yield attempt
            if attempt.rung.speedup_p50 is None or not self._ok(attempt):
                return  # pruned further it would lose more
            factor *= wanted / attempt.rung.speedup_p50

    def pruned(self, factor: float) -> Iterator[Attempt]:
        """One chain, a rung after each of its steps."""
        links: tuple[Link, ...] = (Link("prune", {"speedup": factor}),)
        name = f"prune {factor:g}x"
        yield self._behind(name, links, None)
        if self.tried[-1].rung.accuracy is None:
            return
        if self.config.distill is not None:
            links, name = (*links, Link("distill", {})), f"{name} + distill"
            yield self._behind(name, links, None)
        best = self.best_ptq()
        yield self._behind(f"{name} + ptq {best.calibrator}", links, best)

    def _behind(self, name: str, links: tuple[Link, ...], chosen: PtqConfig | None) -> Attempt:
        """The network behind ``links``: in float, or quantized as ``chosen``."""
        after = self.job.after
        assert after is not None  # the chain gives it to every technique that measures

        def make() -> tuple[Quantized, Job]:
            job = after(links)
            if job.preprocess != self.job.preprocess:
                raise ModelError("its input differs from the user's own; the ladder compares engines of one input")
            if chosen is not None:
                return post_training.apply(job, chosen), job
            return Quantized(job.source.read_bytes(), {}, "fp32"), job

        return replace(self._attempt(name, make), ptq=chosen, links=links)

    # -- measuring ---------------------------------------------------------------------------------

    def _attempt(self, name: str, make: Callable[[], tuple[Quantized, Job]]) -> Attempt:
        try:
            return self._measured(name, *make())
        except (ModelError, MissingRequirement) as problem:
            # A rung that this model, engine or processor does not admit is reported, and the climb goes on.
            rung = Rung(name, "", None, None, None, None, None, "rejected", str(problem))
            return Attempt(rung, b"", {})

    def _measured(self, name: str, made: Quantized, job: Job) -> Attempt:
        bench = job.need_bench("method auto")
        accuracy = bench.accuracy(made.model)
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
        if not reasons and (departs := bench.departs(made.model, made.precision)):
            reasons.append(departs)
        wanted, short = self.config.speedup, not reasons
        if short and wanted is not None and faster.faster(speedup, wanted) != "faster":
            reasons.append(f"{speedup} over FP32, {wanted:g}x is wanted")
        size = self.bench.size_mib(made.model)
        verdict: Literal["meets", "rejected"] = "rejected" if reasons else "meets"
        settings = made.record.get("config", {})
        latency = summarise_openings(np.array(times["it"]), faster.OPENINGS)
        reason = "; ".join(reasons)
        rung = Rung(name, made.precision, accuracy, drop, latency, speedup.ratio, size, verdict, reason, settings)
        return Attempt(rung, made.model, made.record, short=short and bool(reasons))

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
            self.layers = analyse_blocks(Variants(self.job, lost[0]))

    def _ok(self, attempt: Attempt) -> bool:
        return attempt.rung.accuracy is not None and mixed.holds(attempt.rung.accuracy, self.floor, self.bench)

    def result(self) -> Quantized:
        self.blame()
        chosen = self.tried[-1]
        if chosen.rung.verdict != "meets":
            short = [attempt for attempt in self.tried if attempt.short and attempt.rung.verdict == "rejected"]
            chosen = max(short, key=lambda attempt: attempt.rung.speedup_p50 or 0.0, default=self._control())
        report = CompressReport(
            target=self.bench.target,
            metric=self.bench.metric.name,
            max_drop=self.config.max_drop,
            chosen=chosen.rung.name,
            rungs=tuple(attempt.rung for attempt in self.tried),
            layers=self.layers,
            excluded=self.excluded if chosen.rung.name in ("mixed precision", "qat") else (),
            waterfall=self._waterfall(chosen),
        )
        files = {REPORT: json.dumps(report.to_dict(), indent=2).encode()}
        if self.layers:
            files[PICTURE] = picture(self.layers, "Layers by output noise in INT8", self.excluded)
        record = chosen.record | {"method": "auto", "rung": chosen.rung.name}
        return Quantized(chosen.model, record, chosen.rung.precision, files=files, links=chosen.links)

    def _waterfall(self, chosen: Attempt) -> tuple[str, ...]:
        """Names of the rungs that lead to ``chosen`` step by step, the float control first."""
        steps = [self.tried[0]]
        for attempt in self.tried[1:]:
            if attempt is chosen or (attempt.ptq is None and attempt.links and is_prefix(attempt.links, chosen.links)):
                steps.append(attempt)
        return tuple(attempt.rung.name for attempt in steps)


def is_prefix(links: tuple[Link, ...], of: tuple[Link, ...]) -> bool:
    """Whether a chain begins with ``links``."""
    return links == of[: len(links)]
