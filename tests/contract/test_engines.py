"""What every backend promises, run over each that works on this machine."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core import plugins
from edgekit.core.errors import EdgekitError, EnvironmentFault, InputError, TensorError
from edgekit.engine import Engine, EngineConfig, Probe
from tests.support.graphs import node, normal, relative_l2, write

# The smallest section of a spec for each backend; a new backend adds a line.
EXAMPLES: dict[str, dict[str, Any]] = {"ort": {"engine": "ort"}, "trt": {"engine": "trt"}}
LIMIT = json.loads((Path(__file__).parents[1] / "golden" / "contract.json").read_text())["engine_relative_l2"]
WEIGHT = normal(5, 4, 3, 3, 3, scale=0.3)


def reference(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network in NumPy: Relu(conv(image)) + offset, and the mean over height and width of it."""
    windows = np.lib.stride_tricks.sliding_window_view(feeds["image"], (3, 3), axis=(2, 3))
    features = np.maximum(np.einsum("nchwij,ocij->nohw", windows, WEIGHT), 0) + feeds["offset"]
    return {"features": features, "mean": features.mean(axis=(2, 3), keepdims=True)}


def feeds(seed: int) -> dict[str, np.ndarray]:
    return {"image": normal(seed, 1, 3, 10, 12), "offset": normal(seed + 100, 1, 4, 1, 1)}


def config_of(module: ModuleType, name: str) -> Any:
    if name not in EXAMPLES:
        pytest.fail(f"the backend {name!r} has no example; add one to EXAMPLES in {__file__}")
    return module.Config.model_validate(EXAMPLES[name])


@pytest.fixture(scope="module", params=plugins.names("engine"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def module(name: str) -> ModuleType:
    return plugins.load("engine", name)


@pytest.fixture(scope="module")
def built(name: str, module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine file, or a skip that says why there is none."""
    config = config_of(module, name)
    probes = module.probe()
    if not any(p.works for p in probes):
        pytest.skip("; ".join(f"{p.name}: {p.detail}" for p in probes))
    try:
        module.require(config)
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
    target = folder / f"built{module.SUFFIX}"
    module.build(source, target, config)
    return target


@pytest.fixture
def engine(name: str, module: ModuleType, built: Path) -> Iterator[Engine]:
    with module.open(built, config_of(module, name)) as opened:
        yield opened


class TestModule:
    def test_config(self, name: str, module: ModuleType) -> None:
        assert issubclass(module.Config, EngineConfig)
        field = module.Config.model_fields["engine"].annotation
        assert get_origin(field) is Literal
        assert get_args(field) == (name,)
        config = config_of(module, name)
        with pytest.raises(ValidationError, match="frozen"):
            config.engine = "other"
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            module.Config.model_validate(EXAMPLES[name] | {"no_such_key": 1})
        assert module.Config.model_validate(json.loads(config.model_dump_json())) == config

    def test_functions(self, module: ModuleType) -> None:
        wanted = {
            "build": ["source", "target", "config", "progress"],
            "open": ["path", "config"],
            "require": ["config"],
            "fingerprint": ["config"],
        }
        for function, parameters in wanted.items():
            assert list(inspect.signature(getattr(module, function)).parameters)[: len(parameters)] == parameters
        assert inspect.getdoc(module)
        assert module.SUFFIX.startswith(".")

    def test_probe(self, module: ModuleType) -> None:
        found = module.probe()
        assert found
        for probe in found:
            assert isinstance(probe, Probe)
            assert probe.name
            assert probe.detail
            assert probe.works or probe.install, f"{probe.name} does not work and names no install line"

    def test_fingerprint(self, name: str, module: ModuleType, built: Path) -> None:
        """Taken after the build, so that a machine without the backend skips."""
        found = module.fingerprint(config_of(module, name))
        assert found == module.fingerprint(config_of(module, name))
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
    def test_closed_before_and_after(self, name: str, module: ModuleType, built: Path) -> None:
        engine = module.open(built, config_of(module, name))
        for _ in range(2):
            with pytest.raises(InputError, match="is not open"):
                engine.infer(feeds(0))
            with engine as entered:
                assert entered is engine
                engine.infer(feeds(0))
        with pytest.raises(InputError, match="is not open"):
            engine.infer(feeds(0))

    def test_closing_twice_does_nothing(self, name: str, module: ModuleType, built: Path) -> None:
        engine = module.open(built, config_of(module, name))
        engine.__exit__(None, None, None)
        engine.__enter__()
        engine.__enter__()
        engine.infer(feeds(0))
        engine.__exit__(None, None, None)
        engine.__exit__(None, None, None)
        with pytest.raises(InputError, match="is not open"):
            engine.infer(feeds(0))

    def test_description_is_json(self, name: str, engine: Engine) -> None:
        facts = engine.describe()
        assert json.loads(json.dumps(facts)) == facts
        assert facts["engine"] == name
        assert facts["version"]

    def test_damaged_file(self, name: str, module: ModuleType, built: Path, tmp_path: Path) -> None:
        broken = tmp_path / f"broken{module.SUFFIX}"
        broken.write_bytes(b"\0" + built.read_bytes()[: built.stat().st_size // 2])
        with pytest.raises(EdgekitError, match="broken"), module.open(broken, config_of(module, name)):
            pass

    def test_build_refuses_what_is_no_model(self, name: str, module: ModuleType, built: Path, tmp_path: Path) -> None:
        source, target = tmp_path / "text.onnx", tmp_path / f"out{module.SUFFIX}"
        source.write_text("not a model")
        with pytest.raises(InputError, match=r"text\.onnx"):
            module.build(source, target, config_of(module, name))
        assert list(tmp_path.iterdir()) == [source]

    def test_build_is_deterministic(self, name: str, module: ModuleType, built: Path, tmp_path: Path) -> None:
        again = tmp_path / built.name
        module.build(built.with_name("source.onnx"), again, config_of(module, name))
        assert again.read_bytes() == built.read_bytes()
