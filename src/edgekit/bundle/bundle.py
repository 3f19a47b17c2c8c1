"""Bundles: opened, checked and written."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import Self

from edgekit import engine as engines
from edgekit.bundle import archive
from edgekit.bundle import manifest as manifests
from edgekit.bundle.contents import (
    CONTEST,
    DIRTY,
    EVALUATION,
    FORMAT,
    INPUT_STATISTICS,
    MANIFEST,
    NOT_RUN,
    PARENTS,
    PLACE,
    PREDICTIONS,
    REVISION,
    SIGNATURE,
    SIZES,
    TRAINING,
    VERSION,
    Contents,
    EngineFile,
    EvaluationData,
)
from edgekit.core.artifacts import atomic_directory, sha256_of, tree_hashes, write_json
from edgekit.core.decoded import PredictionsDocument
from edgekit.core.errors import BundleError, DataError
from edgekit.core.golden import Golden
from edgekit.core.mistakes import words
from edgekit.core.reports import Agreement, Contest, EngineProof, Race, TrainingReport
from edgekit.core.workspace import Stage
from edgekit.data import DataConfig, Dataset
from edgekit.engine import Backend, Chain, Engine
from edgekit.evaluation.class_names import Agreed, agreed
from edgekit.evaluation.input_statistics import InputStatistics
from edgekit.preprocess import Preprocess
from edgekit.tasks import Task

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its files are the ones that were written."""

    path: Path
    manifest: Mapping[str, Any]
    contents: Contents
    given: Path
    """The folder or single file that was opened; of a single file, ``path`` is where it was unpacked."""
    stages: tuple[Stage, ...] = ()
    """Of a bundle that was just built: what led to it."""
    unpacked: archive.Unpacked | None = field(default=None, repr=False, compare=False)
    """Of a single file: the folder ``path``, which is removed with it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what a single file was unpacked into; a folder stays as it is, and so may engines that are active."""
        if self.unpacked is not None:
            self.unpacked.close()

    @property
    def name(self) -> str:
        """Model and target, e.g. ``camvid-seg-cpu``."""
        return f"{self.contents.name}-{self.contents.target}"

    @property
    def identity(self) -> str:
        """Name and digest: two bundles of one name are told apart in reports."""
        return f"{self.name}@{self.digest[:12]}"

    @property
    def digest(self) -> str:
        """Identity of the bundle: the hash over its manifest."""
        return str(self.manifest["digest"])

    def engine(self, which: EngineFile | None = None) -> Engine:
        """The candidate's engine (or ``which``), not yet active.

        Raises:
            BundleError: it was built for another machine or runtime; names both
                sides and the command that rebuilds it.
            MissingRequirement: it needs a package that is not here; names the install line.
        """
        self.require(self.backend())
        engine = self.backend().engine(self.path / (which or self.contents.candidate).file)
        if self.unpacked is not None:
            self.unpacked.lives_as_long_as(engine)
        return engine

    def require(self, backend: Backend) -> None:
        """Raise unless ``backend`` can run its engines on this machine; as :meth:`engine`."""
        backend.admit(self.manifest["device"])
        foreign = self._foreign_to(backend)
        if foreign:
            raise BundleError(f"{self.given}: {foreign}; make its engines anew for this machine: {self._rebuild()}")

    def backend(self) -> Backend:
        """What opens and rebuilds its engines on this machine."""
        return engines.backend(self.contents.engine)

    @property
    def foreign(self) -> str:
        """Which fact of this machine is not that of the one that its engines are for; empty: they may run here.

        Raises:
            MissingRequirement: the runtime of its engines is not here.
        """
        return self._foreign_to(self.backend())

    def _foreign_to(self, backend: Backend) -> str:
        here, there = backend.fingerprint(), self.manifest["device"]
        for key in sorted(set(here) | set(there)):
            if not backend.same_fact(key, there.get(key), here.get(key)):
                return f"the engine was built for {key} {there.get(key)!r}, this machine has {here.get(key)!r}"
        return ""

    def _rebuild(self) -> str:
        place = "" if os.access(self.given.resolve().parent, os.W_OK) else f" --out {self.given.name}"
        return f"edgekit bundle rebuild {shlex.quote(str(self.given))}{place}"

    @property
    def parents(self) -> tuple[Mapping[str, Any], ...]:
        """The bundles it was rebuilt from, nearest first, each with its ``digest``, ``device`` and ``tools``."""
        return tuple(self.manifest.get(PARENTS, ()))

    def preprocess(self, role: EngineFile | None = None) -> Preprocess:
        """The preprocessing of an engine, the candidate's by default, as calibration and evaluation used it."""
        own = None if role is None else role.preprocess
        return Preprocess(self.contents.preprocess if own is None else own)

    def task(self) -> Task:
        """The task that decodes the outputs."""
        task: Task = self.contents.task.create()
        return task

    def chain(self, engine: Engine) -> Chain:
        """Preprocessing, an engine of this bundle and the task: calling it gives the prediction of a frame."""
        return Chain(self.preprocess(), engine, self.task())

    def agreed_data(self, root: Path | None = None) -> Agreed:
        """The evaluation data, whose truths carry the task's class ids, and the task that judges them.

        ``root`` replaces the folder that the data were in when the bundle was made; data that moved together with the
        bundle are found.

        Raises:
            DataError: it has no such data, they cannot be used, or share no class name with the task.
        """
        return agreed(self.evaluation_section(root), self.task())

    def evaluation_section(self, root: Path | None = None) -> DataConfig:
        """The section of the evaluation data, whose folders are where they are now; ``root`` as in :meth:`agreed_data`.

        Raises:
            DataError: it has no such data, or they are not there.
        """
        config: DataConfig | None = self.contents.evaluation
        if config is None:
            raise DataError(f"{self.path}: the spec named no data.evaluation; add it and run edgekit build again")
        return self._where_it_is(config) if root is None else config.relocated(root)

    def dataset(self, root: Path | None = None) -> Dataset:
        """The evaluation data of :meth:`agreed_data`."""
        return self.agreed_data(root).dataset

    def _where_it_is(self, config: DataConfig) -> DataConfig:
        """``config``, with what is no longer where it was taken from where it lies as seen from the bundle."""
        lost = {key: path for key, path in dict(config).items() if isinstance(path, Path) and not path.exists()}
        if not lost:
            return config
        before, place = self.manifest.get(PLACE), self.given.resolve()
        # By name, not by the file system: a single file takes the place of the folder, and has no "..".
        now = {
            key: Path(os.path.normpath(place / os.path.relpath(path, before))) for key, path in lost.items() if before
        }
        for key, path in lost.items():
            if key not in now or not now[key].exists():
                fix = "name their folder with --root" if "root" in type(config).model_fields else "build it again"
                raise DataError(
                    f"{path}: no such file or folder, but the evaluation data of {self.name} were there when it was "
                    f"built; {fix}"
                )
        return config.model_copy(update=now)

    @property
    def evaluation_data(self) -> EvaluationData | None:
        """The evaluation data that it was built for; None: it says nothing of them."""
        found = self.manifest.get(EVALUATION)
        return None if found is None else EvaluationData(found["format"], found["frames"], found["dataset_hash"])

    @property
    def unverified(self) -> str:
        """Why its engines were not held against golden when they were built; empty: they were."""
        return next((proof.reason for proof in self.proofs if proof.verdict == NOT_RUN), "")

    @property
    def proofs(self) -> tuple[EngineProof, ...]:
        """What was found out about each engine when it was built, the candidate's first: ``parity.json``.

        Raises:
            BundleError: it is no such list.
        """
        file = self.path / "parity.json"
        try:
            return TypeAdapter(tuple[EngineProof, ...]).validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BundleError(f"{file}: {place}: {words(first)}; made by another edgekit? build it again") from error

    @property
    def training(self) -> TrainingReport | None:
        """How the compress steps' trainings went; None: none of them trained.

        Raises:
            BundleError: ``training.json`` is no such report.
        """
        return self._document(TRAINING, TrainingReport)

    @property
    def contest(self) -> Contest | None:
        """Which runtimes raced for its target; None: the spec names its runtime.

        Raises:
            BundleError: ``contest.json`` is no such report.
        """
        return self._document(CONTEST, Contest)

    def _document(self, name: str, kind: type[_Read]) -> _Read | None:
        """A file that not every bundle has; None: this one has it not."""
        if name not in self.manifest["files"]:
            return None
        file = self.path / name
        try:
            return TypeAdapter(kind).validate_json(file.read_bytes())
        except ValidationError as error:
            raise BundleError(f"{file}: {words(error.errors()[0])}; made by another edgekit? build it again") from error

    @property
    def agreement(self) -> Agreement | None:
        """What the task made of engine and typed model when it was built; None: the second check was not asked."""
        return self.proofs[0].agreement

    @property
    def built(self) -> dict[str, float]:
        """Counts of the candidate's layers by the names of their KPIs; empty: it has no layer list."""
        achieved = self.proofs[0].achieved
        return {} if achieved is None else dict(achieved.numbers)

    @property
    def race(self) -> Race | None:
        """The candidate against the control that it has to beat; None: there was nothing to race."""
        return self.proofs[0].race

    def golden(self, role: EngineFile | None = None) -> Golden:
        """Golden inputs and outputs of an engine, the candidate's by default."""
        return Golden.read(self.path / (role or self.contents.candidate).golden)

    def predictions(self) -> PredictionsDocument | None:
        """The golden frames and what the task makes of their golden outputs; None: the bundle is of version 1.

        Raises:
            BundleError: it is no such document.
        """
        return self._document(PREDICTIONS, PredictionsDocument)

    @property
    def input_statistics(self) -> InputStatistics | None:
        """What its calibration frames look like, the reference of input drift; None: it holds none.

        Raises:
            BundleError: ``input_statistics.json`` is no such document.
        """
        return self._document(INPUT_STATISTICS, InputStatistics)

    def size_mib(self) -> float:
        """Size of the candidate's engine file."""
        return (self.path / self.contents.candidate.file).stat().st_size / 2**20


