"""What every method does: a teacher's outputs on the training frames, one ``fit``, and the change that comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import SpecError
from edgekit.core.suggest import allowed
from edgekit.distill import _frames
from edgekit.distill._config import DistillConfig
from edgekit.distill._layers import Pair, Tap, beside, fitted, pairs, projection
from edgekit.distill._student import Student, load, student
from edgekit.distill._teacher import Teacher, teacher
from edgekit.technique import Change, Changed, Job
from edgekit.training import Batch, Loss, Trained, fit, packed, restore, seed_all, supervised, undisturbed, unpacked

if TYPE_CHECKING:
    from torch import Tensor, nn

Apart = Callable[[Mapping[str, "Tensor"], Mapping[str, "Tensor"]], "Tensor"]
"""``apart(student's outputs, teacher's outputs) -> scalar``."""


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
    teacher: Teacher

    @classmethod
    def of(cls, job: Job, config: DistillConfig) -> Work:
        """Both networks, loaded.

        Raises:
            SpecError, ModelError: one of them is not there, does not fit, or the task has no loss for ``labels``.
        """
        learning = student(job, config.student, config.training.seed)
        if config.labels and job.loss is None:
            raise SpecError("distill.labels: the task has no loss of its own; leave labels out, or add one (plugin)")
        if config.keep == "best" and learning.shapes:
            raise SpecError("distill.keep: best measures at the model's input size, not the student's; set keep: last")
        wise = teacher(job, config.teacher, learning.sections)
        missing = next((name for name in job.outputs if name not in wise.outputs), None)
        if missing is not None:
            hint = allowed(missing, wise.outputs)
            raise SpecError(f"distill: {wise.name} has no output {missing!r}, which the student has; {hint}")
        return cls(job, config, learning, wise)

    def first(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The inputs of the student and of the teacher, of the first training frame."""
        feeds, _ = self.student.examples[0]
        given = _frames.tensors(feeds, self.job.inputs)
        if self.teacher.examples is None:
            return given, given
        return given, _frames.tensors(self.teacher.examples[0][0], self.teacher.inputs)

    def check(self, apart: Apart) -> None:
        """Raise unless the outputs of both line up, before any training."""
        import torch

        given, seen = self.first()
        with torch.no_grad():
            results = self.student.network.eval()(*(given[name] for name in self.job.inputs))
            apart(dict(zip(self.job.outputs, results, strict=True)), self.teacher(seen))

    def inside(self, layers: Mapping[str, str], projects: bool = True) -> Inside:
        """The layers that are matched; what projects widths starts from the seed of the training.

        Raises:
            SpecError, ModelError: layers that are not there, or whose features do not line up.
        """
        from torch import nn

        found = pairs(layers, self.student.network, self.teacher.network)
        ours = Tap(self.student.network, [pair.student for pair in found])
        theirs = Tap(self.teacher.network, [pair.teacher for pair in found])
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
        return fit(job, self.student.network, self._loss(apart), self.config.training, title)

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
        wise, weight = self.teacher, self.config.labels
        task = supervised(self.job.loss) if weight and self.job.loss is not None else None

        def loss(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
            plain, beside = _frames.apart(batch)
            value = apart(outputs, wise(beside or plain.inputs))
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
