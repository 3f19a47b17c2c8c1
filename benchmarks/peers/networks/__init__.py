"""The reference networks of the benchmark: one file each, here or in examples/, and the table that names them.

Each module's ``build()`` gives the network with random weights; ``load(NETWORKS[name])``
gives it trained, in evaluation mode.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

REPO = Path(__file__).resolve().parents[3]
PEERS = Path("benchmarks/peers")
IMAGENET = {"color": "rgb", "scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Network:
    """One reference network.

    Args:
        name: key of :data:`NETWORKS`.
        file: the module with ``build``, from the root of the repository.
        input_shape: of its one input, float32, batch first.
        weights: state_dict, from the root of the repository; ``fetched`` when it is not in it.
        preprocess: keys of ``preprocess.<input>`` in an ``edgekit.yaml``.
    """

    name: str
    file: Path
    input_shape: tuple[int, int, int, int]
    weights: Path
    preprocess: dict[str, Any] = field(default_factory=dict)
    fetched: bool = False

    def build(self) -> nn.Module:
        """The network in training mode, randomly initialised."""
        spec = importlib.util.spec_from_file_location(f"network_{self.name}", REPO / self.file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        network: nn.Module = module.build()
        return network


def load(network: Network, weights: Path | None = None) -> nn.Module:
    """The trained network, float32, in evaluation mode; float16 weights are cast by the copy."""
    import torch

    module = network.build()
    module.load_state_dict(torch.load(weights or REPO / network.weights, map_location="cpu", weights_only=True))
    return module.eval()


def _network(
    name: str, size: tuple[int, int], preprocess: dict[str, Any], fetched: bool = False, file: Path | None = None
) -> Network:
    file, weights = file or PEERS / "networks" / f"{name}.py", PEERS / "weights" / f"{name}.pth"
    return Network(name, file, (1, 3, *size), weights, {"resize": size, "mode": "stretch"} | preprocess, fetched)


HARD = Network(
    "hard",
    Path("examples/hard/model.py"),
    (1, 3, 180, 240),
    Path("examples/hard/weights.pth"),
    {"resize": (180, 240), "mode": "stretch", **IMAGENET},
)
NETWORKS = {
    network.name: network
    for network in (
        _network(
            "yolox_nano",
            (416, 416),
            {"mode": "letterbox-topleft", "color": "bgr"},
            fetched=True,
            file=Path("examples/yolox/model.py"),
        ),
        _network("mobilenet_v2", (224, 224), IMAGENET, fetched=True, file=Path("examples/mobilenet_v2/model.py")),
        _network("vit", (352, 480), IMAGENET),
        _network("plain", (360, 480), IMAGENET),
        HARD,
    )
}
