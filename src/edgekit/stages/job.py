"""What a compression technique is given: the spec's frames, network and target behind plain interfaces."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from edgekit import evaluation, profiling, remote
from edgekit.core import suggest
from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError, EnvironmentFault, SpecError
from edgekit.core.predictions import Geometry
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import Latency, Metric
from edgekit.core.spec import InputSection, Spec
from edgekit.core.tensors import Arrays
from edgekit.data import Dataset, Sample
from edgekit.engine import Backend, Engine, opened_in_turn
from edgekit.evaluation.class_names import Agreed
from edgekit.model import export, load
from edgekit.preprocess import Preprocess
from edgekit.stages import changed, keys, labels
from edgekit.stages.asking import Asking
from edgekit.stages.changed import Made
from edgekit.stats import faster
from edgekit.tasks.multitask import MultiTask
from edgekit.technique import Job, Own, TechniqueConfig
from edgekit.training import Vary, losses

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Feeds:
    """The model inputs of a dataset's frames, preprocessed when they are read; ``limit`` takes evenly spread ones."""

    preprocess: Preprocess
    frames: Dataset
    limit: int | None = None

    def __len__(self) -> int:
        return len(self.frames) if self.limit is None else min(self.limit, len(self.frames))

    def __iter__(self) -> Iterator[Arrays]:
        count = len(self)
        # Neighbours in a drive look alike.
        for i in range(count):
            sample = self.frames[i * len(self.frames) // count]
            yield self.preprocess(sample.images, sample.id).feeds


@dataclass(frozen=True)
class LabelledFeeds:
    """Model inputs with the truth of their frame by index: in the dataset's own form, what is in pixels in those of the
    model's input; None: the frame has no labels."""

    preprocess: Preprocess
    frames: Dataset
    place: Callable[[Any, Geometry], Any]
    parts: tuple[str, ...] | None = None
    """Of several tasks, the parts of a truth that they read; None: all of it."""

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Arrays, Any]:
        return self._fed(self.frames[index])

    def varied(self, index: int, vary: Vary) -> tuple[Arrays, Any]:
        """As ``self[index]``, of the frame after ``vary``: it changes before it is preprocessed."""
        sample = self.frames[index]
        if self.parts is not None and isinstance(sample.truth, Mapping):
            sample = replace(sample, truth={name: sample.truth[name] for name in self.parts if name in sample.truth})
        return self._fed(vary(sample, self.frames.keypoints))

    def sequence(self, index: int) -> str | None:
        """What the frame belongs to, in the order of the frames; None: the data set does not say."""
        return self.frames[index].metadata.get("sequence")

    def _fed(self, sample: Sample) -> tuple[Arrays, Any]:
        made = self.preprocess(sample.images, sample.id)
        return made.feeds, None if sample.truth is None else self.place(sample.truth, made.geometry)


CONTROL = "control"
_FEW = 4
"""Calibration frames of a model that is only timed."""
_INPUTS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, InputSection])


@dataclass(frozen=True)
class Given:
    """What the steps before leave to a step: the user's own spec and model, and the changes since."""

    spec: Spec
    model: Path
    edits: tuple[Made, ...] = ()


