"""How long one step of distillation takes, by precision and layout, and with memory kept between steps or not.

    CAMVID=/data/camvid OMP_NUM_THREADS=1 python benchmarks/training_step.py examples/camvid/pruned.yaml --steps 12

The network of the spec, as it is, learns from itself, as the first ``distill`` step of the spec says; frames are read
and augmented too.  Printed are processor seconds a step, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from edgekit.core.progress import Silent
from edgekit.core.spec import CompressStep, Spec
from edgekit.core.specfile import read_spec
from edgekit.engine import backend
from edgekit.model import export, load
from edgekit.profiling import machine
from edgekit.stages import job as jobs
from edgekit.stages import steps as steps_of
from edgekit.technique import Job, TechniqueConfig
from edgekit.training import loop

WAYS = {
    "fp32, memory given back": ("fp32", False, False),
    "fp32": ("fp32", False, True),
    "fp32, channels_last": ("fp32", True, True),
    "bf16": ("bf16", False, True),
    "bf16, channels_last, memory given back": ("bf16", True, False),
    "bf16, channels_last": ("bf16", True, True),
}
WARM = 3


@contextlib.contextmanager
def given_back(wanted: bool = True) -> Iterator[None]:
    """What the loop did before it kept memory."""
    yield


def seconds(job: Job, technique: TechniqueConfig, steps: int, way: tuple[str, bool, bool]) -> float:
    """Processor seconds a step, the first ones left out."""
    precision, last, keeps = way
    marks: list[float] = []
    one_step = loop._Run.one_step

    def marked(run: loop._Run, *given: object) -> None:
        one_step(run, *given)  # type: ignore[arg-type]
        marks.append(time.process_time())

    changes = {"steps": steps, "warmup": 0, "precision": precision, "channels_last": last, "device": "cpu"}
    training = technique.training.model_copy(update=changes)  # type: ignore[attr-defined]
    keeping = contextlib.nullcontext() if keeps else mock.patch.object(loop._memory, "kept", given_back)
    with mock.patch.object(loop._Run, "one_step", marked), keeping:
        config = technique.model_copy(update={"training": training})
        steps_of.technique_of(CompressStep.model_validate({"distill": config})).apply(job, config)
    return (marks[-1] - marks[WARM - 1]) / (len(marks) - WARM)


def measured(spec: Spec, steps: int, way: tuple[str, bool, bool]) -> float:
    """:func:`seconds` of the first distill step of a spec."""
    technique = next(step.technique for step in spec.compress if step.kind == "distill")
    target, engine = next((name, backend(config)) for name, config in spec.targets.items())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "fp32.onnx"
        export.export(load.load_model(spec.model), source)
        calibration = spec.data.calibration.open()
        with jobs.job(spec, target, engine, source, calibration, technique, None, Silent()) as job:
            return seconds(job, technique, steps, way)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--way", choices=WAYS, help="this one alone, in this process")
    args = parser.parse_args()
    if args.way is not None:
        print(json.dumps(measured(read_spec(args.spec), args.steps, WAYS[args.way])))
        return
    found = {}
    for name in WAYS:  # a process each: what memory one was given is there for the next
        command = [sys.executable, __file__, str(args.spec), "--steps", str(args.steps), "--way", name]
        found[name] = round(float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout), 3)
        print(f"{name:42} {found[name]:.2f} s", flush=True)
    print(json.dumps({"machine": machine().to_dict(), "steps": args.steps, "seconds_a_step": found}))


if __name__ == "__main__":
    main()
