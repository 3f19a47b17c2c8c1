"""What every method does: a teacher's outputs on the training frames, one ``fit``, and the change that comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.core.errors import SpecError
from edgekit.distill import _frames
from edgekit.distill._config import DistillConfig
from edgekit.distill._layers import Pair, Tap, beside, fitted, pairs, projection
from edgekit.distill._panel import Panel, first, panel
from edgekit.distill._student import Student, load, student
from edgekit.technique import Change, Changed, Examples, Job
from edgekit.training import (
    Batch,
    Loss,
    Trained,
    fit,
    lowered,
    packed,
    restore,
    seed_all,
    supervised,
    undisturbed,
    unpacked,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

Apart = Callable[[Mapping[str, "Tensor"], Mapping[str, "Tensor"]], "Tensor"]
"""``apart(student's outputs, teacher's outputs) -> scalar``."""


class Source(Protocol):
    """Where a teacher's outputs come from."""

    @property
    def name(self) -> str:
        """In the record."""

    @property
    def examples(self) -> Examples | None:
        """What belongs to each frame beside the student's inputs; None: nothing."""

    def __call__(self, inputs: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Outputs, float32 by name, from the student's inputs and what is beside them."""


@dataclasses.dataclass(frozen=True)
class Inside:
    """Layers of both networks that are matched, and the student with what brings its widths to the teacher's."""

    pairs: tuple[Pair, ...]
    ours: Tap
    theirs: Tap
    network: nn.Module
    projections: Sequence[nn.Module]

    def features(self) -> Iterator[tuple[Pair, Tensor, Tensor]]:
        """What each pair gave in the last run: the student's, projected, and the teacher's, resized."""
        for pair, project in zip(self.pairs, self.projections, strict=True):
            given = self.ours[pair.student]
            yield pair, project(given), fitted(given, self.theirs[pair.teacher], pair)


@dataclasses.dataclass(frozen=True)
class Work:
    """A job with its student and its teacher."""

    job: Job
    config: DistillConfig
    student: Student
    teacher: Source

    @classmethod
    def of(cls, job: Job, config: DistillConfig, scores: Collection[str] = (), flip: bool = False) -> Work:
        """Both networks, loaded; ``scores`` and ``flip`` as :class:`Panel` has them.

        Raises:
            SpecError, ModelError: one of them is not there, does not fit, or the task has no loss for ``labels``.
        """
        learning = student(job, config.student, config.training.seed)
        if config.labels and job.loss is None:
            raise SpecError("distill.labels: the task has no loss of its own; leave labels out, or add one (plugin)")
        wise = panel(job, config.teacher, learning.sections, scores, flip)
        return cls(job, config, learning, wise)

    def check(self, apart: Apart) -> None:
        """Raise unless the outputs of both line up, before any training."""
        import torch

        given = first(self.student.examples)
        with torch.no_grad():
            results = self.student.network.eval()(*(given[name] for name in self.job.inputs))
            seen = {} if self.teacher.examples is None else first(self.teacher.examples)
            apart(dict(zip(self.job.outputs, results, strict=True)), self.teacher(given, seen))

    def inside(self, layers: Mapping[str, str], projects: bool = True) -> Inside:
        """The layers that are matched; what projects widths starts from the seed of the training.

        Raises:
            SpecError, ModelError: layers that are not there, or whose features do not line up.
        """
        from torch import nn

        assert isinstance(self.teacher, Panel)
        wise = self.teacher.members[0].network
        found = pairs(layers, self.student.network, wise)
        ours = Tap(self.student.network, [pair.student for pair in found])
        theirs = Tap(wise, [pair.teacher for pair in found])
        self.check(lambda given, wanted: given[self.job.outputs[0]])
        with undisturbed():
            seed_all(self.config.training.seed, 0)
            made = [
                projection(ours[pair.student], theirs[pair.teacher]) if projects else nn.Identity() for pair in found
            ]
        for pair in found:
            fitted(ours[pair.student], theirs[pair.teacher], pair)
        return Inside(found, ours, theirs, beside(self.student.network, made), made)

    def fit(self, apart: Apart, title: str) -> Trained:
        """Train the student."""
        examples = self.student.examples
        if self.teacher.examples is not None:
            examples = _frames.Pairs(examples, self.teacher.examples)
        job = dataclasses.replace(self.job, examples=examples)
        given = (job, self.student.network, self._loss(apart), self.config.training, title)
        if not self.student.shapes:
            return fit(*given)
        export = job.need_network(title)[1]
        return fit(*given, model=lambda now: export(now, self.student.shapes), sections=self.student.sections)

    def fit_inside(self, inside: Inside, apart: Apart, title: str) -> Trained:
        """Train the student and the projections of what is matched inside; the result is the student's alone."""
        export = self.job.export

        def plain(network: nn.Module, shapes: Mapping[str, tuple[int, ...]] | None = None) -> bytes:
            assert export is not None
            with inside.ours.paused():
                return export(network.get_submodule("student"), shapes)

        job = dataclasses.replace(self.job, export=None if export is None else plain)
        whole = dataclasses.replace(self.student, network=inside.network)
        trained = dataclasses.replace(self, job=job, student=whole).fit(apart, title)
        inside.ours.close()
        inside.theirs.close()
        prefix = "student."
        state = {n.removeprefix(prefix): t for n, t in trained.state.items() if n.startswith(prefix)}
        return dataclasses.replace(trained, state=state)

    def _loss(self, apart: Apart) -> Loss:
        wise, weight, precision = self.teacher, self.config.labels, self.config.training.precision
        task = supervised(self.job.loss) if weight and self.job.loss is not None else None

        def loss(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
            plain, beside = _frames.apart(batch)
            with lowered(precision, next(iter(outputs.values())).device.type):
                wanted = wise(plain.inputs, beside)
            value = apart(outputs, wanted)
            return value if task is None else value + weight * task(outputs, plain)

        return loss

    def changed(self, trained: Trained, record: Mapping[str, Any]) -> Changed:
        """The student with its new weights, which it holds already.

        Raises:
            SpecError: there is no exporter.
        """
        assert self.job.export is not None  # fit refuses to train without
        found = {
            "method": self.config.method,
            "teacher": self.teacher.name,
            "labels": self.config.labels,
            "steps": trained.steps,
            "stopped_early": trained.stopped,
            "metric": trained.metric,
            "history": [dataclasses.asdict(point) for point in trained.history],
        }
        change = Change({**found, **record}, packed(trained.state))
        shapes = dict(self.student.shapes)
        sections = {name: self.student.sections[name] for name in shapes}
        return Changed(self.job.export(self.student.network, shapes or None), change, shapes, sections)


def rebuild(network: nn.Module, change: Change) -> nn.Module:
    """The network with the weights that training gave; a student of its own is made anew."""
    assert isinstance(change.config, DistillConfig)
    if change.config.student is not None:
        network = load(change.config.student, change.config.training.seed)
    restore(network, unpacked(change.weights))
    return network