class TargetBench:
    """Builds typed models for one target and measures them there; see :class:`edgekit.technique.Bench`.

    A task that is held against the control gets the engine of ``source``, the FP32 model, as one.
    """

    def __init__(
        self,
        spec: Spec,
        target: str,
        backend: Backend,
        source: Path,
        validation: Agreed,
        folder: Path,
        metric: str | None,
        given: Given,
    ) -> None:
        self.target = target
        self._source = source
        self._given = given
        self._spec = spec
        self._backend = backend
        self._preprocess = Preprocess(spec.preprocess)
        self._task, self._validation = validation.task, validation.dataset
        self._folder = folder
        self._accuracies: dict[str, float] = {}
        known = {m.name: m for m in (*self._task.metrics, *self._task.sequence_metrics)}
        if metric is not None and metric not in known:
            raise SpecError(f"metric: the task has no {metric!r}; {suggest.allowed(metric, tuple(known))}")
        self.metric: Metric = known[metric] if metric else self._task.metrics[0]

    def control_accuracy(self) -> float:
        return self._measured(self._given.model.read_bytes(), Preprocess(self._given.spec.preprocess))

    def accuracy(self, model: bytes, sections: Mapping[str, Any] | None = None) -> float:
        own = self._preprocess if sections is None else _preprocess(sections)
        return self._measured(model, own)

    def _measured(self, model: bytes, preprocess: Preprocess) -> float:
        key = hashlib.sha256(model).hexdigest()
        if key not in self._accuracies:
            with contextlib.ExitStack() as stack:
                engines = {"it": stack.enter_context(self._engine(model))}
                if self._task.against_control:
                    engines[CONTROL] = stack.enter_context(self._engine(self._source.read_bytes()))
                own = {"it": preprocess}
                given = (engines, self._preprocess, self._task, self._validation)
                found = evaluation.evaluate(*given, control=CONTROL, prepared_by=own)
            if self.metric.name not in found["it"]:
                hint = suggest.allowed(self.metric.name, tuple(found["it"]))
                raise DataError(
                    f"metric {self.metric.name!r} cannot be measured on the frames of data.validation; {hint}"
                )
            self._accuracies[key] = found["it"][self.metric.name]
        return self._accuracies[key]

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        feeds = self._preprocess(self._validation[0].images).feeds
        if isinstance(self._backend, remote.Board):
            return self._latency_there(self._backend, models, feeds)
        with contextlib.ExitStack() as stack:
            engines = {name: stack.enter_context(self._engine(model)) for name, model in models.items()}
            return profiling.time_inference(engines, feeds, queries, warmup=5)

    def _latency_there(self, board: remote.Board, models: Mapping[str, bytes], feeds: Arrays) -> dict[str, Latency]:
        """A query from here would count the way there: the board times its engines itself."""
        engines = {name: self._built(model) for name, model in models.items()}
        found = board.race(engines, dict.fromkeys(models, feeds))
        if not found.ms:
            raise EnvironmentFault(
                f"{board.host.name}: {found.by} did not time the engines there; install edgekit on it"
            )
        return {name: profiling.summarise(np.array(times)) for name, times in found.ms.items()}

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        feeds = self._preprocess(self._validation[0].images).feeds
        openers = {name: lambda model=model: self._engine(model) for name, model in models.items()}
        return opened_in_turn(openers, dict.fromkeys(models, feeds), faster.OPENINGS, faster.EACH, faster.SETTLING)

    def size_mib(self, model: bytes) -> float:
        return self._built(model).stat().st_size / 2**20

    def departs(self, model: bytes, precision: str) -> str:
        source = self._folder / "asked.onnx"
        source.write_bytes(model)
        asking = Asking(self._spec, self._source, self._spec.data.calibration.open())
        return asking.departs(self._backend, self._built(model), source, precision)

    def _engine(self, model: bytes) -> Engine:
        return self._backend.engine(self._built(model))

    def _built(self, model: bytes) -> Path:
        file = self._folder / f"{hashlib.sha256(model).hexdigest()[:16]}{self._backend.suffix}"
        if not file.exists():
            source = file.with_suffix(".source")
            source.write_bytes(model)
            self._backend.build(source, file)
            source.unlink()
        return file


@contextlib.contextmanager
def job(
    spec: Spec,
    target: str,
    backend: Backend,
    source: Path,
    frames: Dataset,
    config: TechniqueConfig,
    scratch: Path | None,
    progress: Progress,
    measures: bool | None = None,
    given: Given | None = None,
    calibrations: dict[str, Any] | None = None,
) -> Iterator[Job]:
    """The job of one technique for one target; engines built on the way are gone when it ends.

    ``measures`` says whether there is a bench, in place of the technique itself.

    Raises:
        SpecError: the technique needs validation frames and the spec has none.
        MissingRequirement: it measures on a target that is not here.
    """
    preprocess = Preprocess(spec.preprocess)
    measured = config.measures if measures is None else measures
    given = given or Given(spec, source)
    examples = _examples(spec)
    with tempfile.TemporaryDirectory() as folder:
        made = Job(
            source=source,
            frames=Feeds(preprocess, frames),
            profile=backend.quantization_profile(),
            inputs=tuple(spec.model.inputs),
            outputs=spec.model.outputs,
            network=None if spec.model.onnx else lambda: changed.network(given.spec, given.edits),
            own=None if spec.model.onnx else _own(given),
            export=None if spec.model.onnx else functools.partial(_exported, spec),
            preprocess=_sections(spec),
            examples=examples,
            sequence=None if examples is None else examples.sequence,
            seen=None if spec.data.training is None else functools.partial(seen, spec),
            loss=_loss(spec),
            distance=losses.distance_of(spec.task),
            class_scores=losses.scores_of(spec.task),
            examples_hash=str if spec.data.training is None else labels.of(spec, "training").dataset.fingerprint,
            bench=_bench(spec, target, backend, source, config, Path(folder), given) if measured else None,
            machine=_machine(spec, backend) if measured else "",
            calibrations={} if calibrations is None else calibrations,
            scratch=scratch,
            progress=progress,
        )
        yield replace(made, placed=functools.partial(_placed, made, Path(folder)))


