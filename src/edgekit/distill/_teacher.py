"""Who is learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.specfile import read_spec, spec_file
from edgekit.distill._config import read_of_teacher
from edgekit.technique import Examples, Job

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.model.load import LoadedModel


@dataclass(frozen=True)
class Teacher:
    """A network that is never changed.

    Args:
        network: positional tensors in the order of ``inputs`` to a tuple of tensors in that of ``outputs``.
        inputs: names of the tensors in.
        outputs: names of the tensors out.
        sections: of its inputs, as JSON.
        examples: the training frames as they go into it; None: as they go into the student.
        files: that make it.
        name: in messages.
    """

    network: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sections: Mapping[str, Any]
    examples: Examples | None
    files: tuple[Path, ...]
    name: str

    def __call__(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs, float32 by name, without gradients, on the device of ``feeds``."""
        import torch

        given = [feeds[name] for name in self.inputs]
        with torch.no_grad():
            results = self.network.to(given[0].device)(*given)
        return {name: result.float() for name, result in zip(self.outputs, results, strict=True)}


def teacher(job: Job, spec: Path | None, sections: Mapping[str, Any]) -> Teacher:
    """The user's own network, or the model of another spec.

    Args:
        job: of the step.
        spec: the other spec; None: the user's own network.
        sections: of the student's inputs.

    Raises:
        SpecError: there is no such network, or nothing to make its inputs from.
        ModelError: its weights are random, or it cannot be loaded.
    """
    if spec is not None:
        return _of_spec(job, spec_file(spec), sections)
    if job.own is None:
        raise SpecError("distill: the model is an ONNX file, so there is no network to learn from; give teacher")
    own = job.own
    examples = None if dict(own.preprocess) == dict(sections) else own.examples
    network = own.network().eval()
    name = "the user's own network"
    return Teacher(network, job.inputs, job.outputs, own.preprocess, examples, (own.model,), name)


def _of_spec(job: Job, file: Path, sections: Mapping[str, Any]) -> Teacher:
    from edgekit.model.load import load_model

    spec = read_spec(file)
    if spec.model.factory is not None and spec.model.weights is None:
        raise ModelError(f"teacher {file}: model.factory without model.weights is an untrained network; give weights")
    loaded = load_model(spec.model)
    own = {name: section.model_dump(mode="json") for name, section in spec.preprocess.items()}
    examples = None
    if own != dict(sections):
        if job.seen is None:
            raise SpecError(f"teacher {file}: there are no training frames; give data.training")
        examples = job.seen(own)
    network = (_runner(loaded) if loaded.module is None else loaded.module).eval()
    name = f"the teacher {file.parent.name}/{file.name}"
    files = tuple(read_of_teacher(file))
    return Teacher(network, tuple(spec.model.inputs), loaded.outputs, own, examples, files, name)


def _runner(model: LoadedModel) -> nn.Module:
    """An ONNX file as a module: frame by frame, as its shapes are fixed."""
    import torch

    class Runner(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
            names = [spec.name for spec in model.inputs]
            feeds = [
                {name: tensor[i : i + 1].cpu().numpy() for name, tensor in zip(names, tensors, strict=True)}
                for i in range(len(tensors[0]))
            ]
            found = [model.run(one) for one in feeds]
            stacked = (torch.cat([torch.from_numpy(one[name]) for one in found]) for name in model.outputs)
            return tuple(tensor.to(tensors[0].device) for tensor in stacked)

    return Runner()
