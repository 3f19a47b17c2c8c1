"""How the labels of a data set become truths of a task: class names and keypoint names agree by name.

Where one side has no names, class ids are taken by their order, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import naming
from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError
from edgekit.core.naming import Join
from edgekit.core.predictions import Objects
from edgekit.core.suggest import allowed
from edgekit.data import DataConfig, Dataset, NamedConfig, Sample
from edgekit.tasks import Task
from edgekit.tasks.multitask import MultiTask

_LEFT_OUT, _REFUSED = -1, -2


@dataclass(frozen=True)
class Agreed:
    """A data set whose truths carry the task's class ids, the task that judges it, and what has to be said of both."""

    dataset: Dataset
    task: Task
    notes: tuple[str, ...]

    def check_labels(self) -> Iterator[str]:
        """Check the truth of every frame, one after the other; gives their ids.

        Frames without truth, and data that are made with their truth, have nothing to check.

        Raises:
            DataError: the task cannot be judged on a truth; or as the data set raises.
        """
        if self.dataset.made:
            return
        for index in range(len(self.dataset)):
            name, truth = self.dataset.label(index)
            if truth is not None:
                self.task.check_truth(truth, name)
            yield name


def agreed(config: DataConfig, task: Task) -> Agreed:
    """Open the data of ``config`` for ``task``.

    Raises:
        DataError: the data cannot be used, share no class name with the task, or ``map`` has a name that neither has.
    """
    dataset, many = config.open(), task if isinstance(task, MultiTask) else None
    config = config.labelled_by
    tasks = {name: one for name, one in many.tasks.items() if one.labelled} if many else {"": task}
    _check_targets(config, tasks)
    tables = {name: _Table.of(config, dataset, many.truths[name] if many else "", one) for name, one in tasks.items()}
    notes = tuple(dict.fromkeys(note for table in tables.values() for note in table.notes))
    judges = {name: one.without_labels_of(tables[name].unlabelled, tables[name].counted) for name, one in tasks.items()}
    keys = config.label_keys
    same = not keys and not dataset.one_class and all(table.changes_nothing for table in tables.values())
    made = dataset if same else _Joined(dataset, tables, keys, many)
    if many is None:
        return Agreed(made, judges[""], notes)
    parts = many.truths if same else {name: name for name in many.tasks}
    return Agreed(made, MultiTask({**many.tasks, **judges}, parts), notes)


def _check_targets(config: DataConfig, tasks: Mapping[str, Task]) -> None:
    """Raise unless every class that ``map`` leads to is one of a task, where tasks have classes."""
    known = tuple(dict.fromkeys(name for task in tasks.values() for name in task.class_names or ()))
    if not known or not isinstance(config, NamedConfig):
        return
    for name, target in config.map.items():
        if target is not None and naming.place(target, known) is None:
            raise DataError(
                f"data of format {config.format}: map: {name!r} becomes {target!r}, which is no class of the task; "
                f"{allowed(target, known)}"
            )


