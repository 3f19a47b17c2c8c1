"""What sessions compute on any thread, and that an engine and its control are set alike."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.support.graphs import node, normal, write

from edgekit.engine import ort
from edgekit.runtime import denormals, processor

CONFIG = ort.Config(engine="ort")
SHAPE = (1, 16, 24, 24)
ONES = {"x": np.ones(SHAPE, np.float32)}


def tiny_conv(path: Path, weight: float = 1e-40) -> Path:
    """A convolution whose every output is a denormal number: zero exactly where denormals are flushed."""
    nodes = [node("Conv", "x w", "y", pads=[1, 1, 1, 1])]
    held = {"w": np.full((16, 16, 3, 3), weight, np.float32)}
    return write(path, nodes, [("x", SHAPE, "float32")], [("y", SHAPE, "float32")], held)


def engine_of(model: Path, config: ort.Config = CONFIG) -> ort.OrtEngine:
    target = model.with_name(f"{model.stem}{ort.Backend.suffix}")
    ort.Backend(config).build(model, target)
    return ort.Backend(config).engine(target)


@pytest.mark.skipif(not denormals.works(), reason="no switch for this processor or system")
class TestDenormals:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_zero_on_the_thread_that_asks(self, tmp_path: Path, threads: int) -> None:
        found: list[np.ndarray] = []
        with engine_of(tiny_conv(tmp_path / "m.onnx"), ort.Config(engine="ort", threads=threads)) as engine:
            found.append(engine.infer(ONES)["y"])
            other = threading.Thread(target=lambda: found.append(engine.infer(ONES)["y"]))
            other.start()
            other.join()
        assert [np.count_nonzero(y) for y in found] == [0, 0]

    def test_as_it_is_written_too(self, tmp_path: Path) -> None:
        with ort.reference(tiny_conv(tmp_path / "m.onnx"), CONFIG) as reference:
            assert not reference.infer(ONES)["y"].any()
            assert reference.describe()["denormals"] == "flushed to zero"

    @pytest.mark.parametrize("first", ["foreign", "ours"])
    def test_whoever_opens_the_first_session_of_the_process(self, tmp_path: Path, first: str) -> None:
        """ONNX Runtime sets the thread that opens the first session, once in a process: so in a new one."""
        model = tiny_conv(tmp_path / "m.onnx")
        code = f"""
import numpy as np, onnxruntime, torch
from pathlib import Path
from edgekit.engine import ort
ones = {{"x": np.ones({SHAPE}, np.float32)}}
if {first == "foreign"}:
    onnxruntime.InferenceSession({str(model)!r}, providers=["CPUExecutionProvider"])
with ort.reference(Path({str(model)!r})) as engine:
    assert not engine.infer(ones)["y"].any()
    assert (np.full(4, 1e-40, np.float32) * np.float32(1)).all()
    assert bool((torch.full((4,), 1e-40) * 1).all())
assert (np.full(4, 1e-40, np.float32) * np.float32(1)).all()
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_a_switch_that_was_on_before_stays_on(self, tmp_path: Path) -> None:
        with engine_of(tiny_conv(tmp_path / "m.onnx")) as engine, denormals.flushed():
            engine.infer(ONES)
            assert not (np.full(4, 1e-40, np.float32) * np.float32(1)).any()


def rounded(kind: str) -> tuple[list[Any], dict[str, np.ndarray], tuple[int, ...], tuple[int, ...]]:
    """Nodes and constants of an 8-bit layer whose products of neighbours are beyond 16 bits, input and output shape."""
    rng = np.random.default_rng(0)
    conv = kind == "Conv"
    weights = rng.integers(100, 127, (16, 32, 3, 3) if conv else (32, 16)).astype(np.int8)
    fan = 288 if conv else 32
    held = {
        "sx": np.float32(1 / 255), "zx": np.uint8(0), "w8": weights, "sw": np.full(16, 0.01, np.float32),
        "zw": np.zeros(16, np.int8), "sy": np.float32(fan * 1.3 / 255), "zy": np.uint8(0),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x sx zx", "xq"),
        node("DequantizeLinear", "xq sx zx", "xd"),
        node("DequantizeLinear", "w8 sw zw", "wd", axis=0 if conv else 1),
        node(kind, "xd wd", "c", **({"pads": [1, 1, 1, 1]} if conv else {})),
        node("QuantizeLinear", "c sy zy", "cq"),
        node("DequantizeLinear", "cq sy zy", "y"),
    ]
    return (nodes, held, (1, 32, 8, 8), (1, 16, 8, 8)) if conv else (nodes, held, (64, 32), (64, 16))


@pytest.mark.parametrize("kind", ["Conv", "MatMul"])
def test_sums_of_eight_bit_products_do_not_saturate(tmp_path: Path, kind: str) -> None:
    """Fails without the setting on an x86 processor without VNNI: vpmaddubsw adds two products in 16 bits."""
    nodes, held, given, made = rounded(kind)
    model = write(tmp_path / "m.onnx", nodes, [("x", given, "float32")], [("y", made, "float32")], held)
    feeds = {"x": np.random.default_rng(1).random(given, np.float32)}
    with ort.reference(model, CONFIG) as reference, engine_of(model) as engine:
        wanted, found = reference.infer(feeds)["y"], engine.infer(feeds)["y"]
    assert np.abs(found - wanted).max() <= 1.01 * held["sy"]  # one step of the output


