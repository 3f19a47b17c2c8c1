"""What resizing with antialias costs: NumPy's matrix products against Pillow's C, in turn, one thread.

    OPENBLAS_NUM_THREADS=1 python benchmarks/resize_speed.py --json

A ratio is the median over the rounds of one round's time over Pillow's in the same round.  Pixels are compared too:
the largest difference from Pillow, along the rows first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from edgekit.core.tensors import Array
from edgekit.inputs._resample import resample

FRAME = (1080, 1920)
SIZES = ((224, 224), (360, 640), (640, 640))
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(image: Array, size: tuple[int, int], name: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of both, their ratio, and the largest difference of a pixel."""
    whole = Image.fromarray(image)

    def by_edgekit() -> Array:
        return resample(image, size, name)

    def by_pillow() -> Image.Image:
        return whole.resize((size[1], len(image)), FILTERS[name]).resize(size[::-1], FILTERS[name])

    difference = int(np.abs(by_edgekit().astype(int) - np.array(by_pillow())).max())
    pairs = [(seconds(by_edgekit), seconds(by_pillow)) for _ in range(rounds)]
    return {
        "filter": name,
        "size": list(size),
        "ours_ms": round(1000 * statistics.median(own for own, _ in pairs), 1),
        "pillow_ms": round(1000 * statistics.median(other for _, other in pairs), 1),
        "ratio": round(statistics.median(own / other for own, other in pairs), 2),
        "largest_difference": difference,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)
    found = [compare(image, size, name, given.rounds) for size in SIZES for name in FILTERS]
    if given.json:
        print(json.dumps({"frame": list(FRAME), "pillow": Image.__version__, "resizes": found}, indent=1))
        return
    for one in found:
        print(
            f"{one['filter']:>9} to {one['size']}: {one['ours_ms']} ms, Pillow {one['pillow_ms']} ms, {one['ratio']}x"
        )


if __name__ == "__main__":
    main()
