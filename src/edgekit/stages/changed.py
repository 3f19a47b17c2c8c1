"""Float models that a compress step changed: kept as files, and their networks rebuilt from the user's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from edgekit.core import plugins
from edgekit.core.artifacts import write_bytes, write_json
from edgekit.core.errors import InputError, ModelError
from edgekit.core.golden import FP32, GOLDEN_FRAMES, Golden
from edgekit.core.spec import CompressStep, InputSection, Spec
from edgekit.core.tensors import Arrays
from edgekit.core.variant import Edit
from edgekit.core.workspace import RECORD, Stage
from edgekit.data import Dataset
from edgekit.preprocess import Preprocess
from edgekit.stages.compressed import GOLDEN
from edgekit.stages.typed import typed_outputs
from edgekit.technique import Change, Changed

if TYPE_CHECKING:
    from torch import nn

    from edgekit.stages.steps import Point

MODEL, CHANGE, WEIGHTS = "fp32.onnx", "change.json", "change.bin"
FILES = frozenset((MODEL, GOLDEN, CHANGE, WEIGHTS, RECORD))
_LIMIT = 1e-4
"""Relative L2 between a rebuilt network and its ONNX file: both are FP32."""
_INPUTS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, InputSection])


@dataclass(frozen=True)
class Made:
    """A change of a network: the technique that makes it, and what it needs to make it again."""

    step: str
    method: str
    change: Change

    def rebuild(self, network: nn.Module) -> nn.Module:
        """The network after the change, from the one before.

        Raises:
            InputError: the technique says that it changes the function, and cannot repeat it.
        """
        technique = plugins.load(self.step, self.method)
        if not hasattr(technique, "rebuild"):
            raise InputError(
                f"{self.step}: {self.method} changes the network, and its module {technique.__name__} has no "
                "rebuild(network, change), which makes the change again; see CONTRIBUTING.md"
            )
        rebuilt: nn.Module = technique.rebuild(network, self.change)
        return rebuilt


def network(spec: Spec, edits: Sequence[Made]) -> nn.Module:
    """A fresh copy of the user's network with ``edits`` made in order."""
    from edgekit.model import load

    module = load.load_model(spec.model).module
    assert module is not None
    for edit in edits:
        module = edit.rebuild(module)
    return module


def respecified(spec: Spec, shapes: Mapping[str, Sequence[int]], preprocess: Mapping[str, Any]) -> Spec:
    """The spec with other shapes of model inputs, and the sections that make them."""
    if not shapes and not preprocess:
        return spec
    inputs = {
        name: tensor.model_copy(update={"shape": tuple(shapes[name])}) if name in shapes else tensor
        for name, tensor in spec.model.inputs.items()
    }
    sections = dict(spec.preprocess) | _INPUTS.validate_python(dict(preprocess))
    fitted = {name: section.fitted(inputs[name]) for name, section in sections.items()}
    model = spec.model.model_copy(update={"inputs": inputs})
    return spec.model_copy(update={"model": model, "preprocess": fitted})


def write(folder: Path, point: Point, step: CompressStep, made: Changed, frames: Dataset) -> None:
    """Keep a changed model in ``folder``, with golden outputs of its own: those of its network, rebuilt.

    That network is left for the user's own code too: :func:`edgekit.model.handover.files`.

    Raises:
        ModelError: the network that the technique rebuilds is not the model that it gave.
    """
    import torch

    from edgekit.model import handover, opset
    from edgekit.stages.job import Feeds

    write_bytes(folder / MODEL, opset.lowered(made.model))
    write_bytes(folder / WEIGHTS, made.change.weights)
    document = {"record": dict(made.change.record), "shapes": dict(made.shapes), "preprocess": dict(made.preprocess)}
    write_json(folder / CHANGE, document)
    for name, content in made.files.items():
        write_bytes(folder / name, content)
    spec = respecified(point.spec, made.shapes, made.preprocess)
    change = replace(made.change, config=step.technique)
    edits = (*point.edits, Made(step.kind, step.technique.method, change))
    feeds = tuple(Feeds(Preprocess(spec.preprocess), frames, GOLDEN_FRAMES))
    if spec.model.onnx is not None:
        Golden(feeds, {FP32: tuple(typed_outputs(folder / MODEL, Golden(feeds)))}).write(folder / GOLDEN)
        return
    rebuilt = network(spec, edits)
    _golden(spec, edits, rebuilt, folder / MODEL, feeds).write(folder / GOLDEN)
    inputs = [torch.from_numpy(np.array(feeds[0][name])) for name in spec.model.inputs]
    for name, content in handover.files(network(spec, ()), rebuilt, inputs).items():
        write_bytes(folder / name, content)


def after(point: Point, step: CompressStep, edit: Edit, stage: Stage) -> Point:
    """Where the chain stands after a step that changed the function."""
    document = json.loads((stage.path / CHANGE).read_text(encoding="utf-8"))
    change = Change(document["record"], (stage.path / WEIGHTS).read_bytes(), step.technique)
    return replace(
        point,
        spec=respecified(point.spec, document["shapes"], document["preprocess"]),
        model=stage.path / MODEL,
        golden=stage.path / GOLDEN,
        lineage=point.lineage.then(edit),
        edits=(*point.edits, Made(step.kind, step.technique.method, change)),
        stages=(*point.stages, stage),
    )


def _golden(spec: Spec, edits: Sequence[Made], rebuilt: nn.Module, model: Path, feeds: tuple[Arrays, ...]) -> Golden:
    """Golden arrays of a changed network, which must be what ``model`` computes."""
    from edgekit.model import export, load
    from edgekit.verification.parity import relative_l2

    written = typed_outputs(model, Golden(feeds))
    golden = export.golden(replace(load.load_model(spec.model), module=rebuilt), feeds)
    for frame, outputs in enumerate(written):
        for name, array in outputs.items():
            apart = relative_l2(array, golden.output(frame, name))
            if apart > _LIMIT:
                raise ModelError(
                    f"step {edits[-1].step} ({edits[-1].method}): output {name!r} of the network that it rebuilds is "
                    f"{apart:.2g} (relative L2) away from that of the model that it made; the limit is {_LIMIT}"
                )
    return golden
