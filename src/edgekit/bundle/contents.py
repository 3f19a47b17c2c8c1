"""What stands in a bundle's files, and under which names."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from edgekit.core.errors import DataError
from edgekit.core.spec import DataSection, EngineSection, InputSection, Kpi, ParityLimits, TaskSection
from edgekit.core.tensors import TensorSpec
from edgekit.data import Dataset

FORMAT = "edgekit-bundle"
VERSION = 2
READABLE = (1, 2)
"""Versions that open; of 1 the manifest has no sizes, and no golden frames are kept."""
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
SIZES = "sizes"
"""The manifest's key of the files' sizes in bytes."""
GOLDEN = "golden"
"""The manifest's key of where the golden frames come from; of version 1 there is none."""
PREDICTIONS = "golden/predictions.json"
EVALUATION = "evaluation"
"""The manifest's key of the evaluation data; bundles from before it was written have none."""
PLACEMENT = "placement"
"""The manifest's key of the Q/DQ placement of an INT8 model; bundles from before it was written have none."""
TRAINING = "training.json"
"""How the training of compress steps went; in bundles where one trained."""
CONTEST = "contest.json"
"""Which runtimes raced for a target ``engine: auto``, and why this one is in the bundle; other targets have none."""
INPUT_STATISTICS = "input_statistics.json"
"""What the calibration frames look like, the reference of input drift; bundles from before it was kept have none."""
REVISION, DIRTY = "revision", "dirty"
"""The manifest's keys of the project's git commit, and whether it had changes beside it; none outside a checkout."""
PLACE = "place"
"""The manifest's key of the folder that a build wrote the bundle to: its data are found from there."""
VARIANTS = "variants"
"""The manifest's key of where its models come from: precision, placement, lineage and digest by name."""
PARENTS = "parents"
"""The manifest's key of the bundles that one was rebuilt from, nearest first; only in rebuilt bundles."""
NOT_RUN = "not run"
"""The verdict in ``parity.json`` on an engine that was built for another machine."""


class EngineFile(BaseModel):
    """One engine of a bundle and the typed model it was built from.

    ``golden`` is the file of its golden arrays; ``preprocess`` makes its inputs, None: as the bundle's.  Both differ
    for a control whose network a compress step changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    model: str
    precision: str
    golden: str = "golden.npz"
    preprocess: dict[str, InputSection] | None = None


class Contents(BaseModel):
    """``bundle.json``: how to feed the engine, read it and judge it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    target: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: dict[str, InputSection]
    task: TaskSection
    evaluation: DataSection = None
    kpis: dict[str, Kpi]
    parity: ParityLimits = ParityLimits()
    engine: EngineSection
    candidate: EngineFile
    control: EngineFile | None = None


@dataclass(frozen=True)
class EvaluationData:
    """The frames that a bundle is to be judged on, as they were when it was built.

    ``format`` is the dataset plugin's name, ``frames`` how many there were, ``dataset_hash`` their fingerprint.
    """

    format: str
    frames: int
    dataset_hash: str

    @classmethod
    def of(cls, name: str, dataset: Dataset) -> EvaluationData:
        """Of data in the format ``name``.

        Raises:
            DataError: they cannot be read, or are empty.
        """
        if len(dataset) == 0:
            raise DataError("the evaluation set is empty; give data.evaluation at least one frame")
        return cls(name, len(dataset), dataset.fingerprint())

    def differs(self, frames: int, dataset_hash: str) -> str:
        """What is different about the frames that were found; empty when they are the ones."""
        if dataset_hash == self.dataset_hash:
            return ""
        how = "their content or names differ" if frames == self.frames else f"{frames:,} instead of {self.frames:,}"
        return (
            f"the evaluation data are not those that the bundle was built for: {how} "
            f"(fingerprint {dataset_hash[:12]} instead of {self.dataset_hash[:12]})"
        )
