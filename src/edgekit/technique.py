"""What a compression technique gets and gives.

A technique is a module with a frozen ``Config`` (its keys in a compress step) and ``apply(job, config)``, which gives a
:class:`Quantized` (the same network in other numbers) or, where ``Config.changes`` is ``function``, a :class:`Changed`
(another network, which later steps go on from).  One that changes a PyTorch network has
``rebuild(network, change) -> network`` too: the network before it, edited in the same way once more.

What needs an engine, a task or the user's PyTorch network comes in through the :class:`Job`, so a technique imports
none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import Latency, Metric
from edgekit.core.tensors import Arrays
from edgekit.core.variant import Changes

if TYPE_CHECKING:
    from torch import nn


class TechniqueConfig(BaseModel):
    """Base of every technique's ``Config``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    changes: ClassVar[Changes] = "numbers"
    """What it changes: the numbers that the network computes in (:class:`Quantized`), after which no step can train or
    edit it, or the network's function (:class:`Changed`)."""

    times_only: ClassVar[bool] = False
    """Whether all that it measures on a target is :meth:`Bench.latency`, which a board gives over SSH too."""

    @property
    def measures(self) -> bool:
        """Whether the result is one target's own, because the technique measures there."""
        return False

    def reads(self) -> tuple[Path, ...]:
        """Files outside the project's data that decide the result too: a teacher's weights, say."""
        return ()

    def linked(self, link: Link) -> TechniqueConfig:
        """The configuration of a step of a chain, where the technique chooses among some."""
        raise NotImplementedError


class Frames(Protocol):
    """Calibration frames: model inputs by name, batch first; every iteration starts from the first."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Arrays]: ...


class Examples(Protocol):
    """Training frames by index: the model's inputs, and the truth as the dataset gives it, or None."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Arrays, Any]: ...


class Export(Protocol):
    """FP32 ONNX bytes of a network."""

    def __call__(self, network: nn.Module, shapes: Mapping[str, tuple[int, ...]] | None = None) -> bytes: ...


class Bench(Protocol):
    """Measures typed ONNX models as engines of the target, on the validation frames."""

    @property
    def metric(self) -> Metric:
        """The task metric that :meth:`accuracy` gives."""

    @property
    def target(self) -> str:
        """Name of the target."""

    def control_accuracy(self) -> float:
        """The task metric of the user's own FP32 network: what a drop is measured from, whatever was changed since."""

    def accuracy(self, model: bytes, sections: Mapping[str, Any] | None = None) -> float:
        """The task metric of the engine built from ``model``, over all validation frames.

        ``sections`` are those of its inputs (JSON), where it does not take frames as the job's model does.
        """

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        """Inference latency of each engine, the engines opened once and timed in turn in one loop: a rough order."""

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        """Milliseconds of inference, in turn and opened anew: as many equal parts as :mod:`edgekit.stats.faster` opens.

        What is called faster is called so by these.
        """

    def size_mib(self, model: bytes) -> float:
        """Size of the engine built from ``model``."""

    def departs(self, model: bytes, precision: str) -> str:
        """Why the build would refuse the engine of ``model`` as not computing what it says; empty: it would not."""


class Link(NamedTuple):
    """A step that a technique which chooses among chains takes: its key, and what was chosen beside its section."""

    kind: str
    chosen: Mapping[str, Any]


class After(Protocol):
    """Makes steps that change the function, each a stage that is kept and resumes, and gives the job behind them."""

    def __call__(self, links: Sequence[Link]) -> Job: ...


@dataclass(frozen=True)
class Own:
    """The user's own network, as it was before every step.

    Args:
        network: gives a fresh copy, as :attr:`Job.network`.
        model: its FP32 ONNX file.
        preprocess: the sections of its inputs, as JSON.
        examples: training frames as they go into it, in the order of :attr:`Job.examples`; None: no data.training.
    """

    network: Callable[[], nn.Module]
    model: Path
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    examples: Examples | None = None


