"""Are a teacher's labels better when it looks at the frames before and after too?

    python benchmarks/neighbour_labels.py --json > benchmarks/results/neighbour_labels.json

The demo's network labels rendered drives at 10 Hz, and the mIoU of its classes against the exact truth is taken three
times: of the frame alone, of the mean with both neighbours moved along the optical flow
(``distill: {offline: {neighbours: true}}``), and of the plain mean of the three frames, unmoved.  Nothing is trained
and nothing is chosen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit import read_spec
from edgekit.data.rendered import Config as Rendered
from edgekit.distill.logits import Neighbours, described
from edgekit.model.load import load_model
from edgekit.preprocess import Preprocess
from edgekit.stages.job import LabelledFeeds
from edgekit.training import losses

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo"


def labelled(count: int, length: int, scenes: str, seed: int) -> dict[str, Any]:
    """The mIoU of each kind of label."""
    spec = read_spec(DEMO / "edgekit.yaml")
    network = load_model(spec.model).module
    assert network is not None
    settings = {"count": count, "sequence_length": length, "seed": seed, "scenes": scenes}
    data = Rendered.model_validate(settings).open()
    examples = LabelledFeeds(Preprocess(spec.preprocess), data, losses.placing(spec.task))
    once: dict[int, dict[str, np.ndarray]] = {}

    def alone(index: int) -> dict[str, np.ndarray]:
        if index not in once:
            with torch.no_grad():
                once[index] = {"logits": network(torch.from_numpy(examples[index][0]["image"]))[0].numpy()}
        return once[index]

    mean = Neighbours(alone, examples, "image", True, examples.sequence)

    def unmoved(index: int) -> dict[str, np.ndarray]:
        near = (index, *mean.beside(index))
        found = [torch.from_numpy(alone(one)["logits"]).softmax(1) for one in near]
        return {"logits": torch.stack(found).mean(0).log().numpy()}

    ways: dict[str, Callable[[int], Any]] = {"alone": alone, "neighbours": mean, "unmoved": unmoved}
    task = spec.task.create()
    totals = {name: task.accumulator() for name in ways}
    for index in range(count):
        sample = data[index]
        prepared = Preprocess(spec.preprocess)(sample.images)
        for name, way in ways.items():
            totals[name].update(task.decode(way(index), prepared.geometry), sample.truth, sample.id)
    per_drive = {
        name: [float(one) for one in total.compute_many(_drives(count, length), ["miou"])["miou"]]
        for name, total in totals.items()
    }
    return {
        **settings,
        "miou": {name: total.compute()["miou"] for name, total in totals.items()},
        "by_drive": per_drive,
        **described(mean, range(0, count, max(count // 16, 1))),
    }


def _drives(count: int, length: int) -> np.ndarray:
    """Weights that count the frames of one drive each."""
    return np.equal.outer(np.arange(-(-count // length)), np.arange(count) // length).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=18)
    parser.add_argument("--length", type=int, default=6)
    parser.add_argument("--scenes", choices=["classic", "varied", "hard"], nargs="+", default=["classic", "hard"])
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = [labelled(args.count, args.length, scenes, args.seed) for scenes in args.scenes]
    if args.json:
        print(json.dumps(found, indent=1))
        return
    for one in found:
        print(one["scenes"], {name: round(value, 4) for name, value in one["miou"].items()})


if __name__ == "__main__":
    main()
