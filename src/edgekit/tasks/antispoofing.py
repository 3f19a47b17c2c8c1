"""Anti-spoofing: whether a face is a live person or an attack on the camera (a print, a screen, a mask).

Presentation attack detection in the terms of ISO/IEC 30107-3: APCER is the share of attack presentations
of one instrument species that are taken for bona fide ones, BPCER the share of bona fide presentations
taken for attacks.  ``apcer`` is that of the worst species, as the standard asks for.  ``acer``, the mean
of ``apcer`` and ``bpcer``, is no term of the standard but what benchmarks rank by (Boulkenafet et al.,
"OULU-NPU: a mobile face presentation attack database with real-world variations", FG 2017).

All of them hold at one threshold, which is chosen on development data and never on the data that is
evaluated: see :func:`choose_threshold`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator

from edgekit.core import suggest
from edgekit.core.classes import ClassNames
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import ClassScores, Geometry
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks import Accumulator, Found, Labelled, Task, TaskConfig, _found, _roc
from edgekit.tasks._captions import PLAIN, RIGHT, WRONG, Line, captioned, tagged
from edgekit.tasks._vectors import Activation, check_scores, probabilities, text_truth
from edgekit.tasks._weights import Records, checked, checked_rows, grouped, ratio


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Config(TaskConfig):
    """``output`` names the model output with the scores, or several whose probabilities are averaged.

    ``classes`` are the names in the order of the scores, ``live_class`` the id of the live one.  A frame
    is bona fide when the probability of that class is at least ``threshold``.  The truth of a frame is
    ``bona_fide`` or one of ``attacks``, the species of attack instruments that the data holds.
    """

    kind: Literal["antispoofing"] = "antispoofing"
    output: Annotated[
        tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str]), Field(min_length=1)
    ]
    classes: ClassNames
    live_class: int = Field(ge=0)
    activation: Activation = "softmax"
    threshold: float = Field(gt=0, le=1, allow_inf_nan=False)
    bona_fide: str = Field(default="bona_fide", min_length=1)
    attacks: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)

    @field_validator("output", "attacks")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"has a name twice: {', '.join(value)}")
        return value

    def create(self) -> AntiSpoofing:
        """The task.

        Raises:
            SpecError: ``live_class`` is no class, ``bona_fide`` is an attack too, or ``sigmoid`` has
                more than two classes.
        """
        if self.live_class >= len(self.classes):
            raise SpecError(
                f"task.live_class: {self.live_class} is no class id; allowed: 0..{len(self.classes) - 1}, "
                "the place of the live class in task.classes"
            )
        if self.bona_fide in self.attacks:
            raise SpecError(f"task.attacks: {self.bona_fide!r} is task.bona_fide, not an attack; take it out of one")
        if self.activation == "sigmoid" and len(self.classes) != 2:
            raise SpecError(f"task.activation: sigmoid tells 2 classes apart, found {len(self.classes)}; use softmax")
        return AntiSpoofing(self)


class AntiSpoofing(Task):
    """Scores to :class:`~edgekit.core.predictions.ClassScores`, and a verdict by the live class's."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """``acer``, ``apcer``, ``bpcer``, ``apcer/<species>``, ``eer``: lower is better; ``auc``."""
        species = (f"apcer/{name}" for name in self.config.attacks)
        lower = (Metric(name, higher=False) for name in ("acer", "apcer", "bpcer", *species, "eer"))
        return (*lower, Metric("auc", higher=True))

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless every ``output`` is there as float32 ``(1, C)``, ``(1, 1)`` for a sigmoid."""
        for name in self.config.output:
            check_scores(outputs, name, len(self.config.classes), self.config.activation)

    def decode(self, outputs: Arrays, geometry: Geometry) -> ClassScores:
        """The mean over the outputs of each class's probability; the frame's geometry plays no part.

        Raises:
            TensorError: an output is missing, has another shape or dtype, holds NaN or infinity, or is
                no probability although ``activation`` is ``none``.
        """
        count, activation = len(self.config.classes), self.config.activation
        each = [probabilities(outputs, name, count, activation) for name in self.config.output]
        return ClassScores(np.mean(each, axis=0).astype(np.float32))

    def liveness(self, prediction: ClassScores) -> float:
        """The probability of the live class."""
        return float(prediction.probabilities[self.config.live_class])

    def is_bona_fide(self, prediction: ClassScores) -> bool:
        """Whether the frame is taken for a live person."""
        return self.liveness(prediction) >= self.config.threshold

    def check_truth(self, truth: Any, sample_id: str) -> None:
        presentation(truth, self.config, sample_id)

    def accumulator(self) -> AntiSpoofingScores:
        return AntiSpoofingScores(self.config)

    def paint(self, image: Array, shown: Any) -> Array:
        """The verdict, or the true kind of presentation, on the upper left corner.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth is no kind of presentation.
        """
        if isinstance(shown, ClassScores):
            return tagged(image, [self._verdict(shown)])
        return tagged(image, [Line(presentation(shown, self.config, "shown"))])

    def draw(self, image: Array, prediction: ClassScores, truth: Any = None) -> Array:
        """The image over the verdict and the probability of each class; the true kind is named below.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth is no kind of presentation.
        """
        lines = [self._verdict(prediction, truth)]
        for name, share in zip(self.config.classes, prediction.probabilities.tolist(), strict=True):
            lines.append(Line(f"{share:.2f} {name}", share))
        if truth is not None:
            lines.append(Line(f"truth: {truth}"))
        return captioned(image, lines)

    def _verdict(self, prediction: ClassScores, truth: Any = None) -> Line:
        live = self.is_bona_fide(prediction)
        colour = PLAIN
        if truth is not None:
            colour = RIGHT if (presentation(truth, self.config, "shown") == self.config.bona_fide) == live else WRONG
        sign, verdict = (">=", "bona fide") if live else ("<", "attack")
        text = f"{verdict}: liveness {self.liveness(prediction):.2f} {sign} {self.config.threshold:.2f}"
        return Line(text, self.liveness(prediction), colour)

    def found(self, prediction: ClassScores) -> Found:
        """The verdict, and the probability of each class."""
        classes = self.config.classes
        return replace(_found.probabilities(prediction, classes, len(classes)), text=self._verdict(prediction).text)

    disagreement_of = "frames of another verdict"

    def change(self, before: ClassScores, after: ClassScores) -> float:
        """1 when the verdict changed, else 0."""
        return float(self.is_bona_fide(before) != self.is_bona_fide(after))

    def excess(self, before: Labelled, after: Labelled) -> float | None:
        """1 when the verdict changed although the kind of presentation did not; None when that did too."""
        return self.change(before[0], after[0]) if before[1] == after[1] else None


def presentation(truth: Any, config: Config, sample_id: str) -> str:
    """A truth that is a kind of presentation.

    Raises:
        DataError: it is no text, or neither ``bona_fide`` nor one of ``attacks``.
    """
    kind = text_truth(truth, sample_id, "a text that names the kind of presentation")
    known = (config.bona_fide, *config.attacks)
    if kind not in known:
        raise DataError(
            f"sample {sample_id!r}: truth is {kind!r}; {suggest.allowed(kind, known)}; "
            "add the species to task.attacks, or set task.bona_fide"
        )
    return kind


_RECORD = np.dtype([("kind", "<u2"), ("score", "<f8")])


class AntiSpoofingScores(Accumulator):
    """The liveness of every frame and its kind of presentation: 10 bytes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.kinds = (config.bona_fide, *config.attacks)
        self.records = Records(_RECORD)

    def __len__(self) -> int:
        return len(self.records)

    def update(self, prediction: ClassScores, truth: Any, sample_id: str) -> None:
        """Add a frame: ``truth`` is ``bona_fide`` or one of ``attacks``.

        Raises:
            DataError: truth is missing or no such text.
            TensorError: the prediction is of another number of classes, or NaN.
        """
        kind, scores = presentation(truth, self.config, sample_id), prediction.probabilities
        if len(scores) != len(self.config.classes) or np.isnan(scores).any():
            raise TensorError(
                f"sample {sample_id!r}: the prediction has {len(scores)} probabilities, {int(np.isnan(scores).sum())} "
                f"of them NaN; expected {len(self.config.classes)}, one a class: run edgekit verify"
            )
        record = (self.kinds.index(kind), float(scores[self.config.live_class]))
        self.records.add(np.array(record, _RECORD))

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Every metric that was measured over all frames so far.

        Without bona fide frames there is no ``bpcer``; without frames of a species there is neither
        its APCER nor ``apcer``, whose worst species might be just that one; ``acer`` takes both.
        ``eer`` and ``auc`` hold for any threshold, over the attacks of all species together; ``eer`` is
        where their APCER equals BPCER, interpolated linearly between neighbouring scores.

        Raises:
            DataError: no frame was added; or as :meth:`Accumulator.compute`.
        """
        row = checked(weights, len(self))
        if not row.any():
            raise DataError("no frame to score; evaluate bona fide presentations and attacks")
        found = self.compute_many(row[None])
        return {name: float(values[0]) for name, values in found.items() if not np.isnan(values[0])}

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`; scores are put in order once for all rows."""
        rows, records = checked_rows(weights, len(self)), self.records.all()
        accepted = records["score"] >= self.config.threshold
        totals = grouped(rows, records["kind"], len(self.kinds))
        taken = ratio(grouped(rows[:, accepted], records["kind"][accepted], len(self.kinds)), totals)
        refused = ratio(grouped(rows[:, ~accepted], records["kind"][~accepted], len(self.kinds)), totals)
        found = {f"apcer/{kind}": taken[:, i] for i, kind in enumerate(self.kinds) if i}
        found["apcer"], found["bpcer"] = taken[:, 1:].max(axis=1), refused[:, 0]  # the maximum keeps NaN
        found["acer"] = (found["apcer"] + found["bpcer"]) / 2
        return found | self._curves(rows, records)

    def _curves(self, rows: Array, records: Array) -> dict[str, Array]:
        """``eer`` and ``auc``, where there are both bona fide presentations and attacks."""
        live = records["kind"] == 0
        made = {name: np.full(len(rows), np.nan) for name in ("eer", "auc")}
        if not live.any() or live.all():
            return made
        ranking = _roc.Ranking(records["score"][live], records["score"][~live])
        bona_fide, attacks = rows[:, live], rows[:, ~live]
        for i in np.flatnonzero(bona_fide.any(axis=1) & attacks.any(axis=1)):
            curve = ranking.curve(bona_fide[i], attacks[i])
            made["eer"][i], made["auc"][i] = _roc.equal_error_rate(curve), _roc.area(curve)
        return made


