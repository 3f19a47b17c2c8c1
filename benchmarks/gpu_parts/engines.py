"""Engines of a backend, built from three small typed models, held against their golden outputs and timed.

``tiny/`` holds what ``edgekit build`` made for TensorRT of the network of ``make_models.py``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from edgekit.core.errors import EnvironmentFault, MissingRequirement
from edgekit.core.golden import Golden
from edgekit.core.progress import Silent
from edgekit.engine import EngineConfig, backend
from edgekit.stages.build import make_engines
from edgekit.stages.typed import TypedModel

TINY = Path(__file__).parent / "tiny"


def check(config: EngineConfig, precisions: tuple[str, ...]) -> dict[str, Any]:
    """Build and prove; the distance of every engine, and the race of INT8 where the backend has one.

    Raises:
        MissingRequirement: the backend, or the device that it wants, is not here.
        CheckFailed: an engine does not compute what its model says.
    """
    made = backend(config)
    try:
        made.require()
    except MissingRequirement:
        raise
    except EnvironmentFault as fault:  # such as a GPU that this TensorRT does not build for
        raise MissingRequirement(f"{config.engine} for this device", note=str(fault)) from fault
    figures: dict[str, Any] = dict(made.fingerprint())
    with tempfile.TemporaryDirectory() as folder:
        golden = Golden.read(TINY / "golden.npz")
        models = [TypedModel(precision, precision, TINY / f"{precision}.onnx", golden) for precision in precisions]
        make_engines(made, models, Path(folder), Silent())
        reports = json.loads((Path(folder) / "parity.json").read_text())
    for report in reports:
        assert report["verdict"] == "pass", f"{report['engine']}: {report['verdict']}: {report.get('reason')}"
        figures[f"{report['engine']}_rel_l2"] = max(float(f"{each['rel_l2']:.2g}") for each in report["outputs"])
    race = reports[0].get("race")
    return figures if race is None else figures | {"int8_speedup_p50": float(f"{race['speedup_p50']:.3g}")}