def _placed(job: Job, folder: Path, model: bytes) -> bytes:
    """See :attr:`edgekit.technique.Job.placed`."""
    from edgekit.quantize import ptq

    source = folder / "placed.onnx"
    source.write_bytes(model)
    few = [feeds for feeds, _ in zip(job.frames, range(_FEW), strict=False)]
    return ptq.apply(replace(job, source=source, frames=few, calibrations={}, progress=Silent()), ptq.Config()).model


def _machine(spec: Spec, backend: Backend) -> str:
    """What decides how long engines take: runtime, processor, and the options of the target."""
    options = keys.portable(backend.config.model_dump(mode="json"), spec.base.resolve())
    cpu = backend.host.name if isinstance(backend, remote.Board) else profiling.machine().cpu
    return sha256_of({"engine": backend.fingerprint(), "options": options, "cpu": cpu})


def _own(given: Given) -> Own:
    """The user's network before every step."""
    spec = given.spec
    return Own(lambda: changed.network(spec, ()), given.model, _sections(spec), _examples(spec))


def _examples(spec: Spec) -> LabelledFeeds | None:
    return None if spec.data.training is None else seen(spec, spec.preprocess)


def seen(spec: Spec, sections: Mapping[str, Any]) -> LabelledFeeds:
    """The training frames, which have to be there, as they go into a network with these sections of its inputs."""
    found = labels.of(spec, "training")
    parts = tuple(found.task.truths.values()) if isinstance(found.task, MultiTask) else None
    return LabelledFeeds(_preprocess(sections), found.dataset, losses.placing(spec.task), parts)


def _preprocess(sections: Mapping[str, Any]) -> Preprocess:
    """Of sections as JSON."""
    return Preprocess(_INPUTS.validate_python(dict(sections)))


def _sections(spec: Spec) -> dict[str, Any]:
    return {name: section.model_dump(mode="json") for name, section in spec.preprocess.items()}


def _bench(
    spec: Spec, target: str, backend: Backend, source: Path, config: TechniqueConfig, folder: Path, given: Given
) -> TargetBench:
    if spec.data.validation is None:
        raise SpecError(
            "data.validation is missing: what is chosen by accuracy cannot be judged on the same frames; "
            "give frames that are neither calibration nor evaluation"
        )
    backend.require()
    if elsewhere := backend.runs_elsewhere():
        raise EnvironmentFault(
            f"the compress step measures on target {target}, and {elsewhere}; compress on the target"
        )
    metric = getattr(config, "metric", None)
    return TargetBench(spec, target, backend, source, labels.of(spec, "validation"), folder, metric, given)


def _exported(spec: Spec, module: nn.Module, shapes: Mapping[str, tuple[int, ...]] | None = None) -> bytes:
    inputs = {
        name: tensor.model_copy(update={"shape": shapes[name]}) if shapes and name in shapes else tensor
        for name, tensor in spec.model.inputs.items()
    }
    loaded = replace(load.load_model(spec.model.model_copy(update={"inputs": inputs})), module=module)
    with tempfile.TemporaryDirectory() as folder:
        export.export(loaded, Path(folder) / "fp32.onnx")
        return (Path(folder) / "fp32.onnx").read_bytes()


def _loss(spec: Spec) -> Callable[[Mapping[str, Any], Any], Any] | None:
    """The task's loss; one that cannot be computed on the task's head says so when it is asked."""
    try:
        return losses.of_task(spec.task)
    except SpecError as error:
        return functools.partial(_refused, error)


def _refused(error: SpecError, outputs: Mapping[str, Any], truth: Any) -> Any:
    raise error