def write_bundle(final: Path, contents: Contents, files: Mapping[str, Path], manifest: Mapping[str, Any]) -> Bundle:
    """Write a bundle folder atomically, replacing an older one.

    Args:
        final: the folder.
        contents: becomes ``bundle.json``.
        files: path inside the bundle to the file to copy.
        manifest: ``inputs``, ``tools``, ``device``, ``seed`` and ``command``; ``evaluation`` as
            :class:`EvaluationData` has it.
    """
    with atomic_directory(final) as folder:
        for inside, source in files.items():
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / inside)
        write_json(folder / "bundle.json", contents.model_dump(mode="json"))
        document = {"format": FORMAT, "version": VERSION, "name": contents.name, "target": contents.target}
        files_of = tree_hashes(folder)
        document |= dict(manifest) | {"files": files_of}
        document[SIZES] = {name: (folder / name).stat().st_size for name in files_of}
        whole = document | {"digest": sha256_of(document)}
        manifests.Manifest.model_validate(_plain(whole))
        write_json(folder / MANIFEST, whole)
        if _stays(final, whole):
            for name in (MANIFEST, SIGNATURE):
                if (final / name).is_file():
                    shutil.copyfile(final / name, folder / name)
    return open_bundle(final)


def _stays(final: Path, new: Mapping[str, Any]) -> bool:
    """Whether the manifest at ``final`` is this one: a commit that changed nothing in a bundle is not named by it.

    So it keeps its digest, and what was signed stays signed.  A commit is put into one that has none, or was built of
    a project with changes, while nobody has signed it.
    """
    try:
        old = manifests.read(final)
    except BundleError:
        return False
    origin = (REVISION, DIRTY, "digest")
    if {k: v for k, v in old.items() if k not in origin} != {k: v for k, v in _plain(new).items() if k not in origin}:
        return False
    better = REVISION in new and (REVISION not in old or (old.get(DIRTY) and not new[DIRTY]))
    return not better or (final / SIGNATURE).is_file()


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """As it is read back from JSON."""
    read: dict[str, Any] = json.loads(json.dumps(document))
    return read


def open_bundle(path: Path) -> Bundle:
    """Check and open a bundle folder, or a single ``.edgekit`` file.

    A single file is unpacked to a temporary folder, which is removed when the bundle is closed (it is a context
    manager), or when neither it nor one of its engines is in use any more.

    Raises:
        BundleError: not a bundle, or a file is missing, added, truncated or edited.
    """
    if not path.is_file():
        return _opened(path, path, None)
    unpacked = archive.unpack(path)
    try:
        return _opened(unpacked.path, path, unpacked)
    except BaseException:
        unpacked.close()
        raise


def _opened(path: Path, given: Path, unpacked: archive.Unpacked | None) -> Bundle:
    found = manifests.read(path)
    manifests.check_files(path, found)
    try:
        contents = Contents.model_validate_json((path / "bundle.json").read_text())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"{path}/bundle.json: {place}: {words(first)}; made by another edgekit? build it again"
        ) from error
    return Bundle(path, found, contents, given, unpacked=unpacked)


def pack(bundle: Bundle, target: Path) -> Path:
    """Write the bundle as one file, atomically; returns its path."""
    return archive.pack(bundle.path, target)
