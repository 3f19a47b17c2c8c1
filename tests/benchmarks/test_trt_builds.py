"""TensorRT for RTX builds engines of the reference networks for GPUs that are not here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from benchmarks.peers.networks import NETWORKS, REPO, Network, load

from edgekit.core.errors import MissingRequirement
from edgekit.core.tensors import TensorSpec
from edgekit.engine import trt
from edgekit.engine.trt import bindings, guard
from edgekit.model.export import export
from edgekit.model.load import LoadedModel
from edgekit.quantize import half, ptq
from edgekit.technique import Job
from tests.support.graphs import normal

CAMVID = Network("camvid", Path("examples/camvid/model.py"), (1, 3, 360, 480), Path("examples/camvid/weights.pth"))
REFERENCES = {"camvid": CAMVID} | {name: NETWORKS[name] for name in ("yolox_nano", "mobilenet_v2")}
CAPABILITIES = ("8.6", "8.9", "12.0")


class Images:
    """Two noise images of the network's size: enough for ranges that a builder reads."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return ({"image": normal(seed, *self.shape)} for seed in range(2))


class Tuple(torch.nn.Module):
    """A network whose outputs are a tuple, as the export takes it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = self.network(image)
        return tuple(made) if isinstance(made, tuple | list) else (made,)


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    try:
        api = bindings.load()
    except MissingRequirement as missing:
        pytest.skip(str(missing))
    if not set(CAPABILITIES) <= set(api.capabilities()):
        pytest.skip(f"{api.flavour} {api.version} builds only for the GPU it is on")


@pytest.fixture(scope="module", params=REFERENCES)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Typed ONNX files of one network by precision."""
    network: Network = REFERENCES[request.param]
    if (REPO / network.weights).is_file():
        module = load(network)
    else:
        torch.manual_seed(0)
        module = network.build().eval()
    folder = tmp_path_factory.mktemp(network.name)
    with torch.no_grad():
        module = Tuple(module)
        outputs = tuple(f"out{k}" for k in range(len(module(torch.zeros(network.input_shape)))))
    inputs = (TensorSpec("image", network.input_shape, "float32"),)
    files = {name: folder / f"{name}.onnx" for name in ("fp32", "fp16", "int8")}
    export(LoadedModel(inputs, outputs, module=module), files["fp32"])
    job = Job(files["fp32"], Images(network.input_shape), "tensorrt")
    files["int8"].write_bytes(ptq.apply(job, ptq.Config(calibrator="minmax")).model)
    files["fp16"].write_bytes(half.apply(job, half.Config(method="half", dtype="fp16")).model)
    return files


def built(source: Path, folder: Path, **keys: Any) -> guard.Facts:
    target = folder / f"{source.stem}{trt.Backend.suffix}"
    trt.Backend(trt.Config(engine="trt", **keys)).build(source, target)
    return guard.check(target, replace(_machine(keys), driver="any"))


def _machine(keys: dict[str, Any]) -> guard.Machine:
    """The machine that the engine is for."""
    api = bindings.load()
    return guard.Machine(api.flavour, api.version, "13.0", keys["compute_capability"], "a GPU", None)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_builds(models: dict[str, Path], precision: str, tmp_path: Path) -> None:
    for capability in CAPABILITIES:
        facts = built(models[precision], tmp_path, compute_capability=capability)
        assert facts.compute_capability == capability
        assert facts.device is None


@pytest.mark.slow
def test_builds_a_dynamic_batch(models: dict[str, Path], tmp_path: Path) -> None:
    """One profile from 1 to 4 images; the INT8 network is the hardest of the three to keep dynamic."""
    source = _with_free_batch(models["int8"], tmp_path / "dynamic.onnx")
    shapes = {size: (count, *_shape(source)[1:]) for size, count in (("min", 1), ("opt", 2), ("max", 4))}
    for capability in CAPABILITIES:
        facts = built(source, tmp_path, compute_capability=capability, profiles=[{"image": shapes}])
        assert facts.options["profiles"][0]["image"]["max"][0] == 4


def _shape(path: Path) -> list[int]:
    return [axis.dim_value for axis in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]


def _with_free_batch(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    reshaped = {name for node in model.graph.node if node.op_type == "Reshape" for name in node.input[1:]}
    for tensor in model.graph.initializer:
        if tensor.name in reshaped:
            sizes = onnx.numpy_helper.to_array(tensor)
            # The batch is what is left over, or what it was where another size is left over.
            free = np.array([0 if -1 in sizes[1:] else -1, *sizes[1:]])
            tensor.CopyFrom(onnx.numpy_helper.from_array(free, tensor.name))
    del model.graph.value_info[:]
    onnx.save(model, target)
    return target
