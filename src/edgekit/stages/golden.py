"""What a bundle holds of the golden frames: the frames as they were read, tensors, and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.bundle.contents import PREDICTIONS
from edgekit.bundle.frames import read_frame, write_frame
from edgekit.bundle.manifest import GoldenRecord
from edgekit.core.artifacts import write_bytes
from edgekit.core.decoded import Frame, PredictionsDocument, geometry_record, recorded
from edgekit.core.errors import DataError
from edgekit.core.golden import Golden
from edgekit.core.reports import FramesProof
from edgekit.core.spec import Spec
from edgekit.core.variant import Variant
from edgekit.data import Dataset
from edgekit.preprocess import Preprocess
from edgekit.stages.compressed import Compressed
from edgekit.verification import golden_frames
from edgekit.verification.golden_frames import GoldenFrames
from edgekit.verification.limits import limits_of
from edgekit.verification.outputs import ordered_outputs

GOLDEN = "golden.npz"


def write_golden(
    spec: Spec, sections: Mapping[str, Any], compressed: Compressed, candidate: Variant, folder: Path
) -> tuple[dict[str, Path], GoldenRecord]:
    """Write golden tensors, frames and predictions.

    Args:
        spec: names data, task, and how many frames are kept.
        sections: the candidate's preprocessing.
        compressed: what the calibration frames were.
        candidate: its golden tensors are kept, and its typed model's outputs are decoded.
        folder: for the files.

    Returns:
        The files by their place in the bundle, and what the manifest says of them.

    Raises:
        DataError: the calibration frames are no longer those that the golden inputs were made of.
    """
    config, precision = spec.data.calibration, candidate.precision
    data, golden = config.open(), Golden.read(candidate.golden)
    preprocess, task = Preprocess(sections), spec.task.create()
    frames: list[Frame] = []
    for number in range(golden.frames):
        sample = data[number * len(data) // golden.frames]
        prepared = preprocess(sample.images, sample.id)
        distances = golden_frames.input_distances(prepared.feeds, golden.feeds(number))
        if max(distances.values()) > golden_frames.PREPROCESSING_REL_L2:
            raise DataError(f"data.calibration: frame {sample.id!r} changed while the bundle was built; build it again")
        sources = write_frame(folder, number, sample.images) if number < spec.golden.frames else None
        prediction = recorded(task.decode(golden.outputs(number, precision), prepared.geometry))
        geometry = geometry_record(prepared.geometry)
        frames.append(Frame(id=sample.id, sources=sources, geometry=geometry, prediction=prediction))
    document = PredictionsDocument(task=spec.task.kind, reference=precision, frames=tuple(frames))
    write_bytes(folder / PREDICTIONS, (document.model_dump_json() + "\n").encode())
    write_tensors(candidate, folder / GOLDEN)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    kept = min(spec.golden.frames, golden.frames)
    return files, GoldenRecord(
        format=config.format,
        dataset_hash=_fingerprint(data, compressed),
        ids=tuple(frame.id for frame in frames),
        kept=kept,
    )


def write_tensors(variant: Variant, path: Path) -> Path:
    """Write the golden tensors of a variant as a bundle holds them; returns the file."""
    Golden.read(variant.golden).thinned(ordered_outputs(variant.model)).write(path, deflated=True)
    return path


def _fingerprint(data: Dataset, compressed: Compressed) -> str:
    """Known since the export, whose key it is part of: computing it reads every file."""
    known = compressed.exported.inputs.get("calibration", {}).get("fingerprint")
    return str(known or data.fingerprint())


def prove_frames(bundle: Bundle) -> FramesProof:
    """The bundle's golden frames through its pre- and postprocessing on this machine."""
    document, candidate = bundle.predictions(), bundle.contents.candidate
    images = tuple(
        None if frame.sources is None else read_frame(bundle.path, frame.sources)
        for frame in (document.frames if document is not None else ())
    )
    held = GoldenFrames(bundle.golden(), document, images, bundle.path / candidate.model)
    limits = limits_of(candidate.precision, bundle.contents.parity)
    return golden_frames.prove(held, bundle.preprocess(), bundle.task(), limits)
