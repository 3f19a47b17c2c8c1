"""The models of the benchmark: what they are, how a CamVid frame goes in, and how accuracy is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.common import REPO, Frames
from benchmarks.peers.networks import IMAGENET, NETWORKS

from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.predictions import Geometry
from edgekit.core.spec import ModelConfig
from edgekit.core.tensors import Array
from edgekit.data.camvid import CamVid
from edgekit.inputs.image import Config
from edgekit.preprocess import Preprocess

CAMVID_CLASSES = (
    *("Sky", "Building", "Pole", "Road", "Pavement", "Tree"),
    *("SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"),
)
CAMVID_VOID = 11
SPLITS = ("val", "test")


@dataclass(frozen=True)
class Model:
    """One network.

    Args:
        title: one line for the page.
        source: keys of :class:`edgekit.core.spec.ModelConfig`, without the inputs; paths from the repository's root.
        transform: keys of :class:`edgekit.inputs.image.Config`.
        metric: see :mod:`benchmarks.peers.metrics`.
        input: name of the model's input.
        limits: at most so many evaluation frames of a split, evenly spread; all when absent.
        crops: square crops of a frame, left to right; 0: the whole frame.
        transformer: tells the peers that ask for it.
    """

    title: str
    source: dict[str, Any]
    transform: dict[str, Any]
    metric: Literal["segmentation", "agreement", "detection"]
    input: str = "image"
    limits: dict[str, int] = field(default_factory=dict)
    crops: int = 0
    transformer: bool = False

    @property
    def output(self) -> str:
        return str(self.source["outputs"][0])

    def config(self) -> ModelConfig:
        inputs = {self.input: {"shape": (1, 3, *self.transform["resize"])}}
        paths = {key: REPO / self.source[key] for key in ("weights", "onnx") if key in self.source}
        return ModelConfig.model_validate({**self.source, **paths, "inputs": inputs, "base": REPO})

    def preprocess(self) -> Preprocess:
        return Preprocess({self.input: Config.model_validate(self.transform)})

    def digest(self) -> str:
        """Of everything that decides the FP32 file and its inputs."""
        config = self.config()
        files = [path for path in (config.weights, config.onnx) if path is not None]
        if config.factory is not None:
            files.append(REPO / config.factory.split(":")[0])
        missing = [path for path in files if not path.is_file()]
        if missing:
            raise SystemExit(f"{missing[0]}: no such file; benchmarks/peers/networks/fetch.py gets published weights")
        hashes = [sha256_file(path) for path in files]
        own = {key: getattr(self, key) for key in ("source", "transform", "input", "crops")}
        return sha256_of([own, hashes])[:12]


def _network(name: str, title: str, metric: Literal["segmentation", "agreement", "detection"], **more: Any) -> Model:
    """A network of :data:`benchmarks.peers.networks.NETWORKS`."""
    network = NETWORKS[name]
    source = {
        "factory": f"{network.file.as_posix()}:build",
        "weights": network.weights.as_posix(),
        "outputs": ["output" if metric == "detection" else "logits"],
    }
    height, width = network.input_shape[2:]
    return Model(f"{title}, {height}x{width}", source, network.preprocess, metric, **more)


MODELS: dict[str, Model] = {
    "camvid": Model(
        "MobileNetV2 encoder with a convolutional decoder, road-scene segmentation, 360x480",
        {"factory": "examples/camvid/model.py:build", "weights": "examples/camvid/weights.pth", "outputs": ["logits"]},
        {"resize": (360, 480), **IMAGENET},
        "segmentation",
    ),
    "plain": _network("plain", "Dense convolutions and ReLU, road-scene segmentation", "segmentation"),
    "vit": _network("vit", "Vision transformer, road-scene segmentation", "segmentation", transformer=True),
    "hard": _network(
        "hard",
        "PReLU, dilated and transposed convolutions, spatial attention, road-scene segmentation",
        "segmentation",
    ),
    "mobilenet_v2": _network("mobilenet_v2", "MobileNetV2, ImageNet classifier", "agreement", crops=2),
    "yolox_nano": _network(
        "yolox_nano", "YOLOX-Nano, COCO detector", "detection", input="images", limits={"val": 50, "test": 100}
    ),
}


def square_crops(image: Array, count: int) -> list[Array]:
    """``count`` squares as high as the image, evenly spread from its left to its right edge; 0: the image itself."""
    if count == 0:
        return [image]
    height, width = image.shape[:2]
    lefts = [(width - height) * index // max(count - 1, 1) for index in range(count)]
    return [image[:, left : left + height] for left in lefts]


def evaluation(model: Model, camvid: Path, split: str) -> Iterator[tuple[dict[str, Array], Geometry, Array]]:
    """Inputs, geometry and mask of every evaluation frame (of every crop; the mask is then not to be used)."""
    preprocess = model.preprocess()
    for sample in CamVid(camvid, split, model.limits.get(split)):
        for image in square_crops(sample.images["image"], model.crops):
            prepared = preprocess({"image": image})
            yield prepared.feeds, prepared.geometry, sample.truth


def prepare(model: Model, camvid: Path, frames: int, folder: Path) -> None:
    """Write ``fp32.onnx`` and the calibration frames, spread over CamVid's training split, under ``folder``."""
    from edgekit.model.export import export
    from edgekit.model.load import load_model

    if not (folder / "fp32.onnx").exists():
        folder.mkdir(parents=True, exist_ok=True)
        export(load_model(model.config()), folder / "fp32.onnx")
    calibration = folder / f"frames-{frames}"
    if calibration.is_dir() and len(list(calibration.glob("*.npz"))) == frames:
        return
    preprocess = model.preprocess()
    crops = max(model.crops, 1)
    samples = CamVid(camvid, "train", frames)
    if len(samples) != frames:
        raise SystemExit(f"{camvid}: the training split has {len(samples)} frames, fewer than the {frames} asked for")
    images = (square_crops(sample.images["image"], model.crops)[index % crops] for index, sample in enumerate(samples))
    Frames.write(calibration, (preprocess({"image": image}).feeds for image in images))