def choose_threshold(scores: Array, kinds: Sequence[str], rule: str, bona_fide: str = "bona_fide") -> float:
    """The threshold for ``task.threshold``, from the scores of a development set.

    It lies half way between two neighbouring scores, so that rounding decides no frame.

    Args:
        scores: float ``(N,)``, the liveness of each frame, 0..1.
        kinds: the N kinds of presentation; all but ``bona_fide`` are species of attacks.
        rule: ``eer`` takes the threshold where APCER of all attacks together and BPCER are closest to
            each other, and of several the one with the lowest sum; ``bpcer@apcer=0.05`` the lowest
            threshold where APCER of every species is at most that rate, which has the lowest BPCER.
        bona_fide: the kind of live persons.

    Raises:
        DataError: scores or kinds are unfit, the rule is unknown, a species has too few frames for the
            rate, or no threshold up to 1 reaches it.
    """
    values = _checked(scores, kinds)
    names = np.array(kinds, dtype=object)
    live = values[names == bona_fide]
    species = {str(kind): values[names == kind] for kind in sorted(set(kinds) - {bona_fide})}
    if not len(live) or not species:
        raise DataError(f"{len(live)} bona fide frames ({bona_fide!r}) and {len(species)} species; both are needed")
    candidates = _between(values)
    if rule == "eer":
        attacks = np.concatenate(list(species.values()))
        apcer, bpcer = _accepted(attacks, candidates), 1 - _accepted(live, candidates)
        # Rounding must not decide between equal gaps.
        order = np.lexsort([apcer + bpcer, np.abs(apcer - bpcer).round(12)])
        return float(candidates[order[0]])
    match = re.fullmatch(r"bpcer@apcer=([0-9.eE+-]+)", rule)
    try:
        rate = float(match[1]) if match else -1.0
    except ValueError:
        rate = -1.0
    if not 0 < rate < 1:
        raise DataError(f"rule {rule!r} is unknown; allowed: eer, or bpcer@apcer= with a rate between 0 and 1")
    return _at_rate(species, candidates, rate)


