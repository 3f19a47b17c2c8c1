"""A stand-in for ``trtexec`` that prints what 10.3, 10.16 and 11.1 print and writes the files that they write.

Run as a script; ``FAKE_TRTEXEC`` names a JSON file with ``version`` (a key of tests/golden/trtexec/flags.json) and
``mode``: ``good``, ``memory``, ``unsupported``, ``no_kernel``, ``disk``, ``killed``, ``hang``, ``no_gpu``, ``slow``
(INT8 gains nothing) or ``wide`` (its layers compute in FP32).  The "engine" holds the ONNX file, so that a run computes
what the model says, through ONNX Runtime.  The lines are those of samples/common of https://github.com/NVIDIA/TensorRT
and of logs in its issues (4258, 4494, 4587).
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "golden" / "trtexec" / "flags.json"
BANNERS = {
    "10.3.0": "[TensorRT v100300]",
    "10.16.0": "[TensorRT v101600] [b72]",
    "11.1.0": "[TensorRT v110100] [b106]",
}
PLAN = b"fake plan\n"
MEMORY = """\
[E] Error[1]: [defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)
[W] [TRT] Requested amount of GPU memory (15485030400 bytes) could not be allocated. There may not be enough free \
memory for allocation to succeed.
[E] Error[9]: Error Code: 9: Skipping tactic 0x0000000000000000 due to exception [tunable_graph.cpp:create:117] \
autotuning: User allocator error allocating 15485030400-byte buffer
[E] Error[10]: IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for \
node {ForeignNode[/1/Constant_36_output_0.../1/Slice_4]}.)"""
NO_KERNEL = """\
[E] Error[10]: IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for \
node /backbone/conv1/Conv.)"""
UNSUPPORTED = """\
[E] [TRT] ModelImporter.cpp:949: While parsing node number 3 [DeformConv -> "/head/dcn/DeformConv_output_0"]:
[E] [TRT] ModelImporter.cpp:950: --- Begin node ---
input: "/head/offset_output_0"
output: "/head/dcn/DeformConv_output_0"
name: "/head/dcn/DeformConv"
op_type: "DeformConv"

