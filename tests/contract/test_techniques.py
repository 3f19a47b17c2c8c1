"""What every quantization technique promises."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import onnx
import pytest
from pydantic import ValidationError
from torch import nn

from edgekit import ladder
from edgekit.core import plugins
from edgekit.core.errors import DataError, ModelError
from edgekit.core.reports import Latency, Metric
from edgekit.engine import ort
from edgekit.stats.faster import EACH, OPENINGS
from edgekit.technique import Job, Quantized, TechniqueConfig
from tests.support.graphs import normal, relative_l2
from tests.support.reference_models import Frames, Named, Tiny, exported, seeded
from tests.support.runtime import session

# The smallest compress step for each technique; a new technique adds a line.
EXAMPLES: dict[str, dict[str, Any]] = {
    "ptq": {"method": "ptq"},
    "half": {"method": "half"},
    "mixed": {"method": "mixed", "max_drop": 0.05},
    "auto": {"method": "auto", "max_drop": 0.05},
    "qat": {"method": "qat", "loss": "teacher", "training": {"steps": 4, "batch": 2, "validate_every": 2}},
}
NEEDS = {"qat": "modelopt"}
LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "contract.json").read_text())
SHAPES = {"x": (1, 3, 16, 16)}
FRAMES = Frames(SHAPES, 8)
BITS = {"int8": 8, "fp16": 16, "bf16": 16, "fp32": 32}


class Counted:
    """Progress that remembers how far every step came."""

    def __init__(self) -> None:
        self.steps: list[list[int | None]] = []

    @contextlib.contextmanager
    def track(
        self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0
    ) -> Iterator[Callable[[], None]]:
        step: list[int | None] = [total, 0]
        self.steps.append(step)

        def advance() -> None:
            step[1] = (step[1] or 0) + 1

        yield advance


class Examples:
    """Training frames with a truth of the outputs' shape."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return {"x": normal(index, *SHAPES["x"])}, normal(index, 1, 8, 16, 16)


class Bench:
    """Agreement with FP32 on three frames; an engine's time follows its size."""

    metric = Metric("agreement", higher=True)
    target = "cpu"

    def __init__(self, source: bytes) -> None:
        self.source = source

    @cached_property
    def truth(self) -> list[np.ndarray]:
        return [infer(self.source, feed) for feed in Frames(SHAPES, 3, first=50)]

    def control_accuracy(self) -> float:
        return self.accuracy(self.source)

    def accuracy(self, model: bytes) -> float:
        made = [infer(model, feed) for feed in Frames(SHAPES, 3, first=50)]
        return 1 - max(relative_l2(a, b) for a, b in zip(made, self.truth, strict=True))

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        return {name: _latency(self.size_mib(model)) for name, model in models.items()}

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        return {name: [self.size_mib(model)] * (OPENINGS * EACH) for name, model in models.items()}

    def departs(self, model: bytes, precision: str) -> str:
        return ""

    def size_mib(self, model: bytes) -> float:
        return kernels(onnx.load_from_string(model)) / 2**20


def _latency(value: float) -> Latency:
    return Latency(p50=value, p90=value, p99=value, mean=value, samples=1)


def infer(model: bytes, feed: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(session(model).run(["y"], feed)[0])


def run(model: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    with ort.reference(model) as engine:
        return engine.infer(feed)["y"]


def kernels(model: onnx.ModelProto) -> int:
    """Bytes of the weights of convolutions."""
    return sum(len(t.raw_data) for t in model.graph.initializer if len(t.dims) == 4)


def network() -> nn.Module:
    return Named(seeded(Tiny, SHAPES))


def export(changed: nn.Module) -> bytes:
    assert isinstance(changed, Named)
    return exported(changed.network, SHAPES, ["y"])


@cache
def fp32() -> bytes:
    return export(network())


@pytest.fixture(scope="module", params=(*plugins.names("quantize"), "auto"))
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in EXAMPLES:
        pytest.fail(f"the technique {request.param!r} has no example; add one to EXAMPLES in {__file__}")
    return str(request.param)


@pytest.fixture(scope="module")
def module(name: str) -> ModuleType:
    return ladder if name == "auto" else plugins.load("quantize", name)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("technique") / "fp32.onnx"
    path.write_bytes(fp32())
    return path


@pytest.fixture(scope="module")
def job(source: Path) -> Job:
    bench = Bench(fp32())
    return Job(source, FRAMES, network=network, export=export, examples=Examples(), bench=bench)


@pytest.fixture(scope="module")
def apply(name: str, module: ModuleType) -> Callable[[Job], Quantized]:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])

    def applied(job: Job) -> Quantized:
        found = module.apply(job, module.Config.model_validate(EXAMPLES[name]))
        assert isinstance(found, Quantized)
        return found

    return applied


