"""Builds and runs on a board: a real OpenSSH server, a ``trtexec`` that prints real lines, this edgekit as its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import remote
from edgekit.core.errors import BundleError, EdgekitError, EnvironmentFault, ModelError, OutputError, SpecError
from edgekit.core.progress import Silent
from edgekit.engine import ort, trt
from edgekit.engine.trt import guard
from edgekit.onnxfile.interface import read_interface
from edgekit.remote import Board
from edgekit.remote import board as looks
from edgekit.stats.faster import EACH, OPENINGS
from tests.support.graphs import convnet, normal
from tests.support.loopback import HOST, Loopback, ended
from tests.support.waiting import until

VERSIONS = ("10.3.0", "10.16.0", "11.1.0")


class Steps(Silent):
    """Remembers what a person would see."""

    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {}

    @contextmanager
    def track(self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0) -> Iterator[Any]:
        counts = self.seen.setdefault(title, [total or 0, 0])

        def advance() -> None:
            counts[1] += 1

        yield advance


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convnet(tmp_path_factory.mktemp("model") / "int8.onnx")


def config(**keys: Any) -> trt.Config:
    return trt.Config.model_validate({"engine": "trt", "host": HOST} | keys)


def built(model: Path, folder: Path, target: trt.Config) -> Path:
    engine = folder / "int8.engine"
    Board(HOST, target).build(model, engine)
    return engine


def refused(model: Path, folder: Path, board: Loopback, kind: type[EdgekitError], words: str, **keys: Any) -> str:
    """The error of a build that must leave nothing, here or there."""
    (folder / "out").mkdir()
    with pytest.raises(kind, match=words) as caught:
        built(model, folder / "out", config(**keys))
    assert list((folder / "out").iterdir()) == []
    assert board.left() == []
    return str(caught.value)


class TestTrtexec:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_all_comes_back(self, board: Loopback, model: Path, tmp_path: Path, version: str) -> None:
        board.trtexec(version)
        steps, target = Steps(), config(device="orin-agx-64gb") if version == "10.3.0" else config()
        engine = tmp_path / "out" / "int8.engine"
        Board(HOST, target, steps).build(model, engine)
        made = {file.name.removeprefix("int8.engine") for file in engine.parent.iterdir()}
        extra = {".cache", ".json", ".layers.json", ".log", ".profile.json", ".remote.json", ".summary.json"}
        assert made == {"", *extra}
        assert board.left() == []
        summary = json.loads(engine.with_name("int8.engine.summary.json").read_text())
        assert summary["numbers"] == {"build_s": 39.5, "engine_mib": 2.53, "throughput_hz": 234.19}
        assert summary["times_ms"]["gpu"]["p99"] == 4.25
        assert steps.seen[f"build on {HOST}"] == [4, 4]
        assert {f"copy to {HOST}", f"copy from {HOST}", f"look at {HOST}"} < set(steps.seen)
        self.check_outputs(model, engine, target)
        assert board.left() == []

    def check_outputs(self, model: Path, engine: Path, target: trt.Config) -> None:
        """The engine runs on the board, and computes what the model says."""
        feeds = {"x": normal(7, 1, 3, 16, 16)}
        with ort.reference(model) as reference:
            wanted = reference.infer(feeds)
            interface = (reference.inputs, reference.outputs)
        with Board(HOST, target).engine(engine) as opened:
            assert (opened.inputs, opened.outputs) == interface
            np.testing.assert_allclose(opened.infer(feeds)["y"], wanted["y"], rtol=1e-5, atol=1e-5)
            assert opened.describe() == {"engine": "trt", "host": HOST, "by": "trtexec"}

    def test_the_guard_knows_the_board(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.16.0")
        engine = built(model, tmp_path, config(workspace_mib=512))
        facts = guard.read(engine)
        assert (facts.tensorrt, facts.compute_capability, facts.device) == ("10.16.0.72", "8.7", "Orin")
        assert facts.options["workspace_mib"] == 512
        there = guard.Machine("tensorrt", "10.16.0.72", facts.cuda, "8.7", "Orin", None)
        assert guard.check(engine, there) == facts
        other = guard.Machine("tensorrt", "10.3.0", facts.cuda, "8.7", "Orin", None)
        with pytest.raises(BundleError, match=r"10\.16.*10\.3"):
            guard.check(engine, other)

    def test_fingerprint_is_that_of_the_backend_there(self, board: Loopback) -> None:
        board.trtexec("10.3.0")
        assert Board(HOST, config()).fingerprint() == {
            "engine": "trt",
            "flavour": "tensorrt",
            "tensorrt": "10.3.0",
            "compute_capability": "8.7",
        }

    def test_the_timing_cache_travels(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec()
        target = config(timing_cache=tmp_path / "orin.cache")
        kept = tmp_path / "orin.tensorrt-10.3.0.orin.cache"
        for times in (1, 2):
            (tmp_path / str(times)).mkdir()
            built(model, tmp_path / str(times), target)
            assert kept.read_bytes() == b"measured;" * times

    def test_out_of_memory_is_not_a_missing_kernel(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.3.0", "memory")
        message = refused(model, tmp_path, board, EnvironmentFault, "ran out of device memory", workspace_mib=64)
        assert message.startswith(f"int8.onnx on {HOST}: ")
        assert "{ForeignNode[/1/Constant_36_output_0.../1/Slice_4]}" in message

    def test_a_missing_kernel(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("11.1.0", "no_kernel")
        refused(model, tmp_path, board, ModelError, r"no kernel for node /backbone/conv1/Conv in")

    def test_an_unsupported_operator_is_named(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.16.0", "unsupported")
        message = refused(model, tmp_path, board, ModelError, "does not take node '/head/dcn/DeformConv'")
        assert "operator DeformConv of opset 17" in message

    def test_a_full_disk(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.3.0", "disk")
        refused(model, tmp_path, board, OutputError, rf"{HOST}: the engine could not be saved there: the disk is full")

    def test_killed_there(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.3.0", "killed")
        refused(model, tmp_path, board, EnvironmentFault, "was killed there, most likely for want of memory")

    def test_ctrl_c_ends_the_build_there(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.3.0", "hang")
        script = (
            "import signal, sys; from pathlib import Path\n"
            "from edgekit.engine import trt; from edgekit.remote import Board\n"
            # A shell starts what runs in its background with Ctrl-C ignored, these tests too.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"target = trt.Config(engine='trt', host={HOST!r})\n"
            "Board(target.host, target).build(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        )
        command = [sys.executable, "-c", script, str(model), str(tmp_path / "out" / "int8.engine")]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until(board.running.exists)
        child.send_signal(signal.SIGINT)
        try:
            assert "KeyboardInterrupt" in child.communicate(timeout=60)[1]
        finally:
            child.kill()  # the board would be left busy for the next test
        assert list((tmp_path / "out").iterdir()) == []
        assert board.left() == []
        until(lambda: ended(int(board.running.read_text())))

    def test_no_driver_there(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("10.3.0", "no_gpu")
        refused(
            model, tmp_path, board, EnvironmentFault, "trtexec finds no GPU there: Cuda failure: CUDA driver version"
        )

    def test_another_gpu_than_the_target_names(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec()
        refused(
            model,
            tmp_path,
            board,
            EnvironmentFault,
            r"Orin, has compute capability 8\.7.* 8\.9",
            compute_capability="8.9",
        )

    def test_a_device_that_this_tensorrt_does_not_know(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec("11.1.0")
        refused(model, tmp_path, board, EnvironmentFault, "dla_core|needs TensorRT", device="orin-agx-64gb", dla_core=0)


class TestLook:
    def test_nothing_there(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        words = (
            r"nothing there can build the engine: no edgekit, and no trtexec on the PATH or in /usr/src/tensorrt/bin"
        )
        refused(model, tmp_path, board, EnvironmentFault, words)

    def test_trtexec_outside_the_path(
        self, board: Loopback, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """JetPack puts it into /usr/src/tensorrt/bin, which is on no PATH."""
        assert " /usr/src/tensorrt/bin/trtexec;" in looks._LOOK
        elsewhere = board.bin / "src" / "tensorrt" / "bin"
        monkeypatch.setattr(looks, "_LOOK", looks._LOOK.replace("/usr/src/tensorrt/bin", str(elsewhere)))
        board.trtexec(name="src/tensorrt/bin/trtexec")
        assert built(model, tmp_path, config()).exists()

    def test_something_else_of_that_name(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.trtexec().write_text("#!/bin/sh\necho hello\n")
        refused(model, tmp_path, board, EnvironmentFault, "names no TensorRT version; is it trtexec.*hello")

    def test_another_edgekit_is_left_alone(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        (board.bin / "python3").write_text("#!/bin/sh\necho 9.9.9\n")
        refused(model, tmp_path, board, EnvironmentFault, r"edgekit 9\.9\.9 is there, and .* here: install the same")
        board.trtexec()
        record = built(model, tmp_path, config()).with_name("int8.engine.remote.json")
        assert json.loads(record.read_text())["by"] == "trtexec"


class TestEdgekit:
    """With its own edgekit a board uses any backend; ONNX Runtime is one that is everywhere."""

    def test_builds_and_runs(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        board.python()
        target = ort.Config(engine="ort", threads=1)
        stand_in, engine = Board(HOST, target), tmp_path / "out" / "fp32.ort.onnx"
        assert stand_in.fingerprint() == ort.Backend(target).fingerprint()
        stand_in.build(model, engine)
        assert json.loads(engine.with_name("fp32.ort.onnx.profile.json").read_text())[0]["name"]
        assert board.left() == []
        feeds = {"x": normal(8, 1, 3, 16, 16)}
        with ort.Backend(target).engine(engine) as here, stand_in.engine(engine) as there:
            np.testing.assert_array_equal(there.infer(feeds)["y"], here.infer(feeds)["y"])
            assert there.describe()["by"] == "edgekit"
        other = {"x": feeds["x"][..., :8]}
        assert stand_in.race({"one": engine, "two": engine}, {"one": feeds, "two": other}).ms == {}
        times = stand_in.race({"one": engine}, {"one": feeds})
        assert (times.by, len(times.ms["one"]), min(times.ms["one"]) > 0) == ("edgekit", OPENINGS * EACH, True)
        assert board.left() == []

    def test_errors_keep_their_kind(self, board: Loopback, tmp_path: Path) -> None:
        board.python()
        target, broken = ort.Config(engine="ort"), tmp_path / "broken.onnx"
        convnet(broken)
        broken.write_bytes(broken.read_bytes().replace(b"Relu", b"Rely"))
        with pytest.raises(ModelError, match=rf"{HOST}: .*ONNX Runtime refuses the model"):
            Board(HOST, target).build(broken, tmp_path / "out" / "fp32.ort.onnx")
        assert list((tmp_path / "out").iterdir()) == []
        assert board.left() == []

    def test_tensorrt_for_rtx_really_builds_there(self, board: Loopback, model: Path, tmp_path: Path) -> None:
        pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
        board.python()
        target = config(compute_capability="8.6")
        engine = built(model, tmp_path, target)
        facts = guard.read(engine)
        assert (facts.flavour, facts.compute_capability) == ("tensorrt-rtx", "8.6")
        assert json.loads(engine.with_name("int8.engine.remote.json").read_text())["by"] == "edgekit"


class TestBackend:
    def test_a_target_without_a_host_is_built_here(self) -> None:
        target = ort.Config(engine="ort")
        assert type(remote.backend(target, Silent())) is ort.Backend

    def test_a_target_with_a_host_asks_nothing_before_it_must(self) -> None:
        stand_in = remote.backend(config(host="user@nowhere.invalid"), Silent())
        assert isinstance(stand_in, Board)
        own = trt.Backend
        assert (stand_in.suffix, stand_in.int8_control, stand_in.slower_fails) == (own.suffix, "fp16", True)
        assert stand_in.runs_elsewhere() == ""
        assert stand_in.quantization_profile() == "tensorrt"

    def test_the_placement_is_for_a_board_that_may_lack_operators(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ort.Backend, "quantization_profile", lambda self: "ort-x86-ops")
        stand_in = Board("user@nowhere.invalid", ort.Config(engine="ort"))
        assert stand_in.quantization_profile() in ("ort-x86", "ort-arm")

    def test_an_engine_without_its_record(self, tmp_path: Path) -> None:
        (tmp_path / "int8.engine").write_bytes(b"plan")
        with (
            pytest.raises(BundleError, match="not built on a board"),
            Board(HOST, config()).engine(tmp_path / "int8.engine"),
        ):
            pytest.fail("opened")

    def test_the_host_of_the_command_line(self, tiny_project: Path) -> None:
        import edgekit

        spec = edgekit.read_spec(tiny_project / "edgekit.yaml")
        with pytest.raises(SpecError, match=r"--host: targets\.cpu has engine ort"):
            remote.on_host(spec, "cpu", HOST)
        file = tiny_project / "edgekit.yaml"
        file.write_text(file.read_text().replace("cpu: {engine: ort, threads: 1}", "cpu: {engine: trt}"))
        spec = edgekit.read_spec(file)
        assert remote.on_host(spec, "cpu", HOST).targets["cpu"].host == HOST
        assert spec.targets["cpu"].host is None
        with pytest.raises(SpecError, match="'-oProxyCommand=id' is no host; expected user@board"):
            remote.on_host(spec, "cpu", "-oProxyCommand=id")


def test_interface_of_a_model(model: Path) -> None:
    with ort.reference(model) as engine:
        assert read_interface(model) == (engine.inputs, engine.outputs)