@dataclass(frozen=True)
class Job:
    """Everything a technique may use.

    Args:
        source: FP32 ONNX file, as the steps before left it.
        frames: calibration frames.
        profile: name of the Q/DQ placement, see :mod:`edgekit.qdq.profiles`.
        inputs: names of the network's inputs, in order.
        outputs: names of its outputs, in order.
        network: gives a fresh copy of the FP32 PyTorch network as the steps before left it (positional tensors in,
            tuple of tensors out); None when the model was an ONNX file.
        own: the user's network before every step; None as above.
        export: FP32 ONNX bytes of a changed network, for inputs of these shapes where they are not the job's; None as
            above.
        preprocess: the sections of the model's inputs, as JSON.
        examples: training frames.
        sequence: what a training frame belongs to, by index: frames of one name that stand beside each other
            follow each other; None: to nothing; None in its place: as above.
        seen: the same frames, as they go into a network with other sections of its inputs (JSON); None: as above.
        loss: loss of the task, ``loss(outputs, truth) -> scalar tensor``, outputs and truth batched.
        distance: how far a student's outputs are from a teacher's in the eyes of the task, with a temperature; by the
            names of the outputs that the task reads.
        class_scores: outputs that the task knows to hold logits of classes on axis 1.
        examples_hash: gives what decides the training frames and their truth; empty where there are none.
        bench: measures typed models on the target.
        machine: what decides the times of ``bench``, as a digest: runtime, device, options of the engine.
        placed: an FP32 model with Q/DQ pairs as post-training quantization places them, ranges from a few frames: to be
            timed, not to be used.
        after: for a technique that chooses among chains of steps.
        calibrations: what was seen on these ``frames`` already, by what else decides it: jobs of several runtimes share
            it; a job of other frames of the same model needs one of its own.
        scratch: folder that survives a killed run: checkpoints.
        progress: shows steps.
    """

    source: Path
    frames: Frames
    profile: str = "ort-x86"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    network: Callable[[], nn.Module] | None = None
    own: Own | None = None
    export: Export | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    examples: Examples | None = None
    sequence: Callable[[int], str | None] | None = None
    seen: Callable[[Mapping[str, Any]], Examples] | None = None
    loss: Callable[[Mapping[str, Any], Any], Any] | None = None
    distance: Callable[[Mapping[str, Any], Mapping[str, Any], float], Mapping[str, Any]] | None = None
    class_scores: tuple[str, ...] = ()
    examples_hash: Callable[[], str] = str
    bench: Bench | None = None
    machine: str = ""
    placed: Callable[[bytes], bytes] | None = None
    after: After | None = None
    calibrations: dict[str, Any] = field(default_factory=dict)
    scratch: Path | None = None
    progress: Progress = field(default_factory=Silent)

    def need_network(self, technique: str) -> tuple[Callable[[], nn.Module], Export]:
        """What gives fresh copies of the PyTorch network, and what exports them.

        Raises:
            ModelError: the model was an ONNX file.
        """
        if self.network is None or self.export is None:
            raise ModelError(
                f"{technique} needs the PyTorch network, and the model is an ONNX file; "
                "give model.factory and model.weights"
            )
        return self.network, self.export

    def need_bench(self, technique: str) -> Bench:
        """The bench.

        Raises:
            SpecError: there is none.
        """
        if self.bench is None:
            raise SpecError(f"{technique} measures on the target: give data.validation, and a target that runs here")
        return self.bench


@dataclass(frozen=True)
class Quantized:
    """A typed ONNX model (bytes), the record of how it was made, and what it computes in.

    ``also`` holds further models from the same calibration, by profile; ``files`` what people look at
    (reports, pictures) by file name.  A ``precision`` of fp32 means that quantizing does not pay.  ``links`` are the
    steps made through :attr:`Job.after` whose network this is.
    """

    model: bytes
    record: dict[str, Any]
    precision: str = "int8"
    also: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Change:
    """What tells a technique how to change a network again: its record, and bytes of its own (weights).

    ``config`` is that of the step, with the paths that it has now; the chain fills it in.
    """

    record: Mapping[str, Any]
    weights: bytes = b""
    config: TechniqueConfig | None = None


@dataclass(frozen=True)
class Changed:
    """A float model that computes another function than the one before it.

    ``model`` is FP32 ONNX (bytes); ``change`` is what ``rebuild`` needs; ``shapes`` and ``preprocess`` are the new
    shapes of model inputs and the sections that make them, where they differ; ``files`` what people look at by name.
    """

    model: bytes
    change: Change
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