def _at_rate(species: dict[str, NDArray[np.float64]], candidates: NDArray[np.float64], rate: float) -> float:
    """The lowest candidate where no species' APCER is above ``rate``."""
    needed = int(np.ceil(1 / rate - 1e-6))
    for kind, values in species.items():
        if len(values) < needed:
            raise DataError(f"an APCER of {rate:g} needs at least {needed} frames of {kind!r}, found {len(values)}")
    worst = np.max([_accepted(values, candidates) for values in species.values()], axis=0)
    fitting = candidates[worst <= rate + 1e-12]
    if not len(fitting):
        raise DataError(f"no threshold up to 1 has an APCER of {rate:g} on these scores; train on such attacks")
    return float(fitting.min())


def _checked(scores: Array, kinds: Sequence[str]) -> NDArray[np.float64]:
    if scores.ndim != 1 or len(scores) != len(kinds):
        raise DataError(f"scores {list(scores.shape)} for {len(kinds)} kinds; expected one score a kind")
    values = scores.astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError("a score is NaN or outside 0..1; expected the probability of the live class")
    return values


def _between(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds that tell the scores apart in every way, each in 0..1 and above 0."""
    levels = np.unique(values)
    middles = (levels[1:] + levels[:-1]) / 2
    ends = [levels[0] / 2 if levels[0] > 0 else np.nan, (levels[-1] + 1) / 2 if levels[-1] < 1 else np.nan]
    found = np.concatenate([middles, ends])
    return np.asarray(found[found > 0])


def _accepted(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of ``values`` at or above each threshold."""
    return np.asarray(1 - np.searchsorted(np.sort(values), thresholds, "left") / len(values))
