"""A compress step that changes the function: it switches the first of the body's channels off, and trains nothing.

``tests/stages/test_steps.py`` makes a package of it: all that a technique in another package needs is in this file.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from edgekit.core.errors import SpecError
from edgekit.core.variant import Changes
from edgekit.technique import Change, Changed, Job, TechniqueConfig

if TYPE_CHECKING:
    from torch import nn

LAYER = "body"


class Config(TechniqueConfig):
    method: Literal["narrow"]
    changes: ClassVar[Changes] = "function"
    keep: float = 0.5


def apply(job: Job, config: Config) -> Changed:
    if job.network is None or job.export is None:
        raise SpecError("narrow edits a PyTorch network; give model.factory")
    network = job.network()
    layer = next(module for name, module in network.named_modules() if name.endswith(LAYER))
    weight = layer.weight.detach().numpy().copy()
    off = range(round(len(weight) * (1 - config.keep)))
    weight[: len(off)] = 0
    file = io.BytesIO()
    np.save(file, weight)
    change = Change({"channels": list(off)}, file.getvalue())
    return Changed(job.export(rebuild(network, change)), change, files={"narrow.txt": f"{len(off)} off\n".encode()})


def rebuild(network: nn.Module, change: Change) -> nn.Module:
    import torch

    weight = torch.from_numpy(np.load(io.BytesIO(change.weights)))
    layer: Any = next(module for name, module in network.named_modules() if name.endswith(LAYER))
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias[change.record["channels"]] = 0
    return network
