"""Memory of engines, measured in real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bundle import open_bundle
from edgekit.core.errors import CheckFailed, InputError
from edgekit.engine import ort
from edgekit.profiling import _child, measure_memory
from tests.support.graphs import node, normal, write
from tests.support.keeping_engine import install_keeping_engine

FEEDS = {"x": np.zeros((1, 4), np.float32)}


def test_memory_of_an_engine(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    config = bundle.contents.engine.model_dump(mode="json")
    feeds = {"image": np.zeros((1, 3, 32, 48), np.float32)}
    memory = measure_memory(bundle.path / bundle.contents.candidate.file, config, feeds)
    assert memory["peak_rss"] == pytest.approx(memory["imports"] + memory["engine"])
    assert memory["imports"] > 20  # Python, NumPy and ONNX Runtime
    assert 0 < memory["engine"] < 100
    assert 0 < memory["opened"] <= memory["engine"]
    assert memory["opened"] + memory["activations"] <= memory["engine"] + 0.5
    assert 0 < memory["pss"] <= memory["peak_rss"] + 0.5
    assert 1 <= memory["arena"] < 64  # the first block is 1 MiB
    assert "device" not in memory
    assert "device_arena" not in memory


def test_memory_of_an_engine_counts_its_weights(tmp_path: Path) -> None:
    weight = np.ones((2048, 6144), np.float32)
    nodes = [node("MatMul", "x w", "y")]
    inputs, outputs = [("x", (1, 2048), "float32")], [("y", (1, 6144), "float32")]
    engine = tmp_path / "big.ort.onnx"
    ort.Backend(ort.Config(engine="ort")).build(
        write(tmp_path / "m.onnx", nodes, inputs, outputs, {"w": weight}), engine
    )
    memory = measure_memory(engine, {"engine": "ort"}, {"x": np.ones((1, 2048), np.float32)}, queries=2)
    mib = weight.nbytes / 2**20
    assert 0.9 * mib < memory["engine"] < 4 * mib
    assert 0.9 * mib < memory["opened"] <= memory["engine"]
    assert memory["activations"] < 0.2 * mib


def test_the_arena_is_what_activations_need(tmp_path: Path) -> None:
    """Two tensors of 24 MiB live at once; later queries take no second block."""
    nodes = [node("Add", "x w", "a"), node("Exp", "a", "b"), node("ReduceSum", "b", "y", keepdims=1)]
    inputs, outputs = [("x", (6144, 1), "float32")], [("y", (1, 1), "float32")]
    source = write(tmp_path / "m.onnx", nodes, inputs, outputs, {"w": normal(1, 1, 1024)})
    engine = tmp_path / "m.ort.onnx"
    ort.Backend(ort.Config(engine="ort")).build(source, engine)
    memory = measure_memory(engine, {"engine": "ort"}, {"x": np.ones((6144, 1), np.float32)}, queries=2)
    assert 48 <= memory["activations"] < 56
    assert 48 <= memory["arena"] < 128  # powers of two


def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **config: Any) -> dict[str, float]:
    install_keeping_engine(tmp_path / "site", monkeypatch)
    return measure_memory(tmp_path / "e", {"engine": "keeping"} | config, FEEDS, queries=10)


def test_scratch_memory_of_a_query_is_activation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = keeping(tmp_path, monkeypatch, mib_a_query=32)
    assert memory["activations"] == pytest.approx(32, abs=3)
    assert memory["opened"] < 3
    assert memory["engine"] == pytest.approx(32, abs=3)


def test_what_stays_of_a_query_is_in_the_proportional_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keeping(tmp_path / "a", monkeypatch, kib_a_query=4096)
    empty = keeping(tmp_path / "b", monkeypatch)
    assert kept["pss"] - empty["pss"] == pytest.approx(40, abs=4)


def test_an_engine_on_a_device_reports_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeping(tmp_path, monkeypatch, device_mib=12.5)["device"] == 12.5


def test_an_engine_that_prints_does_not_spoil_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeping(tmp_path, monkeypatch, says="{} loaded")["peak_rss"] > 0


def test_memory_process_that_dies_is_reported(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    config = bundle.contents.engine.model_dump(mode="json")
    with pytest.raises(CheckFailed, match=r"memory of int8.ort.onnx ended with 1: .*missing input 'image'"):
        measure_memory(bundle.path / bundle.contents.candidate.file, config, {})


def test_a_kernel_that_does_not_tell_is_named() -> None:
    with pytest.raises(InputError, match="has no VmNothing"):
        _child.status_mib("VmNothing")
    with pytest.raises(InputError, match=r"/proc/self/nothing: .*Linux 4\.14 or newer"):
        _child._kib("nothing", "Pss")
