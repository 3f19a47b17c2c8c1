"""What every backend promises, run over each that works on this machine."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit import engine as engines
from edgekit.core import plugins
from edgekit.core.errors import EdgekitError, EnvironmentFault, InputError, TensorError
from edgekit.engine import Backend, Engine, EngineConfig, Probe, ThreadsConfig, target_of
from tests.support.graphs import node, normal, relative_l2, write

# The smallest section of a spec for each backend; a new one adds a line, one of another package has EXAMPLE itself.
EXAMPLES: dict[str, dict[str, Any]] = {"ort": {"engine": "ort"}, "ov": {"engine": "ov"}, "trt": {"engine": "trt"}}
LIMIT = json.loads((Path(__file__).parents[1] / "golden" / "contract.json").read_text())["engine_relative_l2"]
WEIGHT = normal(5, 4, 3, 3, 3, scale=0.3)


def reference(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network in NumPy: Relu(conv(image)) + offset, and the mean over height and width of it."""
    windows = np.lib.stride_tricks.sliding_window_view(feeds["image"], (3, 3), axis=(2, 3))
    features = np.maximum(np.einsum("nchwij,ocij->nohw", windows, WEIGHT), 0) + feeds["offset"]
    return {"features": features, "mean": features.mean(axis=(2, 3), keepdims=True)}


def feeds(seed: int) -> dict[str, np.ndarray]:
    return {"image": normal(seed, 1, 3, 10, 12), "offset": normal(seed + 100, 1, 4, 1, 1)}


def example_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = EXAMPLES.get(name, vars(plugins.load("engine", name)).get("EXAMPLE"))
    if found is None:
        pytest.fail(f"the backend {name!r} has no example; add one to EXAMPLES in {__file__}")
    return found


def config_of(name: str) -> EngineConfig:
    return target_of(example_of(name))


