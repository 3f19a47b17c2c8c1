"""The reference networks load their published weights, export, and compute the same in ONNX Runtime."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from benchmarks.peers.networks import HARD, NETWORKS, REPO, Network, load, plain
from torch import nn

SMALL = {"yolox_nano": (64, 96), "mobilenet_v2": (64, 64), "plain": (48, 64), "hard": (48, 64), "vit": (352, 480)}
OUTPUTS = {
    "yolox_nano": (1, 126, 85),
    "mobilenet_v2": (1, 1000),
    "plain": (1, 11, 6, 8),
    "hard": (1, 11, 48, 64),
    "vit": (1, 11, 352, 480),
}
EXPECTED_OPS = {
    "yolox_nano": {"Sigmoid", "MaxPool", "Resize", "Slice"},
    "mobilenet_v2": {"Clip", "Add"},
    "plain": set(),
    "hard": {"PRelu", "ConvTranspose", "ReduceMax", "ReduceMean", "Sigmoid"},
    "vit": {"MatMul", "LayerNormalization", "Softmax", "Gelu", "Resize"},
}


@pytest.fixture(scope="module")
def published() -> Path:
    """The folder of the published YOLOX-nano checkpoint."""
    folder = REPO.parent / "shared" / "data" / "weights"
    if not (folder / "yolox_nano_coco.pth").is_file():
        pytest.skip(f"the YOLOX-nano checkpoint is not in {folder}")
    return folder


@pytest.fixture
def train_hard(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The training script of examples/hard, which imports its neighbour by the name ``model``."""
    monkeypatch.syspath_prepend(str((REPO / HARD.file).parent))
    for name in ("train", "model"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("train")
    for name in ("train", "model"):  # what the import added goes with the test
        monkeypatch.setitem(sys.modules, name, sys.modules.pop(name))
    return module


def trained_or_random(network: Network) -> nn.Module:
    if (REPO / network.weights).is_file():
        return load(network)
    torch.manual_seed(0)
    return network.build().eval()


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_exports_and_equals_torch(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    model = trained_or_random(network)
    generator = torch.Generator().manual_seed(1)
    image = torch.rand((1, 3, *SMALL[name]), generator=generator) * (255 if name == "yolox_nano" else 1)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        model, (image,), path, dynamo=True, opset_version=20, input_names=["image"], output_names=["out"], verbose=False
    )
    with torch.no_grad():
        expected = model(image).numpy()
    (found,) = session(path).run(None, {"image": image.numpy()})
    assert found.shape == expected.shape == OUTPUTS[name]
    assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert ops >= EXPECTED_OPS[name]
    assert "BatchNormalization" not in ops
    if name == "plain":
        assert ops == {"Conv", "Relu"}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_table_names_files_that_exist_and_fit(name: str) -> None:
    network = NETWORKS[name]
    assert (REPO / network.file).is_file()
    assert network.input_shape[2:] == network.preprocess["resize"]
    if not network.fetched:
        assert (REPO / network.weights).is_file()
        assert all(value.isfinite().all() for value in load(network).state_dict().values())


def test_yolox_nano_equals_the_published_onnx_file(published: Path, camvid_root: Path) -> None:
    import cv2

    model = load(NETWORKS["yolox_nano"], published / "yolox_nano_coco.pth")
    frame = cv2.imread(str(next(iter(sorted((camvid_root / "images" / "test").glob("*.jpg"))))))
    ratio = min(416 / frame.shape[0], 416 / frame.shape[1])
    frame = cv2.resize(frame, (round(frame.shape[1] * ratio), round(frame.shape[0] * ratio)))
    canvas = np.full((416, 416, 3), 114, np.uint8)
    canvas[: frame.shape[0], : frame.shape[1]] = frame
    image = canvas.transpose(2, 0, 1)[None].astype(np.float32)
    (expected,) = session(published / "yolox_nano_coco.onnx").run(None, {"images": image})
    with torch.no_grad():
        found = model(torch.from_numpy(image)).numpy()
    assert np.abs(found - expected).max() <= 1e-3
    assert (found[..., 4] * found[..., 5:].max(-1)).max() > 0.5, "a street scene holds something"


def test_plain_folds_its_batch_norms() -> None:
    torch.manual_seed(0)
    trained = plain.build(batch_norm=True)
    trained.train()(torch.randn(4, 3, 48, 64))
    trained.eval()
    deployed = plain.build().eval()
    deployed.load_state_dict(plain.fold(trained).state_dict())
    image = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(deployed(image), trained(image), rtol=1e-4, atol=1e-5)
    assert {type(module) for module in deployed} == {nn.Conv2d, nn.ReLU}


def test_widened_gains_change_ranges_but_no_output(train_hard: ModuleType) -> None:
    torch.manual_seed(0)
    model = train_hard.build()
    model.train()(torch.randn(4, 3, 48, 64))
    model.eval()
    image = torch.randn(1, 3, 48, 64)
    ranges: list[float] = []
    model.body[0].first.register_forward_hook(lambda *io: ranges.append(spread(io[2])))
    with torch.no_grad():
        before = model(image)
        train_hard.widen_gains(model, octaves=4)
        after = model(image)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    assert ranges[1] > 20 * ranges[0]


def spread(activations: torch.Tensor) -> float:
    """The widest range of a channel by the narrowest."""
    ranges = activations.abs().amax((0, 2, 3))
    return float(ranges.max() / ranges.min())


def test_quick_prelu_is_prelu(train_hard: ModuleType) -> None:
    quick = train_hard.QuickPReLU(5)
    slow = nn.PReLU(5)
    with torch.no_grad():
        slow.weight.copy_(torch.linspace(-0.3, 0.6, 5))
        quick.weight.copy_(slow.weight)
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(quick(x), slow(x))
