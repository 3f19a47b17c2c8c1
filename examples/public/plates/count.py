"""How many plates the engines of a bundle read right: decoded as the reference's LPRNet_Test.py does, greedily.

    python examples/public/plates/count.py examples/public/plates/artifacts/plates-cpu $PLATES $PLATE_FRAMES

The frames are named after their plates; every other one of 1,000 is read, as prepare.py does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgekit.bundle import open_bundle

FRAMES = 500


def characters(checkout: Path) -> list[str]:
    """The alphabet of the checkout; its last entry is the blank."""
    folder = str((checkout / "LPRNet").resolve())
    sys.path.insert(0, folder)
    try:
        from model.LPRNET import CHARS
    finally:
        sys.path.remove(folder)
    return list(CHARS)


def read(scores: np.ndarray, alphabet: Sequence[str]) -> str:
    """The text of scores ``(characters, places)``: the best of each place, without repetitions and blanks."""
    text, before = [], -1
    for best in scores.argmax(axis=0).tolist():
        if best not in (before, len(alphabet) - 1):
            text.append(alphabet[best])
        before = best
    return "".join(text)


def main(folder: Path, checkout: Path, frames: Path) -> None:
    alphabet, right, same = characters(checkout), {"int8": 0, "fp32": 0}, 0
    paths = sorted(frames.iterdir())
    paths = paths[:: max(1, len(paths) // FRAMES)]
    bundle = open_bundle(folder)
    preprocess, control = bundle.preprocess(), bundle.contents.control
    if control is None:
        raise SystemExit(f"{folder}: holds no FP32 control to count beside; build it with a quantize step")
    with bundle.engine() as int8, bundle.engine(control) as fp32:
        for path in paths:
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            feeds = preprocess({"image": image}).feeds
            texts = {
                name: read(engine.infer(feeds)["characters"][0].copy(), alphabet)
                for name, engine in (("int8", int8), ("fp32", fp32))
            }
            right = {name: count + (texts[name] == path.stem) for name, count in right.items()}
            same += texts["int8"] == texts["fp32"]
    print(f"of {len(paths)} plates right: INT8 {right['int8']}, FP32 {right['fp32']}; read alike: {same}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