@pytest.fixture(scope="module", params=plugins.names("engine"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def backend(name: str) -> Backend:
    return engines.backend(config_of(name))


@pytest.fixture(scope="module")
def built(name: str, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine file, or a skip that says why there is none."""
    probes = backend.probe()
    if not any(p.works for p in probes):
        pytest.skip("; ".join(f"{p.name}: {p.detail}" for p in probes))
    try:
        backend.require()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    folder = tmp_path_factory.mktemp(name)
    nodes = [
        node("Conv", "image w", "c"),
        node("Relu", "c", "r"),
        node("Add", "r offset", "features"),
        node("GlobalAveragePool", "features", "mean"),
    ]
    inputs = [("image", (1, 3, 10, 12), "float32"), ("offset", (1, 4, 1, 1), "float32")]
    outputs = [("features", (1, 4, 8, 10), "float32"), ("mean", (1, 4, 1, 1), "float32")]
    source = write(folder / "source.onnx", nodes, inputs, outputs, {"w": WEIGHT})
    target = folder / f"built{backend.suffix}"
    backend.build(source, target)
    return target


@pytest.fixture
def engine(backend: Backend, built: Path) -> Iterator[Engine]:
    with backend.engine(built) as opened:
        yield opened


class TestBackend:
    def test_config(self, name: str, backend: Backend) -> None:
        config = backend.config
        field = type(config).model_fields["engine"].annotation
        assert get_origin(field) is Literal
        assert get_args(field) == (name,)
        with pytest.raises(ValidationError, match="frozen"):
            config.engine = "other"
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            target_of(example_of(name) | {"no_such_key": 1})
        assert target_of(json.loads(config.model_dump_json())) == config

    def test_form(self, name: str, backend: Backend) -> None:
        assert backend.suffix.startswith(".")
        assert inspect.getdoc(plugins.load("engine", name))
        for method, own in inspect.getmembers(type(backend), inspect.isfunction):
            if (wanted := vars(Backend).get(method)) is not None and not method.startswith("_"):
                wanted = wanted.__func__ if isinstance(wanted, staticmethod) else wanted
                assert list(inspect.signature(own).parameters) == list(inspect.signature(wanted).parameters), method

    def test_a_contender_takes_what_every_processor_is_told(self, name: str, backend: Backend) -> None:
        racing = {found.config.engine for found in engines.contenders(engines.AutoConfig(engine="auto")).here}
        assert name not in racing or backend.contends()
        if not backend.contends():
            return
        told = {"threads": 2, "pin": [0, 1], "precision": "int8"}
        bound = target_of({"engine": name} | told)
        assert isinstance(bound, ThreadsConfig)
        assert (bound.threads, bound.pin, bound.precision) == (2, (0, 1), "int8")
        assert engines.backend(bound).contends()

    def test_int8_has_a_control(self, backend: Backend) -> None:
        assert backend.control("int8") == backend.int8_control != "int8"
        assert backend.control("fp16") == "fp32"

    def test_facts_that_are_equal_are_the_same(self, backend: Backend) -> None:
        assert backend.same_fact("engine", "a", "a")
        assert not backend.same_fact("engine", "a", "b")

    def test_probe(self, backend: Backend) -> None:
        found = backend.probe()
        assert found
        for probe in found:
            assert isinstance(probe, Probe)
            assert probe.name
            assert probe.detail
            assert probe.works or probe.install, f"{probe.name} does not work and names no install line"

    def test_fingerprint(self, name: str, backend: Backend, built: Path) -> None:
        """Taken after the build, so that a machine without the backend skips."""
        found = backend.fingerprint()
        assert found == engines.backend(config_of(name)).fingerprint()
        assert found == json.loads(json.dumps(found))
        assert found["engine"] == name


class TestInfer:
    def test_interface(self, engine: Engine) -> None:
        assert [(s.name, s.shape, s.dtype) for s in engine.inputs] == [
            ("image", (1, 3, 10, 12), "float32"),
            ("offset", (1, 4, 1, 1), "float32"),
        ]
        assert [(s.name, s.shape) for s in engine.outputs] == [("features", (1, 4, 8, 10)), ("mean", (1, 4, 1, 1))]

    @pytest.mark.parametrize("seed", range(3))
    def test_computes_the_network(self, engine: Engine, seed: int) -> None:
        found = engine.infer(feeds(seed))
        for name, value in reference(feeds(seed)).items():
            assert found[name].dtype == np.float32
            assert found[name].shape == value.shape
            assert relative_l2(found[name], value) < LIMIT

    def test_same_feeds_same_bits(self, engine: Engine) -> None:
        first = engine.infer(feeds(1))
        engine.infer(feeds(2))
        for name, value in engine.infer(feeds(1)).items():
            np.testing.assert_array_equal(value, first[name])

    def test_outputs_belong_to_the_caller(self, engine: Engine) -> None:
        held = [engine.infer(feeds(seed)) for seed in range(8)]
        kept = copy.deepcopy(held)
        held[0]["mean"][:] = 7
        for seed in range(8, 16):
            engine.infer(feeds(seed))
        assert (held[0]["mean"] == 7).all()
        for now, then in zip(held[1:], kept[1:], strict=True):
            np.testing.assert_array_equal(now["features"], then["features"])
            np.testing.assert_array_equal(now["mean"], then["mean"])

    def test_feeds_are_not_changed(self, engine: Engine) -> None:
        given = feeds(4)
        engine.infer(given)
        for name, value in feeds(4).items():
            np.testing.assert_array_equal(given[name], value)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"image": None}, r"missing input 'image'; expected image: float32\[1, 3, 10, 12\]"),
            ({"mask": np.zeros(1)}, r"unknown input 'mask'; expected image"),
            (
                {"image": normal(0, 1, 3, 12, 10)},
                r"'image' has shape \[1, 3, 12, 10\]; expected image: float32\[1, 3, 10",
            ),
            ({"offset": np.zeros((1, 4, 1, 1))}, "'offset' has dtype float64; expected float32"),
        ],
    )
    def test_wrong_feeds(self, engine: Engine, change: dict[str, Any], message: str) -> None:
        wrong = {k: v for k, v in (feeds(0) | change).items() if v is not None}
        with pytest.raises(TensorError, match=message):
            engine.infer(wrong)
        assert relative_l2(engine.infer(feeds(0))["mean"], reference(feeds(0))["mean"]) < LIMIT


class TestLifecycle:
    def test_closed_before_and_after(self, backend: Backend, built: Path) -> None:
        engine = backend.engine(built)
        for _ in range(2):
            with pytest.raises(InputError, match="is not open"):
                engine.infer(feeds(0))
            with engine as entered:
                assert entered is engine
                engine.infer(feeds(0))
        with pytest.raises(InputError, match="is not open"):
            engine.infer(feeds(0))

    def test_opening_and_closing_twice_does_nothing(self, backend: Backend, built: Path) -> None:
        engine = backend.engine(built)
        engine.close()
        assert engine.open() is engine
        assert engine.open() is engine
        engine.infer(feeds(0))
        with engine:  # the end of the block closes it, whoever opened it
            engine.infer(feeds(0))
        engine.close()
        with pytest.raises(InputError, match=r"is not open.* or call open\(\) first"):
            engine.infer(feeds(0))
        with pytest.raises(InputError, match="is not open"):
            engine.profile_layers(feeds(0), 1)
        with engine.open():
            assert relative_l2(engine.infer(feeds(0))["mean"], reference(feeds(0))["mean"]) < LIMIT

    def test_description_is_json(self, name: str, engine: Engine) -> None:
        facts = engine.describe()
        assert json.loads(json.dumps(facts)) == facts
        assert facts["engine"] == name
        assert facts["version"]

    def test_damaged_file(self, backend: Backend, built: Path, tmp_path: Path) -> None:
        broken = tmp_path / f"broken{backend.suffix}"
        broken.write_bytes(b"\0" + built.read_bytes()[: built.stat().st_size // 2])
        with pytest.raises(EdgekitError, match="broken"), backend.engine(broken):
            pass

    def test_build_refuses_what_is_no_model(self, backend: Backend, built: Path, tmp_path: Path) -> None:
        source, target = tmp_path / "text.onnx", tmp_path / f"out{backend.suffix}"
        source.write_text("not a model")
        with pytest.raises(InputError, match=r"text\.onnx"):
            backend.build(source, target)
        assert list(tmp_path.iterdir()) == [source]

    def test_build_is_deterministic(self, backend: Backend, built: Path, tmp_path: Path) -> None:
        again = tmp_path / built.name
        backend.build(built.with_name("source.onnx"), again)
        assert again.read_bytes() == built.read_bytes()
