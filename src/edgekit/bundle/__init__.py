"""Bundles: everything a target needs to run, judge and trust an engine, in one folder or file.

    manifest.json       hash and size of every file, hash of every input, tool versions, device, seed
    bundle.json         inputs, preprocess, task, data, KPIs, engine configuration
    models/*.onnx       the typed model, and the control's
    engines/*           what the backend built from them
    golden.npz          inputs, PyTorch outputs, typed-ONNX outputs of a few frames
    golden/             those frames as they were read (PNG), and predictions.json: what the task makes of them
    calibration.json    how the ranges were found
    input_statistics.json  what the calibration frames look like: the reference of input drift
    training.json       loss and metric of the compress steps that trained, by step; only where one did
    parity.json         engines against golden, their layers' precision, INT8 against its control, at build time
    signature.json      Ed25519 over the manifest; only in signed bundles

Opening a bundle checks manifest, hashes, signature and device before anything in
it is deserialised.
"""

from __future__ import annotations

from edgekit.bundle.archive import SINGLE_FILE as SINGLE_FILE
from edgekit.bundle.bundle import Bundle as Bundle
from edgekit.bundle.bundle import open_bundle as open_bundle
from edgekit.bundle.bundle import pack as pack
from edgekit.bundle.bundle import write_bundle as write_bundle
from edgekit.bundle.contents import CONTEST as CONTEST
from edgekit.bundle.contents import DIRTY as DIRTY
from edgekit.bundle.contents import EVALUATION as EVALUATION
from edgekit.bundle.contents import GOLDEN as GOLDEN
from edgekit.bundle.contents import INPUT_STATISTICS as INPUT_STATISTICS
from edgekit.bundle.contents import MANIFEST as MANIFEST
from edgekit.bundle.contents import NOT_RUN as NOT_RUN
from edgekit.bundle.contents import PARENTS as PARENTS
from edgekit.bundle.contents import PLACE as PLACE
from edgekit.bundle.contents import PLACEMENT as PLACEMENT
from edgekit.bundle.contents import REVISION as REVISION
from edgekit.bundle.contents import SIGNATURE as SIGNATURE
from edgekit.bundle.contents import TRAINING as TRAINING
from edgekit.bundle.contents import VARIANTS as VARIANTS
from edgekit.bundle.contents import Contents as Contents
from edgekit.bundle.contents import EngineFile as EngineFile
from edgekit.bundle.contents import EvaluationData as EvaluationData
