"""Who learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.spec import ModelConfig
from edgekit.technique import Examples, Job
from edgekit.training import seed_all, undisturbed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Student:
    """A network that is trained, and the frames as they go into it.

    Args:
        network: inputs and outputs are the job's.
        examples: training frames.
        sections: of its inputs.
        shapes: of the inputs that have another shape than the job's.
    """

    network: nn.Module
    examples: Examples
    sections: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def student(job: Job, model: ModelConfig | None, seed: int) -> Student:
    """The network as the steps before left it, or another one.

    Raises:
        SpecError: there are no training frames, no PyTorch network, or its inputs or outputs are not the model's.
    """
    if job.examples is None or job.seen is None:
        raise SpecError("distill trains, and there are no training frames; give data.training (it needs no labels)")
    if model is None:
        if job.network is None:
            raise SpecError("distill trains the PyTorch network, and the model is an ONNX file; give model.factory")
        return Student(job.network(), job.examples, job.preprocess)
    for what, given, wanted in (("inputs", tuple(model.inputs), job.inputs), ("outputs", model.outputs, job.outputs)):
        if given != wanted:
            raise SpecError(
                f"distill.student.{what}: found {', '.join(given)}; expected those of the model, {', '.join(wanted)}, "
                "in this order: the task and the targets read them"
            )
    network = load(model, seed)
    sections, shapes = dict(job.preprocess), {}
    feeds, _ = job.examples[0]
    for name, tensor in model.inputs.items():
        if feeds[name].shape != tensor.shape:
            shapes[name] = tensor.shape
            sections[name] = _resized(name, sections[name], tensor.shape)
    return Student(network, job.seen(sections) if shapes else job.examples, sections, shapes)


def load(model: ModelConfig, seed: int) -> nn.Module:
    """The network of a model section; one without weights starts from random ones of ``seed``."""
    from edgekit.model.load import load_model

    with undisturbed():
        seed_all(seed, 0)
        loaded = load_model(model)
    if loaded.module is None:
        raise ModelError("distill.student: an ONNX file cannot be trained; give a factory")
    return loaded.module


def _resized(name: str, section: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The section of an input whose network takes another size."""
    planes = section.get("layout", "nchw") == "nchw"
    if section.get("kind", "image") != "image" or len(shape) != 4:
        raise SpecError(
            f"distill.student.inputs.{name}: has the shape {list(shape)}, and only images can be brought to another "
            "size; give the model's own shape"
        )
    return dict(section) | {"resize": list(shape[2:] if planes else shape[1:3])}