@pytest.fixture(scope="module")
def applied(apply: Callable[[Job], Quantized], job: Job) -> Quantized:
    return apply(job)


class TestTechnique:
    def test_config(self, name: str, module: ModuleType) -> None:
        assert issubclass(module.Config, TechniqueConfig)
        field = module.Config.model_fields["method"].annotation
        assert get_origin(field) is Literal
        assert get_args(field) == (name,)
        config = module.Config.model_validate(EXAMPLES[name])
        with pytest.raises(ValidationError, match="frozen"):
            config.method = "other"
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            module.Config.model_validate(EXAMPLES[name] | {"no_such_key": 1})
        assert module.Config.model_validate(json.loads(config.model_dump_json())) == config

    def test_signature(self, module: ModuleType) -> None:
        assert list(inspect.signature(module.apply).parameters) == ["job", "config"]

    def test_model_is_valid_and_keeps_its_interface(self, applied: Quantized, source: Path) -> None:
        before, after = onnx.load(source), onnx.load_from_string(applied.model)
        onnx.checker.check_model(after, full_check=True)
        for old, new in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
            assert [(v.name, v.type) for v in new] == [(v.name, v.type) for v in old]

    def test_weights_have_the_bits_of_the_precision(self, applied: Quantized, source: Path) -> None:
        before, after = kernels(onnx.load(source)), kernels(onnx.load_from_string(applied.model))
        assert after * 32 == before * BITS[applied.precision]
        assert applied.precision != "fp32"

    def test_close_to_fp32_on_a_new_frame(self, applied: Quantized, source: Path, tmp_path: Path) -> None:
        (tmp_path / "typed.onnx").write_bytes(applied.model)
        feed = {"x": normal(77, 1, 3, 16, 16)}
        error = relative_l2(run(tmp_path / "typed.onnx", feed), run(source, feed))
        assert 0 < error < LIMITS["technique_relative_l2"]

    def test_same_frames_same_bytes(self, applied: Quantized, apply: Callable[[Job], Quantized], job: Job) -> None:
        progress = Counted()
        again = apply(replace(job, progress=progress, calibrations={}))  # what one job has seen is kept for the next
        assert again.model == applied.model
        assert again.record == applied.record
        assert [8, 8] in progress.steps
        assert all(done <= (total or done) for total, done in progress.steps)

    def test_record_is_json_and_counts_frames(self, name: str, applied: Quantized) -> None:
        assert json.loads(json.dumps(applied.record)) == applied.record
        assert applied.record["method"] == name
        assert applied.record["frames"] == 8

    def test_source_is_not_changed(self, applied: Quantized, source: Path) -> None:
        assert source.read_bytes() == fp32()
        assert [p.name for p in source.parent.iterdir()] == ["fp32.onnx"]

    def test_no_frame(self, apply: Callable[[Job], Quantized], job: Job) -> None:
        with pytest.raises(DataError, match="calibration set is empty"):
            apply(replace(job, frames=()))

    def test_nan_in_a_frame(self, apply: Callable[[Job], Quantized], job: Job) -> None:
        bad = {"x": np.full((1, 3, 16, 16), np.nan, np.float32)}
        with pytest.raises(ModelError, match="NaN"):
            apply(replace(job, frames=[*Frames(SHAPES, 2), bad]))

    def test_frame_of_another_shape(self, apply: Callable[[Job], Quantized], job: Job) -> None:
        with pytest.raises(ModelError, match="does not run on the calibration frames"):
            apply(replace(job, frames=Frames({"x": (1, 3, 8, 8)}, 2)))
