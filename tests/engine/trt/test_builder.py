"""Small engines, built by TensorRT for RTX for GPUs that are not here; options, progress, interruption, refusals."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.graphs import convnet, node, normal, write
from tests.support.waiting import PATIENCE_S

from edgekit.core.errors import BundleError, EnvironmentFault, InputError, MissingRequirement, ModelError
from edgekit.engine import trt
from edgekit.engine.trt import bindings, builder, guard, tracking
from edgekit.engine.trt.bindings import Api
from edgekit.engine.trt.guard import Machine

NOWHERE = Machine("tensorrt-rtx", "1.7.1.116", None, None, None, None)
KEYS: dict[str, Any] = {"engine": "trt", "compute_capability": "8.9"}


def config(**keys: Any) -> trt.Config:
    return trt.Config.model_validate(KEYS | keys)


@pytest.fixture
def api() -> Api:
    try:
        found = bindings.load()
    except MissingRequirement as missing:
        pytest.skip(str(missing))
    if found.flavour != "tensorrt-rtx":
        pytest.skip("these builds need no GPU with TensorRT for RTX only")
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return convnet(tmp_path / "fp32.onnx")


def dynamic(path: Path) -> Path:
    nodes = [node("Conv", "image w", "c"), node("Relu", "c", "r")]
    value = ("image", ("batch", 3, 10, 12), "float32")
    return write(path, nodes, [value], [("r", ("batch", 4, 8, 10), "float32")], {"w": normal(5, 4, 3, 3, 3)})


class TestBuild:
    def test_engine_and_facts(self, api: Api, source: Path) -> None:
        target = source.with_name(f"fp32{trt.Backend.suffix}")
        trt.Backend(config(optimization_level=2, max_aux_streams=0, workspace_mib=64)).build(source, target)
        facts = guard.read(target)
        assert (facts.flavour, facts.tensorrt, facts.compute_capability) == (api.flavour, api.version, "8.9")
        assert facts.options["optimization_level"] == 2
        assert set(facts.options).isdisjoint(builder.RUNTIME_KEYS)
        assert sorted(p.name for p in source.parent.iterdir()) == ["fp32.engine", "fp32.engine.json", "fp32.onnx"]
        here = replace(NOWHERE, flavour=api.flavour, tensorrt=api.version, compute_capability="8.9", cuda="13.0")
        guard.check(target, here)
        with pytest.raises(BundleError, match=r"the engine has 8\.9, this machine no GPU"):
            guard.check(target, replace(here, compute_capability=None))

    def test_same_model_same_bytes(self, api: Api, source: Path) -> None:
        made = []
        for name in ("a.engine", "b.engine"):
            trt.Backend(config()).build(source, source.with_name(name))
            made.append(source.with_name(name).read_bytes())
        assert made[0] == made[1]

    @pytest.mark.parametrize("device", ["rtx-30", "rtx-40", "rtx-50"])
    def test_devices(self, api: Api, source: Path, device: str) -> None:
        target = source.with_name("x.engine")
        trt.Backend(trt.Config(engine="trt", device=device)).build(source, target)
        assert guard.read(target).device is None

    def test_profiles(self, api: Api, tmp_path: Path) -> None:
        source, target = dynamic(tmp_path / "m.onnx"), tmp_path / "m.engine"
        shapes = [{"image": {"min": [1, 3, 10, 12], "opt": [n, 3, 10, 12], "max": [4, 3, 10, 12]}} for n in (1, 4)]
        trt.Backend(config(profiles=shapes)).build(source, target)
        assert len(guard.read(target).options["profiles"]) == 2
        trt.Backend(config()).build(source, target)

    @pytest.mark.parametrize(
        ("profile", "message"),
        [
            (
                {"image": [[1, 3, 9, 12]] * 3},
                r"'image' is \['any', 3, 10, 12\] in the model; found min \(1, 3, 9, 12\)",
            ),
            ({"image": [[1, 3, 10]] * 3}, "found min"),
            ({"picture": [[1]] * 3}, "the dynamic input 'image' has no shapes"),
            ({"image": [[1, 3, 10, 12]] * 3, "mask": [[1]] * 3}, "no dynamic input 'mask'; expected image"),
        ],
    )
    def test_profiles_that_do_not_fit(self, api: Api, tmp_path: Path, profile: dict[str, Any], message: str) -> None:
        source = dynamic(tmp_path / "m.onnx")
        given = {name: dict(zip(("min", "opt", "max"), shapes, strict=True)) for name, shapes in profile.items()}
        with pytest.raises(InputError, match=message):
            trt.Backend(config(profiles=[given])).build(source, tmp_path / "m.engine")
        assert list(tmp_path.iterdir()) == [source]

    def test_profiles_of_a_fixed_model(self, api: Api, source: Path) -> None:
        shape = {"min": [1, 3, 16, 16], "opt": [1, 3, 16, 16], "max": [1, 3, 16, 16]}
        with pytest.raises(ModelError, match="every input has a fixed shape"):
            trt.Backend(config(profiles=[{"x": shape}])).build(source, source.with_name("x.engine"))

    def test_unsupported_operator(self, api: Api, tmp_path: Path) -> None:
        nodes = [node("Relu", "x", "r"), node("Unique", "r", "u")]
        path = write(tmp_path / "m.onnx", nodes, [("x", (1, 4), "float32")], [("u", (None,), "float32")])
        with pytest.raises(ModelError, match=r"node 'Unique_u': operator Unique of opset 17"):
            trt.Backend(config()).build(path, tmp_path / "m.engine")

    def test_no_model(self, api: Api, tmp_path: Path) -> None:
        path = tmp_path / "text.onnx"
        path.write_text("not a model")
        with pytest.raises(ModelError, match=r"text\.onnx"):
            trt.Backend(config()).build(path, tmp_path / "m.engine")
        assert list(tmp_path.iterdir()) == [path]


def test_a_stripped_engine_has_its_weights_beside_it(
    api: Api, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, build = tmp_path / "fp32.engine", builder.build

    def whole(api: Api, machine: Machine, source: Path, config: trt.Config, progress: Any) -> Any:
        # TensorRT for RTX strips weights only where there is a GPU.
        return build(api, machine, source, config.model_copy(update={"weight_stripped": False}), progress)

    monkeypatch.setattr(builder, "build", whole)
    trt.Backend(config(weight_stripped=True)).build(source, engine)
    found = guard.weights_of(engine, guard.read(engine))
    assert found == tmp_path / "fp32.onnx"
    assert found.read_bytes() == source.read_bytes()


class TestRefusals:
    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"device": "orin-agx-64gb", "compute_capability": None}, "has 8.7; build where it runs: host: user@board"),
            ({"compute_capability": None}, "there is no NVIDIA GPU here to build for"),
            ({"hardware_compatible": True}, "TensorRT for RTX has no hardware_compatible"),
            ({"timing_cache": "t.cache"}, "TensorRT for RTX has no timing_cache"),
        ],
    )
    def test_before_any_work(self, api: Api, keys: dict[str, Any], message: str) -> None:
        machine = replace(NOWHERE, tensorrt=api.version)
        with pytest.raises(EnvironmentFault, match=message):
            builder.refuse(api, machine, config(**keys))

    def test_a_library_too_old_for_the_device(self) -> None:
        old = Api(SimpleNamespace(), "tensorrt", "8.6.2")
        with pytest.raises(EnvironmentFault, match=r"needs TensorRT 10\.3 or later; found 8\.6\.2"):
            builder.refuse(old, NOWHERE, trt.Config(engine="trt", device="orin-nx-8gb"))

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"device": "orin-agx-64gb", "precision": "fp8"}, "has no FP8 kernels"),
            ({"device": "orin-nano-8gb", "dla_core": 0}, "has no DLA"),
            ({"device": "orin-agx"}, "'orin-agx' is unknown; did you mean 'orin-agx-"),
            ({"host": "board"}, "host"),
            ({"host": "-oProxyCommand=x@y"}, "host"),
            ({"profiles": [{"x": {"min": [2], "opt": [1], "max": [4]}}]}, "expected min <= opt <= max"),
            ({"profiles": [{"x": {"min": [2], "opt": [1, 2], "max": [4]}}]}, "the same rank"),
            ({"host": "user@board", "weight_stripped": True}, "the weights stay here, but a host runs the engine"),
            ({"dla_core": 0, "weight_stripped": True}, "the DLA's loadables hold their weights"),
            ({"memory": "pycuda"}, "set cuda_graph: false, or memory: cuda-python"),
            ({"optimization_level": 6}, "less than or equal to 5"),
        ],
    )
    def test_in_the_spec(self, keys: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            trt.Config.model_validate({"engine": "trt"} | keys)


class TestProgress:
    def test_one_bar_to_its_end(self, api: Api, source: Path) -> None:
        seen: list[int | None] = []

        class Counting:
            count = 0

            @contextlib.contextmanager
            def track(self, title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
                seen.append(total)
                yield self.step

            def step(self) -> None:
                self.count += 1

        progress = Counting()
        trt.Backend(config()).build(source, source.with_name("x.engine"), progress)
        assert (seen, progress.count) == ([tracking.PARTS], tracking.PARTS)

    def test_an_interrupted_build_leaves_nothing(self, api: Api, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What Ctrl-C does, without a signal: the waiting thread gets KeyboardInterrupt while the builder works."""
        stopped: list[bool] = []

        def interrupted(work: Callable[[], Any], cancelled: threading.Event) -> Any:
            cancelled.set()
            stopped.append(work() is None)
            raise KeyboardInterrupt

        monkeypatch.setattr(tracking, "interruptible", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trt.Backend(config()).build(source, source.with_name("x.engine"))
        assert stopped == [True]
        assert list(source.parent.iterdir()) == [source]

    def test_work_ends_before_the_interruption_is_passed_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cancelled, ended = threading.Event(), threading.Event()

        def work() -> None:
            assert cancelled.wait(PATIENCE_S)
            ended.set()

        class Interrupted(tracking.ThreadPoolExecutor):
            def submit(self, *args: Any, **keys: Any) -> Any:
                super().submit(*args, **keys)
                return SimpleNamespace(result=_interrupt)

        monkeypatch.setattr(tracking, "ThreadPoolExecutor", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracking.interruptible(work, cancelled)
        assert ended.is_set()

    @given(st.recursive(st.integers(1, 5), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=12))
    def test_never_back_and_full_at_the_end(self, tree: Any) -> None:
        shown: list[int] = []
        share = tracking.Share(lambda: shown.append(1))
        _run(share, tree, "root", None)
        assert len(shown) == tracking.PARTS


def _run(share: tracking.Share, tree: Any, name: str, parent: str | None) -> None:
    """A phase with one step for each child, as a builder would report it."""
    children = tree if isinstance(tree, list) else [None] * tree
    share.start(name, parent, len(children))
    for step, child in enumerate(children):
        if child is not None:
            _run(share, child, f"{name}.{step}", name)
        share.step(name, step)
    share.finish(name)


def _interrupt() -> None:
    raise KeyboardInterrupt


class FakeCache:
    """A timing cache as a set of names."""

    def __init__(self, content: bytes) -> None:
        self.names = set(content.decode().split())

    def combine(self, other: FakeCache, ignore_mismatch: bool) -> bool:
        self.names |= other.names
        return not ignore_mismatch

    def serialize(self) -> bytes:
        return " ".join(sorted(self.names)).encode()


class TestTimingCache:
    SETTINGS = SimpleNamespace(create_timing_cache=FakeCache, set_timing_cache=lambda cache, ignore: True)

    def test_merged_with_what_another_build_wrote(self, tmp_path: Path) -> None:
        file = tmp_path / "orin.cache"
        file.write_text("a")
        cache = builder._attach_cache(self.SETTINGS, file)
        cache.names.add("b")
        file.write_text("a c")
        builder._keep_cache(self.SETTINGS, cache, file)
        assert file.read_text() == "a b c"

    def test_of_another_device(self, tmp_path: Path) -> None:
        settings = SimpleNamespace(create_timing_cache=FakeCache, set_timing_cache=lambda cache, ignore: False)
        with pytest.raises(BundleError, match="not a timing cache of this TensorRT and device"):
            builder._attach_cache(settings, tmp_path / "orin.cache")

    def test_named_after_device_and_version(self) -> None:
        orin = Machine("tensorrt", "10.3.0", "12.6", "8.7", "Orin (nvgpu)", None)
        assert builder.cache_path(Path("c/t.cache"), orin).name == "t.tensorrt-10.3.0.orin-nvgpu.cache"


class TestOldPath:
    """TensorRT before 10.12: weakly typed, with the precision flags of the types in the model."""

    def test_flags(self, tmp_path: Path) -> None:
        nodes = [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("Cast", "d", "h", to=10),
            node("Add", "h half", "y"),
        ]
        weights = {"s": np.float32(0.1), "z": np.int8(0), "half": np.ones(4, np.float16)}
        path = write(tmp_path / "m.onnx", nodes, [("x", (4,), "float32")], [("y", (4,), "float16")], weights)
        assert builder.precision_flags(path) == ["INT8", "FP16"]
        assert builder.precision_flags(convnet(path)) == []

    def test_chosen_by_what_the_library_has(self) -> None:
        flag = SimpleNamespace(STRONGLY_TYPED=1)
        old = SimpleNamespace(BuilderFlag=SimpleNamespace(FP16=1), NetworkDefinitionCreationFlag=flag)
        newer = SimpleNamespace(**vars(old), DataType=SimpleNamespace(E8M0=1))
        typed = SimpleNamespace(BuilderFlag=SimpleNamespace())
        flags = [builder.network_flags(Api(m, "tensorrt", "x")) for m in (old, newer, typed)]
        assert flags == [0, 2, 0]


def test_a_probe_builds(api: Api) -> None:
    found = trt.Backend.probe()
    assert found[0].name == "trt/build"
    assert found[0].works