[E] [TRT] ModelImporter.cpp:951: --- End node ---
[E] [TRT] ModelImporter.cpp:953: ERROR: onnxOpCheckers.cpp:781 In function checkFallbackPluginImporter:
[6] creator && "Plugin not found, are the plugin name, version, and namespace correct?"
[E] Failed to parse onnx file"""
PARSED = """\
[I] Start parsing network model.
[I] [TRT] ----------------------------------------------------------------
[I] [TRT] Input filename:   model.onnx
[I] [TRT] Opset version:    17
[I] [TRT] ----------------------------------------------------------------
[I] Finished parsing network model. Parse time: 0.0704936
[I] [TRT] Global timing cache in use. Profiling results in this builder pass will be stored.
[I] [TRT] Detected 1 inputs and 1 output network tensors."""
DEVICE = """\
[I] === Device Information ===
[I] Available Devices:
[I]   Device 0: "Orin" UUID: GPU-f5507ee1-b6b1-556b-8350-83af993dbffd
[I] Selected Device: Orin
[I] Selected Device ID: 0
[I] Compute Capability: 8.7
[I] SMs: 8
[I] Device Global Memory: 15536 MiB
[I] Application Compute Clock Rate: 1.173 GHz"""
SUMMARY = """\
[I] Average on 10 runs - GPU latency: 4.21 ms - Host latency: 4.42 ms (enqueue 0.31 ms)
[I]
[I] === Performance summary ===
[I] Throughput: 234.19 qps
[I] Latency: min = 4.27838 ms, max = 5.82495 ms, mean = 4.29966 ms, median = 4.29718 ms, percentile(90%) = 4.30725 ms, \
percentile(95%) = 4.31128 ms, percentile(99%) = 4.32874 ms
[I] Enqueue Time: min = 0.29 ms, max = 0.9 ms, mean = 0.31 ms, median = 0.3 ms, percentile(90%) = 0.33 ms, \
percentile(95%) = 0.35 ms, percentile(99%) = 0.4 ms
[I] H2D Latency: min = 0.0065918 ms, max = 0.0698242 ms, mean = 0.0122212 ms, median = 0.00814819 ms, \
percentile(90%) = 0.0253906 ms, percentile(95%) = 0.0270996 ms, percentile(99%) = 0.0515137 ms
[I] GPU Compute Time: min = 4.2 ms, max = 5.7 ms, mean = 4.22 ms, median = 4.21 ms, percentile(90%) = 4.23 ms, \
percentile(95%) = 4.24 ms, percentile(99%) = 4.25 ms
[I] D2H Latency: min = 0.00390625 ms, max = 0.110596 ms, mean = 0.0100141 ms, median = 0.00439453 ms, \
percentile(90%) = 0.0254517 ms, percentile(95%) = 0.0319824 ms, percentile(99%) = 0.0994873 ms
[I] Total Host Walltime: 3.00082 s
[I] Total GPU Compute Time: 2.96536 s
[I] Explanations of the performance metrics are printed in the verbose logs."""


def say(text: str) -> None:
    """Print the lines as the logger does: a time before the severity."""
    for line in text.splitlines():
        print(f"[11/22/2024-13:40:08] {line}" if line[:1] == "[" and line[2:3] == "]" else line, flush=True)


def main() -> int:
    settings = json.loads(Path(os.environ["FAKE_TRTEXEC"]).read_text())
    version = settings["version"]
    banner = f"TensorRT.trtexec {BANNERS[version]} # {' '.join(sys.argv)}"
    say(f"&&&& RUNNING {banner}")
    known = json.loads(GOLDEN.read_text())["flags"][version]
    if "--help" in sys.argv:
        say("=== Model Options ===\n" + "\n".join(f"  {flag}=<value>   Some help" for flag in known))
        return 0
    given = [word.partition("=") for word in sys.argv[1:]]
    options = {flag: value for flag, _, value in given}
    strange = [flag for flag in options if flag not in known]
    if strange:
        say(f"[E] Unknown option: {strange[0]} {options[strange[0]]}")
    good = not strange and (_run if "--loadEngine" in options else _build)(options, version, settings)
    say(f"&&&& {'PASSED' if good else 'FAILED'} {banner}")
    return 0 if good else 1


def _device(version: str, mode: str) -> bool:
    if mode == "no_gpu":
        say("[E] Cuda failure: CUDA driver version is insufficient for CUDA runtime version")
        return False
    say(DEVICE + f"\n[I] TensorRT version: {version}")
    return True


def _build(options: dict[str, str], version: str, settings: dict[str, str]) -> bool:
    mode = settings["mode"]
    if not _device(version, mode):
        return False
    if mode == "unsupported":
        say(f"[I] Start parsing network model.\n{UNSUPPORTED}\n[E] Failed to create engine from model or file.")
        return False
    say(PARSED)
    if mode == "hang":
        Path(settings["running"]).write_text(str(os.getpid()))
        time.sleep(60)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode in ("memory", "no_kernel"):
        say({"memory": MEMORY, "no_kernel": NO_KERNEL}[mode] + "\n[E] Engine could not be created from network")
        say("[E] Building engine failed\n[E] Failed to create engine from model or file.\n[E] Engine set up failed")
        return False
    lines = ["[I] Engine built in 39.5 sec.", "[I] Created engine with size: 2.53 MiB"]
    say("\n".join(lines if version < "11" else reversed(lines)))
    if mode == "disk":
        say("[E] Saving engine to file failed.\n[E] Engine set up failed")
        return False
    Path(options["--saveEngine"]).write_bytes(PLAN + Path(options["--onnx"]).read_bytes())
    cache = Path(options["--timingCacheFile"])
    cache.write_bytes((cache.read_bytes() if cache.exists() else b"") + b"measured;")
    layers = _layers(Path(options["--onnx"]), mode == "wide")
    Path(options["--exportLayerInfo"]).write_text(json.dumps({"Layers": layers, "Bindings": ["image"]}))
    if "--skipInference" in options:
        say("[I] Skipped inference phase since --skipInference is added.")
        return True
    Path(options["--exportProfile"]).write_text('[\n  { "count" : 10 }\n, {"name" : "conv", "averageMs" : 0.2 }\n]\n')
    gains = mode != "slow" and any("Int8" in layer["Weights"]["Type"] for layer in layers)
    half = re.sub(r"= ([\d.e-]+) ms", lambda found: f"= {float(found[1]) / 2:g} ms", SUMMARY)
    say(f"[I] Starting inference\n{half if gains else SUMMARY}")
    return True


def _layers(model: Path, wide: bool) -> list[dict[str, Any]]:
    """The compute nodes as the inspector lists them; those between Q/DQ are INT8."""
    import onnx

    graph = onnx.load(model).graph
    quantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    found = []
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        int8 = set(node.input[:2]) <= quantized and not wide
        layout = "Thirty-two wide channel vectorized row major Int8 format" if int8 else "Row major linear FP32"
        tensor = {"Name": node.input[0], "Location": "Device", "Dimensions": [1, 3, 8, 8], "Format/Datatype": layout}
        found.append(
            {
                "Name": node.name,
                "LayerType": "CaskConvolution",
                "Inputs": [tensor],
                "Outputs": [tensor],
                "Weights": {"Type": "Int8" if int8 else "Float", "Count": 576},
                "Metadata": f"[ONNX Layer: {node.name}]",
            }
        )
    return found


def _run(options: dict[str, str], version: str, settings: dict[str, str]) -> bool:
    if not _device(version, settings["mode"]):
        return False
    engine = Path(options["--loadEngine"])
    if not engine.exists():
        say(f"[E] Error opening engine file: {engine}\n[E] Failed to create engine from model or file.")
        return False
    import numpy as np
    import onnxruntime

    with tempfile.NamedTemporaryFile(suffix=".onnx") as model:
        model.write(engine.read_bytes().removeprefix(PLAN))
        model.flush()
        session = onnxruntime.InferenceSession(model.name, providers=["CPUExecutionProvider"])
    files = dict(pair.rsplit(":", 1) for pair in options["--loadInputs"].split(","))
    feeds = {v.name: np.fromfile(files[v.name], np.float32).reshape(v.shape) for v in session.get_inputs()}
    say("[I] Starting inference\n[I] Dumping I/O Bindings to RAW Files:")
    for value, array in zip(session.get_outputs(), session.run(None, feeds), strict=True):
        dims = ".".join(map(str, array.shape))
        file = f"{value.name.replace('/', '_')}.output.{dims}.fp32.raw"
        Path(file).write_bytes(array.tobytes())
        say(f"[I] Writing file for output binding {value.name} (with datatype fp32 and dimensions {dims}) to {file}")
    return True


if __name__ == "__main__":
    sys.exit(main())
