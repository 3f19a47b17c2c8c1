"""What C++ preprocessing takes beside Python's, frame by frame in turn, one thread each.

    OMP_NUM_THREADS=1 python benchmarks/cpp_preprocess.py [--rounds 500] [--encoding bgr8] [--json]

A 1280x720 frame becomes the input of ``examples/camvid`` (360x480, stretch, bilinear, float32 planes).  Python's time
is that of ``edgekit.preprocess.Preprocess`` over OpenCV, without and then with what makes RGB of the camera's frame;
C++ takes the camera's frame.  Times are processor time of the thread; a ratio is the median over the rounds of Python's
over that of C++ in the same round.  The tensors are compared too: ``largest_difference`` is in values of a pixel.
Builds the preset ``bench``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from cpp_runtime import built

from edgekit.core import pixels
from edgekit.core.tensors import Array
from edgekit.inputs import image
from edgekit.preprocess import Preprocess

HEIGHT, WIDTH = 720, 1280
CONFIG = image.Config(
    resize=(360, 480), scale=0.00392156863, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)  # examples/camvid/edgekit.yaml
WARM_UP = 20


def frame_of(encoding: str) -> pixels.RawImage:
    """Noise: the arithmetic takes as long for any picture."""
    known = pixels.ENCODINGS[encoding]
    rows, step = int(HEIGHT * known.rows), WIDTH * known.channels
    data = np.random.default_rng(17).integers(0, 256, (rows, step), np.uint8)
    return pixels.RawImage(HEIGHT, WIDTH, encoding, step, data.tobytes())


def _ask(writing: IO[str], reading: IO[str]) -> float:
    writing.write("\n")
    writing.flush()
    return int(reading.readline()) / 1e3


def _spent_us(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1e3


def in_turn(program: Path, raw: pixels.RawImage, rounds: int) -> tuple[dict[str, list[float]], Array]:
    """Microseconds of each round, and the tensor of C++."""
    preprocess, rgb = Preprocess({"image": CONFIG}), pixels.to_rgb(raw)
    works: dict[str, Callable[[], object]] = {
        "python": lambda: preprocess({"image": rgb}),
        "python_from_camera": lambda: preprocess({"image": pixels.to_rgb(raw)}),
    }
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        frame, tensor = Path(folder, "frame"), Path(folder, "tensor")
        frame.write_bytes(bytes(raw.data))
        command = [str(program), "--in-turn", raw.encoding, str(frame), str(tensor)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            for name, work in works.items():
                pairs = [(_ask(child.stdin, child.stdout), _spent_us(work)) for _ in range(rounds + WARM_UP)]
                times[f"cpp beside {name}"], times[name] = map(list, zip(*pairs[WARM_UP:], strict=True))
            child.stdin.close()
            child.wait()
        made = np.fromfile(tensor, np.float32).reshape(1, 3, *CONFIG.resize)
    return times, made


def largest_difference(raw: pixels.RawImage, made: Array) -> float:
    """In values of a pixel, before scale, mean and std."""
    wanted = Preprocess({"image": CONFIG})({"image": pixels.to_rgb(raw)}).feeds["image"]
    apart = np.abs(made - wanted).max(axis=(0, 2, 3)) * np.array(CONFIG.std) / CONFIG.scale
    return float(apart.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--encoding", default="bgr8")
    parser.add_argument("--program", type=Path, help="a bench_preprocess that is built already")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    raw = frame_of(args.encoding)
    times, made = in_turn(args.program or built("bench_preprocess"), raw, args.rounds)
    found: dict[str, Any] = {"encoding": args.encoding, "rounds": args.rounds}
    found["cpp_us"] = round(statistics.median(times["cpp beside python"]), 1)
    for name in ("python", "python_from_camera"):
        ratios = [other / own for own, other in zip(times[f"cpp beside {name}"], times[name], strict=True)]
        found[f"{name}_us"] = round(statistics.median(times[name]), 1)
        found[f"{name}_ratio"] = round(statistics.median(ratios), 2)
        found[f"{name}_ratio_quartiles"] = [round(value, 2) for value in statistics.quantiles(ratios, n=4)[::2]]
    found["largest_difference"] = round(largest_difference(raw, made), 6)
    print(json.dumps(found) if args.json else "\n".join(f"{name:32} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
