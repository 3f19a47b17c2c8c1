"""The page docs/benchmarks/peers.md, made from benchmarks/results/peers.json.

python -m benchmarks.peers.page        # from the root of the repository, to write it again
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.peers.common import PAGE, RESULTS

from edgekit.core.artifacts import write_bytes

RUNTIMES = {"ort": "ONNX Runtime", "openvino": "OpenVINO"}
MIB = 2**20

METHOD = """\
Every contender gets the same FP32 ONNX file and the same {frames} calibration frames, spread over CamVid's training
split, and quantizes in a process of its own with one thread. All results are then timed in one process per model, in
turn (A B C, C B A, ...), {queries} queries each, at one thread, in ONNX Runtime with all graph optimisations and
without spinning.

- **drop**: accuracy of FP32 minus that of the contender on the test frames; the metric is named above each table.
- **p50, p99**: of the engine call alone ({clock}). **speed-up**: p50 of FP32 over p50, and in brackets the 5th and 95th
  percentile of the ratio within a round.
- **integer**: share of kernel time in integer convolutions + integer matrix products, from ONNX Runtime's profile.
- **quantize**: seconds from the FP32 file to the quantized one, imports not counted; in brackets as a multiple of
  running FP32 on the same frames in the same process. **peak**: highest resident memory of that process while it
  quantizes (VmHWM), libraries included.
- **dominated by**: contenders at least as accurate and at least as fast, and better in one. Latencies within
  {latency:.0%} and accuracies within {accuracy} count as equal."""

LIMITS = """\
- One machine, one processor type, one thread, batch 1. Who is fast changes with the instruction set: here the
  processor decides which integer kernels there are.
- The turns share the caches: each model finds them filled by the one before, as in a program that does more than one
  thing.
- The segmentation networks are scored against CamVid's masks. MobileNetV2 and YOLOX-Nano are scored against their own
  FP32 outputs on CamVid's frames, since neither ImageNet nor COCO is used here: that shows what quantization changes,
  not what it costs in accuracy on their own tasks.
- Each peer runs as its documentation advises for this use, without a search over its options: ONNX Runtime with
  unsigned activations and signed per-channel weights after `quant_pre_process`, NNCF with its defaults (`TRANSFORMER`
  where the network is one), ModelOpt with its defaults, float32 for what stays float. ModelOpt and NNCF place Q/DQ
  for TensorRT and OpenVINO; that their files are slow in ONNX Runtime says nothing about those.
- edgekit's files run without ONNX Runtime's `WeightBiasQuantization`, as in edgekit's engines; the peers' run as their
  users would run them.
- OpenVINO is another runtime, so its rows are in tables of their own and dominate nothing outside them. Its FP32 row
  runs with `INFERENCE_PRECISION_HINT=f32`, since its default is bfloat16 on processors that have it; its quantized
  row keeps the default."""


def render(document: Mapping[str, Any]) -> str:
    """The page, from the document that run.py writes."""
    machine, tolerances = document["machine"], document["tolerances"]
    method = METHOD.format(
        frames=document["frames"],
        queries=document["queries"],
        clock=document.get("clock", "wall time"),
        latency=tolerances["latency_ratio"],
        accuracy=tolerances["accuracy"],
    )
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return f"""\
# Quantization against its peers

Written by `python benchmarks/peers/run.py --publish` from [peers.json](../../benchmarks/results/peers.json),
not by hand. [How to run it](../../benchmarks/peers/README.md).

Measured on {document["date"]}: {machine["cpu"]}, {machine["cpus"]} CPUs, {machine["system"]},
Python {machine["python"]}, load average {machine["load_average_1min"]} at the start.
{versions}.

## Results

{legend(document)}

{tables(document)}

## Method

{method}

## Limits

{LIMITS}
"""


def legend(document: Mapping[str, Any]) -> str:
    """What the short names stand for."""
    titles = {key: row["title"] for model in document["models"].values() for key, row in model["contenders"].items()}
    return "\n".join(f"- **{key}**: {title}" for key, title in titles.items())


def tables(document: Mapping[str, Any]) -> str:
    """A section a model."""
    return "\n\n".join(section(name, model) for name, model in document["models"].items())


def section(name: str, model: Mapping[str, Any]) -> str:
    """Tables of one model, one for each runtime, with what failed and who is dominated."""
    lines = [f"### {name}", "", f"{model['title']}. Metric: {model['metric']['text']}."]
    for runtime, title in RUNTIMES.items():
        rows = {key: row for key, row in model["contenders"].items() if row["runtime"] == runtime}
        if rows:
            lines += ["", f"In {title}:", "", *_table(rows, model)]
    failures = [f"- {key} failed: {row['error']}" for key, row in model["contenders"].items() if "error" in row]
    if failures:
        lines += ["", *failures]
    return "\n".join(lines)


def _table(rows: Mapping[str, Mapping[str, Any]], model: Mapping[str, Any]) -> list[str]:
    metric = model["metric"]["name"]
    sqnr = any("sqnr_db" in row.get("accuracy", {}).get("test", {}) for row in rows.values())
    head = ["contender", f"{metric} val", f"{metric} test", "drop", *(["SQNR"] if sqnr else []), "p50 ms", "p99 ms"]
    head += ["speed-up", "integer", "quantize s", "peak MiB", "file MiB", "dominated by"]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 2), "---"])]
    for name, row in rows.items():
        if row["status"] != "ok":
            lines.append(_row([name, "failed", *[""] * (len(head) - 2)]))
            continue
        by = model["dominated_by"].get(name, ())
        lines.append(_row([name, *_accuracy(row, metric, sqnr), *_speed(row), *_cost(row), ", ".join(by) or "–"]))
    return lines


def _accuracy(row: Mapping[str, Any], metric: str, sqnr: bool) -> list[str]:
    val, test = row["accuracy"]["val"], row["accuracy"]["test"]
    cells = [f"{val[metric]:.4f}", f"{test[metric]:.4f}"]
    cells.append(f"{row['drop']['test']:.4f}" if "drop" in row else "")
    if sqnr:
        cells.append("–" if test["sqnr_db"] is None else f"{test['sqnr_db']:.1f} dB")
    return cells


def _speed(row: Mapping[str, Any]) -> list[str]:
    latency = row["latency"]
    low, high = latency["speedup_of_pairs_p5_p95"]
    share = row.get("operators")
    return [
        f"{latency['p50_ms']:.2f}",
        f"{latency['p99_ms']:.2f}",
        f"{latency['speedup_p50']:.2f}x ({low:.2f}–{high:.2f})",
        f"{share['conv']:.0%} + {share['matmul']:.0%}" if share else "–",
    ]


def _cost(row: Mapping[str, Any]) -> list[str]:
    cost = row["quantization"]
    size = f"{cost['size_bytes'] / MIB:.2f}"
    if cost["quantize_s"] is None:
        return ["–", "–", size]
    times = f"{cost['quantize_s']:.1f} ({cost['quantize_s'] / cost['fp32_inference_s']:.1f}x)"
    return [times, f"{cost['peak_rss_mib']:.0f}", size]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main() -> None:
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_bytes(PAGE, render(document).encode())


if __name__ == "__main__":
    main()
