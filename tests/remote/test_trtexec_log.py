"""Reading what trtexec prints; whole builds are in tests/remote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import EdgekitError, EnvironmentFault, InputError, ModelError, OutputError
from edgekit.remote import trtexec_log
from edgekit.remote.trtexec_log import Log
from tests.support import fake_trtexec
from tests.support.graphs import convnet


def stamped(text: str) -> str:
    return "\n".join(f"[11/22/2024-13:40:08] {line}" if line[:1] == "[" else line for line in text.splitlines())


def failure(text: str, tmp_path: Path) -> EdgekitError:
    return trtexec_log.failure(trtexec_log.read(stamped(text)), "user@board", convnet(tmp_path / "int8.onnx"))


def test_device_and_summary() -> None:
    banner = "&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10] # trtexec"
    log = trtexec_log.read("\n".join([banner, stamped(fake_trtexec.DEVICE), stamped(fake_trtexec.SUMMARY)]))
    assert log.facts == {
        "device": "Orin",
        "compute_capability": "8.7",
        "memory": "15536 MiB",
        "tensorrt": "10.16.2.10",
    }
    assert log.numbers == {"throughput_hz": 234.19}
    assert log.times_ms["latency"] == {
        "min": 4.27838, "max": 5.82495, "mean": 4.29966, "median": 4.29718,
        "p90": 4.30725, "p95": 4.31128, "p99": 4.32874,
    }  # fmt: skip
    assert set(log.times_ms) == {"latency", "gpu", "enqueue", "host_to_device", "device_to_host"}
    assert log.verdict is None


@pytest.mark.parametrize("verdict", ["PASSED", "FAILED"])
def test_verdict(verdict: str) -> None:
    assert trtexec_log.read(f"&&&& {verdict} TensorRT.trtexec [TensorRT v100300] # trtexec").verdict == verdict


def test_steps_begin_once() -> None:
    log = Log()
    text = (
        fake_trtexec.PARSED
        + "\n[I] Engine built in 3 sec.\n[I] Created engine with size: 2 MiB\n[I] Starting inference"
    )
    begun = [log.step for line in stamped(text).splitlines() if log.read(line)]
    assert begun == list(trtexec_log.STEPS)


def test_files_of_a_run() -> None:
    line = "[I] Writing file for output binding a/b:0 (with datatype fp32 and dimensions 1.3.8) to a_b_0.output.raw"
    (dump,) = trtexec_log.read(stamped(line)).dumps
    assert dump == trtexec_log.Dump("output", "a/b:0", "fp32", (1, 3, 8), "a_b_0.output.raw")


def test_memory_is_told_apart_from_a_missing_kernel(tmp_path: Path) -> None:
    memory = failure(fake_trtexec.MEMORY, tmp_path)
    assert isinstance(memory, EnvironmentFault)
    assert "ran out of device memory" in str(memory)
    kernel = failure(fake_trtexec.NO_KERNEL, tmp_path)
    assert isinstance(kernel, ModelError)
    assert "no kernel for node /backbone/conv1/Conv in the types" in str(kernel)


def test_an_unsupported_operator_has_name_and_reason(tmp_path: Path) -> None:
    (refused,) = trtexec_log.refusals(trtexec_log.read(stamped(fake_trtexec.UNSUPPORTED)))
    assert (refused.node, refused.op) == ("/head/dcn/DeformConv", "DeformConv")
    assert "Plugin not found" in refused.text
    found = failure(fake_trtexec.UNSUPPORTED, tmp_path)
    assert isinstance(found, ModelError)
    assert "GridSample" in str(found)


def test_two_refused_nodes_keep_their_own_names() -> None:
    text = fake_trtexec.UNSUPPORTED + "\n" + fake_trtexec.UNSUPPORTED.replace("/head/dcn", "/neck")
    refused = trtexec_log.refusals(trtexec_log.read(stamped(text)))
    assert [refusal.node for refusal in refused] == ["/head/dcn/DeformConv", "/neck/DeformConv"]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("[E] Saving engine to file failed.", OutputError, "the disk is full"),
        ("[E] Unknown option: --fp16 ", InputError, "does not know --fp16"),
        ("[E] Cuda failure: CUDA driver version is insufficient for CUDA runtime version", EnvironmentFault, "driver"),
        ("[E] something new\n[E] Engine set up failed", ModelError, "something new"),
        ("", ModelError, "no reason given"),
    ],
)
def test_other_failures(text: str, kind: type[EdgekitError], words: str, tmp_path: Path) -> None:
    found = failure(text, tmp_path)
    assert isinstance(found, kind)
    assert words in str(found)
    assert "user@board" in str(found)


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    Log().read(line)


@given(st.floats(1e-4, 1e4), st.sampled_from([90, 95, 99, 99.9]))
def test_times(value: float, percent: float) -> None:
    assert trtexec_log.times(f"min = {value:g} ms, percentile({percent:g}%) = {value:g} ms") == {
        "min": float(f"{value:g}"),
        f"p{percent:g}": float(f"{value:g}"),
    }