@pytest.mark.parametrize("shared", ["weights", "zero points", "both"])
def test_layers_that_share_integers_are_built_too(tmp_path: Path, shared: str) -> None:
    """ONNX Runtime refuses such a model where it turns int8 weights to uint8 and finds the same name again."""
    rng = np.random.default_rng(0)
    held = {"s": np.float32(1 / 64), "z": np.uint8(128), "sw": np.float32(0.01)}
    nodes, last = [], "x"
    for at in range(3):
        weight, zero = ("w0" if shared != "zero points" else f"w{at}"), ("z0" if shared != "weights" else f"z{at}")
        held.setdefault(weight, rng.integers(-127, 127, (8, 8, 3, 3)).astype(np.int8))
        held.setdefault(zero, np.int8(0))
        nodes += [
            node("QuantizeLinear", f"{last} s z", f"q{at}"),
            node("DequantizeLinear", f"q{at} s z", f"d{at}"),
            node("DequantizeLinear", f"{weight} sw {zero}", f"f{at}"),
            node("Conv", f"d{at} f{at}", f"c{at}", pads=[1, 1, 1, 1]),
        ]
        last = f"c{at}"
    nodes += [node("QuantizeLinear", f"{last} s z", "q"), node("DequantizeLinear", "q s z", "y")]
    value = (1, 8, 12, 12)
    model = write(tmp_path / "m.onnx", nodes, [("x", value, "float32")], [("y", value, "float32")], held)
    feeds = {"x": rng.normal(0, 0.5, value).astype(np.float32)}
    with ort.reference(model, CONFIG) as reference, engine_of(model) as engine:
        wanted, found = reference.infer(feeds)["y"], engine.infer(feeds)["y"]
    assert np.abs(found - wanted).max() <= 0.25 * np.abs(wanted).max()
    assert np.abs(found - wanted).mean() <= held["s"]


@pytest.mark.parametrize(
    ("flags", "machine", "products"),
    [
        (["avx2"], "x86_64", "u8u8"),
        (["avx2", "avx512f"], "x86_64", "u8u8"),
        ([], "AMD64", "u8u8"),
        (["avx2", "avx_vnni"], "x86_64", None),
        (["avx2", "avx512f", "avx512_vnni"], "x86_64", None),
        (["asimddp"], "aarch64", None),
    ],
)
def test_the_fingerprint_says_how_eight_bits_are_multiplied(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], machine: str, products: str | None
) -> None:
    monkeypatch.setattr(processor, "instruction_sets", lambda: flags)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert ort.Backend(CONFIG).fingerprint().get("int8_products") == products


def settings_of(options: onnxruntime.SessionOptions) -> dict[str, object]:
    """Everything that a session option object has to say, paths left out."""
    public = [name for name in dir(options) if not name.startswith("_")]
    values = {name: getattr(options, name) for name in public}
    plain = {name: value for name, value in values.items() if not callable(value) and not name.endswith("filepath")}
    keys = [
        "session.set_denormal_as_zero", "session.x64quantprecision", "session.intra_op.allow_spinning",
        "session.intra_op_thread_affinities",
    ]  # fmt: skip
    return plain | {key: options.get_session_config_entry(key) for key in keys if _has(options, key)}


def _has(options: onnxruntime.SessionOptions, key: str) -> bool:
    try:
        options.get_session_config_entry(key)
    except RuntimeError:
        return False
    return True


def test_an_engine_and_its_control_are_set_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is the file: both when they are built and when they are opened."""
    real, seen = onnxruntime.InferenceSession, []

    def watched(model: str, options: onnxruntime.SessionOptions, **more: Mapping[str, object]) -> object:
        seen.append(settings_of(options) | more)
        return real(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    nodes, held, given, made = rounded("Conv")
    int8 = write(tmp_path / "int8.onnx", nodes, [("x", given, "float32")], [("y", made, "float32")], held)
    plain = [node("Conv", "x w", "y", pads=[1, 1, 1, 1])]
    weights = {"w": normal(0, 16, 32, 3, 3)}
    fp32 = write(tmp_path / "fp32.onnx", plain, [("x", given, "float32")], [("y", made, "float32")], weights)
    config = ort.Config(engine="ort", threads=2)
    described = []
    for model in (int8, fp32):
        with engine_of(model, config) as engine:
            described.append(engine.describe())
    built, opened, control_built, control_opened = seen
    assert built == control_built
    assert opened == control_opened
    assert described[0] == described[1]
    assert opened["session.set_denormal_as_zero"] == "1"
    assert (
        onnx.load(tmp_path / f"int8{ort.Backend.suffix}").graph.node[1].op_type != "Conv"
    )  # it is another kernel after all