@dataclass(frozen=True)
class _Table:
    """What becomes of the class ids of a data set, or of a part of its truth, for one task.

    ``join`` is None where one side has no names.
    """

    join: Join | None
    task: Task
    drop: bool
    counted: bool
    voids: frozenset[str]
    notes: tuple[str, ...]
    keypoints: tuple[int, ...] | None = None

    @classmethod
    def of(cls, config: DataConfig, dataset: Dataset, part: str, task: Task) -> _Table:
        data_names, wanted = dataset.class_names(part), task.class_names
        drop = isinstance(config, NamedConfig) and config.unlisted == "drop"
        counted = isinstance(config, NamedConfig) and config.unlabelled_classes == "count"
        points, notes = _keypoints(dataset.keypoints, task.keypoint_names)
        if data_names is None or wanted is None:
            if wanted is not None and task.labelled:
                nameless = f"the class ids of the data set ({config.format}) have no names"
                notes = (f"{nameless}: they are taken in the order of task.classes", *notes)
            return cls(None, task, drop, counted, dataset.voids, notes, points)
        where = f"data of format {config.format}" + (f", truth {part!r}" if part else "")
        join = Join.of(data_names, wanted, where)
        notes = (*_notes(join, dataset.voids, drop, counted), *notes)
        return cls(join, task, drop, counted, dataset.voids, notes, points)

    @property
    def unlabelled(self) -> tuple[int, ...]:
        return () if self.join is None else self.join.unlabelled

    @property
    def changes_nothing(self) -> bool:
        """Whether truths that are no text stay as they are."""
        return self.keypoints is None and (
            self.join is None
            or (
                not self.join.foreign
                and not self.join.omitted
                and all(number == label for number, label in self.join.ids.items())
            )
        )

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Class ids of the task by the names that a truth which is a text may have."""
        if self.join is None:
            return {}
        return {self.join.named[number]: label for number, label in self.join.ids.items()}

    @cached_property
    def _lookup(self) -> NDArray[np.int64]:
        """Class id of the task, or what becomes of it, by class id of the data set."""
        assert self.join is not None
        count = max(255, *self.join.named, *self.join.omitted) + 1
        table = np.full(count, _LEFT_OUT if self.drop else _REFUSED, np.int64)
        for number, name in self.join.foreign.items():
            if self.drop or name in self.voids:
                table[number] = _LEFT_OUT
        table[list(self.join.omitted)] = _LEFT_OUT
        if self.task.void is not None and self.task.void not in self.join.ids:
            table[self.task.void] = _LEFT_OUT
        table[list(self.join.ids)] = list(self.join.ids.values())
        return table

    def apply(self, truth: Any, where: str) -> Any:
        """The truth with the task's class ids.

        Raises:
            DataError: it has a class that the task does not have.
        """
        if isinstance(truth, Objects):
            return self._objects(truth, where)
        if self.join is None or truth is None:
            return truth
        if isinstance(truth, np.ndarray) and truth.dtype == np.uint8 and truth.ndim == 2:
            return self._mask(truth, where)
        if isinstance(truth, str):
            if truth not in self.by_name:
                raise DataError(f"frame {where!r} is a {truth!r}; {self.join.foreign_hint(truth)}")
            return self.by_name[truth]
        if isinstance(truth, int | np.integer) and not isinstance(truth, bool) and int(truth) in self.join.named:
            label = self.join.ids.get(int(truth))
            if label is None:
                name = self.join.named[int(truth)]
                raise DataError(f"frame {where!r} is a {name!r}; {self.join.foreign_hint(name)}")
            return label
        return truth

    def _objects(self, truth: Objects, where: str) -> Objects:
        made = truth if self.keypoints is None else replace(truth, keypoints=_ordered(truth.keypoints, self.keypoints))
        if self.join is None or not len(truth):
            return made
        labels = self._lookup[truth.labels]
        refused = (labels == _REFUSED) & ~truth.crowd  # a crowd of what is not looked for hides nothing
        if refused.any():
            name = self.join.named[int(truth.labels[refused][0])]
            raise DataError(f"frame {where!r}: an object is a {name!r}; {self.join.foreign_hint(name)}")
        kept = labels >= 0
        points = None if made.keypoints is None else made.keypoints[kept]
        return Objects(truth.boxes[kept], labels[kept], truth.crowd[kept], truth.areas[kept], points)

    def _mask(self, truth: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
        assert self.join is not None
        table, void = self._lookup[:256], self.task.void
        bad = table == _REFUSED if void is not None else table < 0
        if bad.any() and bad[truth].any():
            number = int(truth[bad[truth]][0])
            raise DataError(f"frame {where!r}: {self._bad_id(number)}")
        return np.where(table < 0, 0 if void is None else void, table).astype(np.uint8)[truth]

    def _bad_id(self, number: int) -> str:
        assert self.join is not None
        name = self.join.named.get(number)
        if name is None and number in self.join.omitted:
            name = "what map leaves out"
        if name is None:
            known = ", ".join(f"{key} {value}" for key, value in list(self.join.named.items())[:12])
            return (
                f"the mask has the class id {number}, which has no name; named: {known}; add it to the data set's "
                "names, or set task.ignore_index when such pixels count nowhere"
            )
        if self._lookup[number] == _LEFT_OUT:
            return (
                f"the mask has pixels of {name!r} (id {number}), which count nowhere, and task.ignore_index is not "
                "set; set it to an id that no class has, such as 255"
            )
        return f"the mask has pixels of {name!r} (id {number}); {self.join.foreign_hint(name)}"


def _notes(join: Join, voids: frozenset[str], drop: bool, counted: bool) -> tuple[str, ...]:
    """What the two sides do not share."""
    notes = []
    alike = [
        f"{join.named[number]!r} for {join.wanted[label]!r}"
        for number, label in join.ids.items()
        if join.named[number] != join.wanted[label]
    ]
    if alike:
        notes.append(f"names that differ in case or separators alone are taken for the same: {', '.join(alike[:8])}")
    missing = [join.wanted[i] for i in join.unlabelled]
    if missing:
        how = "counted as mistakes (unlabelled_classes: count)" if counted else "ignored (unlabelled_classes: ignore)"
        known = len(join.wanted) - len(missing)
        notes.append(
            f"the data set labels {known} of the task's {len(join.wanted)} classes: not {naming.listed(missing)}; "
            f"what is predicted of those is {how}"
        )
    foreign = list(dict.fromkeys(join.foreign.values()))
    known_voids = [name for name in foreign if name in voids]  # as the benchmark does: nothing to say
    out = [name for name in foreign if drop and name not in known_voids]
    refused = [name for name in foreign if name not in (*out, *known_voids)]
    if out:
        notes.append(f"left out, as no classes of the task: {naming.listed(out)}")
    if refused:
        notes.append(f"no classes of the task, and none of the labels may be of them: {naming.listed(refused)}")
    return tuple(notes)


def _keypoints(
    data_names: Sequence[str] | None, wanted: Sequence[str] | None
) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """The place among the data set's keypoints of each of the task's, -1: it has none; None: they are the same."""
    if wanted is None or data_names is None or tuple(data_names) == tuple(wanted):
        return None, ()
    found = [naming.place(name, data_names) for name in wanted]
    missing = [name for name, at in zip(wanted, found, strict=True) if at is None]
    if len(missing) == len(wanted):
        raise DataError(
            f"none of the data set's keypoints is one of the task's; the data set has {naming.listed(data_names)}, "
            f"the task {naming.listed(wanted)}"
        )
    notes = (f"the data set has no keypoints {naming.listed(missing)}: they are not visible",) if missing else ()
    return tuple(-1 if at is None else at for at in found), notes


def _ordered(points: Any, places: tuple[int, ...]) -> Any:
    """Keypoints ``(N, K, 3)`` in another order; those of place -1 are not visible."""
    if points is None:
        return None
    padded = np.concatenate([points, np.zeros((len(points), 1, 3), points.dtype)], axis=1)
    return padded[:, list(places)]


class _Joined(Dataset):
    """A data set whose truths carry a task's class ids; of several tasks, a mapping by their names.

    Frames of one class each whose class the task does not have are left out where ``unlisted: drop`` says so.
    """

    def __init__(
        self, inner: Dataset, tables: Mapping[str, _Table], keys: Mapping[str, Any], many: MultiTask | None
    ) -> None:
        self.inner, self.tables, self.keys, self.many = inner, dict(tables), dict(keys), many
        self.identifiers, self.kept = inner.identifiers, self._kept()

    @property
    def made(self) -> bool:  # type: ignore[override]
        return self.inner.made

    def _kept(self) -> list[int]:
        every = list(range(len(self.inner)))
        table = next(iter(self.tables.values()), None)
        if table is None or self.many is not None or table.join is None or not table.drop or not table.join.foreign:
            return every
        if not every or not self.inner.one_class:
            return every
        foreign = set(table.join.foreign.values()) | set(table.join.foreign)
        return [i for i in every if self.inner.label(i)[1] not in foreign]

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> Sample:
        sample = self.inner[self._place(index)]
        return replace(sample, truth=self._truth(sample.truth, sample.id))

    def label(self, index: int) -> tuple[str, Any]:
        name, truth = self.inner.label(self._place(index))
        return name, self._truth(truth, name)

    def _place(self, index: int) -> int:
        if not 0 <= index < len(self.kept):
            raise IndexError(f"index {index} is not in 0..{len(self.kept) - 1}")
        return self.kept[index]

    def _truth(self, truth: Any, name: str) -> Any:
        if self.many is None:
            return self.tables[""].apply(truth, name)
        if truth is None:
            return None
        return {task: self.tables[task].apply(part, name) for task, part in self.many.labels(truth, name).items()}

    def fingerprint(self) -> str:
        """That of the data set; with keys that decide how its labels are read, SHA-256 (hex) over both."""
        data = self.inner.fingerprint()
        return sha256_of({"data": data, "keys": self.keys}) if self.keys else data
