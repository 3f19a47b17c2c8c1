"""Statistics of batch norms taken anew: those of the network before describe channels that are not there any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core.errors import ModelError
from edgekit.prune.channels.frames import Batches

if TYPE_CHECKING:
    from torch import nn


def retake(network: nn.Module, batches: Batches) -> int:
    """Mean and variance of every batch norm over ``batches``, in place; gives how many norms there are.

    The averages over batches, all norms at once (Izmailov et al., "Averaging Weights Leads to Wider Optima", 2018,
    section 3.3); everything else is in eval mode.

    Raises:
        ModelError: the network takes single frames only.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return 0
    network.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    try:
        with torch.no_grad():
            for tensors, _ in batches:
                network(*tensors)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            "prune: the network does not run on a batch of frames, of which statistics of batch norms are taken "
            f"({str(error).splitlines()[0]}); set recalibrate: false"
        ) from error
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    return len(norms)
