"""The bench of edgekit's techniques that measure what they make: CamVid's validation split, ONNX Runtime."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.peers import measure
from benchmarks.peers.common import THREADS, Frames
from benchmarks.peers.metrics import DECIDING
from benchmarks.peers.models import Model

from edgekit.core.errors import CheckFailed
from edgekit.core.golden import GOLDEN_FRAMES
from edgekit.core.reports import Latency, Metric
from edgekit.engine import Engine, in_turn, opened_in_turn, ort
from edgekit.profiling import summarise
from edgekit.stages.asking import typed_golden
from edgekit.stats import faster
from edgekit.verification.limits import limits_of
from edgekit.verification.parity import Proven, check, require

WARMUP = 5
CONFIG = ort.Config(engine="ort", threads=THREADS)


class ValidationBench:
    """An :class:`edgekit.technique.Bench`; the deciding metric is the one that the results are compared by."""

    target = "cpu"

    def __init__(self, model: Model, camvid: Path, source: Path, frames: Frames) -> None:
        self.model, self.camvid, self.source, self.frames = model, camvid, source, frames
        self.metric = Metric(DECIDING[model.metric][0], higher=True)

    def control_accuracy(self) -> float:
        return self.accuracy(self.source.read_bytes())

    def accuracy(self, model: bytes) -> float:
        with _built(model) as (_, path), ort.Backend(CONFIG).engine(path) as engine:
            found = measure.accuracy(self.model, self.camvid, engine.infer, self.source, ("val",))
        value = found["val"][self.metric.name]
        assert value is not None
        return value

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        with contextlib.ExitStack() as stack:
            engines: dict[str, Engine] = {}
            for name, content in models.items():
                _, path = stack.enter_context(_built(content))
                engines[name] = stack.enter_context(ort.Backend(CONFIG).engine(path))
            times = in_turn(engines, dict.fromkeys(engines, self.frames[0]), queries, WARMUP)
        return {name: summarise(values) for name, values in times.items()}

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        with contextlib.ExitStack() as stack:
            paths = {name: stack.enter_context(_built(content))[1] for name, content in models.items()}
            openers = {name: lambda path=path: ort.Backend(CONFIG).engine(path) for name, path in paths.items()}
            feeds = dict.fromkeys(openers, self.frames[0])
            return opened_in_turn(openers, feeds, faster.OPENINGS, faster.EACH, faster.SETTLING)

    def size_mib(self, model: bytes) -> float:
        return len(model) / 2**20

    def departs(self, model: bytes, precision: str) -> str:
        feeds = [self.frames[index] for index in range(min(len(self.frames), GOLDEN_FRAMES))]
        with _built(model) as (source, engine):
            golden = typed_golden(self.source, source, precision, feeds)
            try:
                require(check(ort.Backend(CONFIG), Proven(engine, source, precision, golden), limits_of(precision)))
            except CheckFailed as problem:
                return str(problem)
        return ""


@contextlib.contextmanager
def _built(model: bytes) -> Iterator[tuple[Path, Path]]:
    """A typed model and the engine made of it, gone when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        source.write_bytes(model)
        engine = Path(folder) / f"engine{ort.Backend.suffix}"
        ort.Backend(CONFIG).build(source, engine)
        yield source, engine
