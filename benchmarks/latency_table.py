"""How well does the latency table of ``prune: {method: channels}`` predict engines that it was not made from?

    CAMVID=/data/camvid python benchmarks/latency_table.py examples/camvid --json > latency_table.json

The table is made as the step makes it: whole engines with a width of its own in every group, each timed in turn with
the unpruned one on the spec's target.  Then engines of ``--count`` random width vectors that the table has not seen
are timed in the same way, and the relative errors of their share of the unpruned engine's time are printed.  A quiet
machine: what disturbs one of two engines in a loop is an error of the measurement.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.core.progress import Silent
from edgekit.core.specfile import read_spec
from edgekit.engine import backend
from edgekit.model import export, load
from edgekit.profiling import machine
from edgekit.prune import channels
from edgekit.prune.channels import frames, graph, layers, search, staircase, table, timed
from edgekit.stages import job as jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--engines", type=int, default=12, help="engines in the table")
    parser.add_argument("--count", type=int, default=20, help="random width vectors to predict")
    parser.add_argument("--keep", type=Path, help="file that the table is kept in, to go on from")
    parser.add_argument("--json", action="store_true", help="the whole result, not the figures alone")
    options = parser.parse_args()
    found = run(options.project, options.target, options.engines, options.count, options.keep)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['groups']} groups, {found['engines']} engines in {found['seconds']:.0f} s, one in turn with another")
    print(f"random widths: median error {found['median_error']:.1%}, largest {found['largest_error']:.1%}")


def run(project: Path, target: str, engines: int, count: int, keep: Path | None) -> dict[str, Any]:
    """Make the table, predict, measure."""
    spec = read_spec(project)
    if spec.data.validation is None:  # whose first frame is what engines are timed on
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"validation": spec.data.calibration})})
    config = channels.Config(method="channels", speedup=2.0)
    engine = backend(spec.targets[target])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "fp32.onnx"
        export.export(load.load_model(spec.model), source)
        data = spec.data.calibration.open()
        with jobs.job(spec, target, engine, source, data, config, None, Silent()) as job:
            return _measured(job, source.read_bytes(), config, engines, count, keep)


def _measured(
    job: Any, source: bytes, config: channels.Config, engines: int, count: int, keep: Path | None
) -> dict[str, Any]:
    inputs, network = frames.first(job), job.network()
    groups = graph.prunable(job.network, inputs).groups
    stride = staircase.step(job.profile)
    scores = {group.name: [torch.arange(one.width).float() for one in group.members] for group in groups}
    timing = timed.Engines(job.bench, job.export, network, inputs, groups, scores, source)
    widths = {group.name: search.coarse(group, stride, config.max_ratio) for group in groups}
    whole = graph.Graph(copy.deepcopy(network), inputs)
    work = layers.Work(layers.layers(whole, groups, inputs), groups, stride)
    held = table.Table(keep)
    began = time.monotonic()
    timed.measure(job, timing, held, widths, engines)
    seconds = time.monotonic() - began
    fitted = table.fit(work, held.rows[:engines])
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(count):
        chosen = {name: int(rng.choice(some)) for name, some in widths.items()}
        row = timing.time(chosen)
        predicted = fitted.share(work.row(chosen))
        rows.append({"widths": chosen, "predicted": predicted, "measured": row.share, "ms": row.ms})
    errors = [abs(row["predicted"] / row["measured"] - 1) for row in rows]
    return {
        "machine": machine().to_dict(),
        "step": stride,
        "groups": len(groups),
        "engines": engines,
        "seconds": seconds,
        "unpruned_ms": fitted.reference_ms,
        "left_out_error": fitted.error,
        "median_error": float(np.median(errors)),
        "largest_error": max(errors),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
