"""The bench of edgekit's techniques that measure what they make: CamVid's validation split, ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import measure
from benchmarks.peers.common import Frames
from benchmarks.peers.metrics import DECIDING
from benchmarks.peers.models import Model
from benchmarks.peers.runtimes import open_ort

from edgekit.core.reports import Latency, Metric
from edgekit.engine.ort import UNWANTED
from edgekit.profiling import summarise

WARMUP = 5


class ValidationBench:
    """An :class:`edgekit.quantize.Bench`; the deciding metric is the one that the results are compared by."""

    target = "cpu"

    def __init__(self, model: Model, camvid: Path, source: Path, frames: Frames) -> None:
        self.model, self.camvid, self.source, self.frames = model, camvid, source, frames
        self.metric = Metric(DECIDING[model.metric][0], higher=True)

    def accuracy(self, model: bytes) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(model)
            found = measure.accuracy(self.model, self.camvid, open_ort(path, UNWANTED), self.source, ("val",))
        value = found["val"][self.metric.name]
        assert value is not None
        return value

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        infers = {}
        with tempfile.TemporaryDirectory() as folder:
            for index, (name, content) in enumerate(models.items()):
                path = Path(folder) / f"{index}.onnx"
                path.write_bytes(content)
                infers[name] = open_ort(path, UNWANTED)
        feeds = [self.frames[index] for index in range(min(len(self.frames), 8))]
        times = measure.interleaved(infers, feeds, queries, WARMUP)
        return {name: summarise(values) for name, values in times.items()}

    def size_mib(self, model: bytes) -> float:
        return len(model) / 2**20
