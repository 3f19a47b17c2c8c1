"""Does this machine make the golden inputs of the golden frames, and the golden predictions of the golden outputs?

What comes before and after an engine is proven apart from it: a failure names which of the two departs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.core.decoded import OtherRecord, PredictionsDocument, geometry_of, restored
from edgekit.core.errors import BundleError, CheckFailed, DataError, TensorError
from edgekit.core.golden import Golden
from edgekit.core.reports import FramesProof, StepProof
from edgekit.core.tensors import Array, Arrays
from edgekit.preprocess import Preprocess
from edgekit.tasks import Task
from edgekit.verification.limits import Limits
from edgekit.verification.outputs import relative_l2

_LIMITS: Mapping[str, float] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
PREPROCESSING_REL_L2 = _LIMITS["preprocessing_rel_l2"]
"""Of a model input.  OpenCV's resize rounds otherwise on another processor: one grey level on every fifth pixel of a
normalised image is 0.008; other colours, another interpolation or a scale that is one per cent off are more."""


@dataclass(frozen=True)
class GoldenFrames:
    """What a bundle holds of the golden frames.

    Args:
        golden: inputs and outputs.
        document: the predictions; None: the bundle is of version 1.
        images: of each frame as it was read; None: the bundle keeps fewer frames.
        model: the typed model whose outputs were decoded.
    """

    golden: Golden
    document: PredictionsDocument | None
    images: tuple[Mapping[str, Array] | None, ...]
    model: Path


def prove(held: GoldenFrames, preprocess: Preprocess, task: Task, limits: Limits) -> FramesProof:
    """Both steps on the golden frames.

    Args:
        held: what the bundle holds.
        preprocess: of the bundle.
        task: of the bundle.
        limits: of the precision whose outputs were decoded: what a typed model that runs elsewhere may change.
    """
    if held.document is None:
        old = StepProof("not checked", reason="a bundle of version 1 has no golden frames; build it again to have some")
        return FramesProof(old, old)
    return FramesProof(_preprocessing(held, preprocess), _postprocessing(held, held.document, task, limits))


def require(proof: FramesProof) -> None:
    """Raise :class:`CheckFailed`, naming the step that departs, unless both hold or could not be checked."""
    for step, found, section in (
        ("preprocessing", proof.preprocessing, "preprocess"),
        ("postprocessing", proof.postprocessing, "task"),
    ):
        if found.verdict == "fail":
            raise CheckFailed(
                f"{step} departs on this machine: {found}; compare {section} in bundle.json and the versions of NumPy "
                "and OpenCV under tools with those here"
            )


def _preprocessing(held: GoldenFrames, preprocess: Preprocess) -> StepProof:
    kept = [number for number, images in enumerate(held.images) if images is not None]
    if not kept:
        return StepProof("not checked", reason="the bundle keeps no raw frame (golden: {frames: 0} in its spec)")
    limit, worst, where = PREPROCESSING_REL_L2, -1.0, ""
    measure = "relative L2"
    for number in kept:
        try:
            made = preprocess(held.images[number] or {}, f"golden frame {number}").feeds
        except (DataError, TensorError) as problem:
            return StepProof("fail", len(kept), float("inf"), limit, measure, f"frame {number}", str(problem))
        for name, distance in input_distances(made, held.golden.feeds(number)).items():
            if distance > worst:
                worst, where = distance, f"input {name!r} of frame {number}"
    return StepProof("pass" if worst <= limit else "fail", len(kept), worst, limit, measure, where)


def input_distances(made: Arrays, golden: Arrays) -> dict[str, float]:
    """Relative L2 of each model input from the golden one; equal ones are equal with NaN in them too."""
    found: dict[str, float] = {}
    for name, expected in golden.items():
        array = made.get(name)
        if array is None:
            found[name] = float("inf")
        else:
            same = np.array_equal(array, expected, equal_nan=expected.dtype.kind == "f")
            found[name] = 0.0 if same else relative_l2(array, expected)
    return found


def _postprocessing(held: GoldenFrames, document: PredictionsDocument, task: Task, limits: Limits) -> StepProof:
    if any(isinstance(frame.prediction, OtherRecord) for frame in document.frames):
        return StepProof("not checked", reason="the task's predictions have no form in golden/predictions.json")
    whole = all(held.golden.whole(number) for number in range(held.golden.frames))
    limit = _LIMITS["postprocessing"] if whole else max(_LIMITS["postprocessing"], limits.disagreement)
    measure, worst, where = task.disagreement_of, -1.0, ""
    outputs = _outputs(held, document.reference, whole)
    for number, frame in enumerate(document.frames):
        departs = "" if whole else _departs(held.golden, document.reference, number, outputs[number], limits)
        if departs:
            return StepProof("fail", len(document.frames), float("inf"), limit, measure, f"frame {number}", departs)
        try:
            found = task.decode(outputs[number], geometry_of(frame.geometry))
            distance = task.disagreement(restored(frame.prediction, found), found)
        except (BundleError, DataError, TensorError) as problem:
            return StepProof("fail", len(document.frames), 1.0, limit, measure, f"frame {number}", str(problem))
        if distance > worst:
            worst, where = distance, f"frame {number}"
    return StepProof("pass" if worst <= limit else "fail", len(document.frames), worst, limit, measure, where)


def _outputs(held: GoldenFrames, reference: str, whole: bool) -> Sequence[Arrays]:
    """The golden outputs; of those that are not kept whole, what the typed model gives here."""
    if whole:
        return [held.golden.outputs(number, reference) for number in range(held.golden.frames)]
    return typed_outputs(held.model, held.golden)


def typed_outputs(model: Path, golden: Golden) -> list[dict[str, Array]]:
    """Outputs of a typed ONNX file on each golden frame, run as it is written: the reference that engines must meet."""
    from edgekit.engine import ort

    with ort.reference(model) as engine:
        return [{name: array.copy() for name, array in engine.infer(feeds).items()} for feeds in golden.inputs]


def _departs(golden: Golden, reference: str, number: int, outputs: Arrays, limits: Limits) -> str:
    """Why the outputs of the typed model here are not the golden ones; empty: they are."""
    for name, expected in golden.outputs(number, reference).items():
        distance = relative_l2(golden.kept(number, name, outputs[name]), expected)
        if expected.dtype.kind == "f" and distance > limits.output_rel_l2:
            return (
                f"not the task, the typed model: run here, its output {name!r} is {distance:.3g} (relative L2) from "
                f"the golden one, limit {limits.output_rel_l2:g}"
            )
    return ""
