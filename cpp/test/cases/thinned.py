"""A golden file that keeps some values of a large output, and the whole outputs beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgekit.core.golden import WHOLE, Golden


def write(folder: Path) -> None:
    random = np.random.default_rng(1)
    shape = (1, 1, 263, WHOLE // 263 + 2)  # just beyond what is kept whole, of an odd width
    frames = range(2)
    inputs = tuple({"image": random.normal(size=(1, 3, 2, 2)).astype(np.float32)} for _ in frames)

    def outputs(dtype: type) -> tuple[dict[str, np.ndarray], ...]:
        return tuple(
            {"large": random.normal(size=shape).astype(dtype), "small.part": random.normal(size=(1, 4)).astype(dtype)}
            for _ in frames
        )

    whole = Golden(inputs, {"fp32": outputs(np.float32), "int8": outputs(np.float16)})
    whole.thinned().write(folder / "golden.npz")
    large = {f"{name}.{frame}": whole.output(frame, "large", name) for name in whole.references for frame in frames}
    np.savez_compressed(folder / "whole.npz", **large)
    (folder / "no-array.json").write_text(json.dumps({"shape": shape}))
    np.savez(folder / "other-names.npz", **{"input.x.image": np.zeros(1)})
    np.savez(folder / "far-frame.npz", **{"input.99999999999999999999.image": np.zeros(1)})
