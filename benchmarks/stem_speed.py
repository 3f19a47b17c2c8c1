"""What a first layer of stride 2 costs an INT8 engine as it is, and as SpaceToDepth and a convolution of stride 1.

    python benchmarks/stem_speed.py BUNDLE [BUNDLE ...] --json

Of each bundle's FP32 model, two typed models with and without ``rewrite`` (min-max ranges of two made-up frames: only
the time counts), and the FP32 model itself: processor time of one thread, medians of queries in turn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.bundle import open_bundle
from edgekit.engine import ort
from edgekit.profiling import machine
from edgekit.quantize import ptq
from edgekit.technique import Job

ROUNDS, EACH = 80, 2
CPU = ort.Backend(ort.Config(engine="ort"))


def engines_of(model: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Engines by name, open; and a frame of noise for them."""
    from edgekit.onnxfile.interface import read_interface

    rng = np.random.default_rng(0)
    inputs = read_interface(model)[0]
    frames = [{spec.name: rng.random(spec.shape).astype(spec.dtype) for spec in inputs} for _ in range(2)]
    files = {"fp32": model}
    for name, rewrite in (("as it is", False), ("rewritten", True)):
        config = ptq.Config(calibrator="minmax", rewrite=rewrite)
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(ptq.apply(Job(model, frames), config).model)
    found = {}
    for name, file in files.items():
        built = folder / f"{name}{CPU.suffix}"
        CPU.build(file, built)
        found[name] = CPU.engine(built)
    return found, frames[0]


def times_of(engines: dict[str, Any], feeds: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of processor time of each engine: the median of its queries."""
    spent: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            for _ in range(EACH):
                start = time.process_time()
                engine.infer(feeds)
                spent[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for path in args.bundles:
        with tempfile.TemporaryDirectory() as folder:
            bundle = open_bundle(path)
            engines, feeds = engines_of(bundle.path / "models" / "fp32.onnx", Path(folder))
            for engine in engines.values():
                engine.open()
            ms = times_of(engines, feeds)
            for engine in engines.values():
                engine.close()
        gain, speedup = ms["as it is"] / ms["rewritten"], ms["fp32"] / ms["rewritten"]
        found[bundle.name] = {"ms": ms, "gain": gain, "int8_over_fp32": speedup}
        if not args.json:
            before = ms["fp32"] / ms["as it is"]
            print(f"{bundle.name}: {gain:.2f}x as fast, {speedup:.2f}x its FP32 ({before:.2f}x before)")
    if args.json:
        print(json.dumps({"machine": machine().to_dict(), "bundles": found}, indent=2))


if __name__ == "__main__":
    main()
