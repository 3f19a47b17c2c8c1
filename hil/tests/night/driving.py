"""A tiny driving project of two drives, one at day and one at dusk, and bundles of it with planted regressions.

The network is written down, not trained: two channels of its stem tell red from green, the others only cost time.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import edgekit
from edgekit.bundle import Bundle, open_bundle, write_bundle

HEIGHT, WIDTH, FRAMES = 48, 64, 24
SURE = 0.12
"""How much a colour has to stand out to be no floor; at dusk the squares stand out by 0.15 to 0.3."""

SPEC = f"""\
name: drive
model:
  onnx: net.onnx
  inputs: {{image: {{shape: [1, 3, {HEIGHT}, {WIDTH}]}}}}
  outputs: [logits]
preprocess:
  image: {{resize: [{HEIGHT}, {WIDTH}], scale: 0.00392156863}}
task: {{kind: segmentation, output: logits, classes: [floor, red, green], ignore_index: 255}}
data:
  calibration: {{format: camvid, root: DATA, split: test, names: &names {{0: floor, 1: red, 2: green}}, limit: 4}}
  evaluation: {{format: camvid, root: DATA, split: test, names: *names}}
targets:
  cpu: {{engine: ort, threads: 1}}
kpis:
  miou: {{baseline_drop: 0.4}}
  miou_by_drive: {{metric: miou, where: {{drive: "*"}}, baseline_drop: 0.05}}
  latency_p50_ms: {{baseline_ratio: RATIO}}
"""


def write_data(root: Path) -> None:
    """Floors with a red and a green square of random strength, and their masks: the frames of ``dusk`` are dark."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder / "test").mkdir(parents=True)
    stems = [f"{drive}_{i:03}" for drive in ("day", "dusk") for i in range(FRAMES // 2)]
    for stem in stems:
        image = rng.integers(90, 130, (HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=2)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, channel in ((1, 0), (2, 1)):
            y, x = int(rng.integers(0, HEIGHT - 20)), int(rng.integers(0, WIDTH - 20))
            colour = np.full(3, 30)
            colour[channel] += int(rng.integers(95, 190))
            image[y : y + 20, x : x + 20], mask[y : y + 20, x : x + 20] = colour, label
        if stem.startswith("dusk"):
            image = (image * 0.4).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 98]
        cv2.imwrite(str(root / "images/test" / f"{stem}.jpg"), image[..., ::-1], quality)
        cv2.imwrite(str(root / "labels/test" / f"{stem}.png"), mask)
    (root / "test.txt").write_text("".join(f"{stem}\n" for stem in stems))


def network(channels: int, sure: float = SURE) -> bytes:
    """Red and green against the floor, by two of ``channels`` channels; more of them change nothing but the time."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    stem = rng.normal(0, 0.01, (channels, 3, 3, 3)).astype(np.float32)
    stem[:2] = 0
    stem[0, :, 1, 1], stem[1, :, 1, 1] = (1, -1, 0), (-1, 1, 0)
    body = rng.normal(0, 0.01, (channels, channels, 3, 3)).astype(np.float32)
    head = np.zeros((3, channels, 1, 1), np.float32)
    head[1, 0], head[2, 1] = 10, 10
    # The body's channels are added with no weight, so that it cannot be left out.
    head[0, 2:] = 1e-7
    weights = {"stem": stem, "body": body, "head": head, "bias": np.array([10 * sure, 0, 0], np.float32)}
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["s"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["s"], ["x"]),
        helper.make_node("Conv", ["x", "body"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b"], ["y"]),
        helper.make_node("Mul", ["y", "small"], ["z"]),
        helper.make_node("Add", ["x", "z"], ["xz"]),
        helper.make_node("Conv", ["xz", "head", "bias"], ["logits"]),
    ]
    weights["small"] = np.full(1, 1e-3, np.float32)
    graph = helper.make_graph(
        nodes, "drive",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def build(folder: Path, data: Path, channels: int = 32, sure: float = SURE, ratio: float = 3.0) -> Path:
    """The bundle of such a network; ``ratio`` is how many times last-good's latency it may have."""
    folder.mkdir(parents=True)
    (folder / "net.onnx").write_bytes(network(channels, sure))
    (folder / "edgekit.yaml").write_text(SPEC.replace("DATA", str(data)).replace("RATIO", str(ratio)))
    edgekit.compress(folder / "edgekit.yaml")
    edgekit.build(folder / "edgekit.yaml", "cpu")
    return folder / "artifacts" / "drive-cpu"


def variant(source: Path, final: Path, seed: int, revision: str = "", dirty: bool = False) -> Bundle:
    """The same bundle under another digest, as a later commit that changed nothing would give it."""
    base = open_bundle(source)
    ours = ("format", "version", "name", "target", "files", "sizes", "digest")
    rest = {key: value for key, value in base.manifest.items() if key not in ours}
    files = {name: base.path / name for name in base.manifest["files"] if name != "bundle.json"}
    commit = {"revision": revision, "dirty": dirty} if revision else {}
    return write_bundle(final, base.contents, files, {**rest, "seed": seed, **commit})
