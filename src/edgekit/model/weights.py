"""Weights files: read without running anything they hold, and put into the network.

Tensors only: nothing is unpickled, whatever a file holds, but the plain records that training code puts beside a
state_dict (paths, times, ``argparse.Namespace``, NumPy scalars).
"""

from __future__ import annotations

import argparse
import collections
import datetime
import logging
import math
import pathlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core import files
from edgekit.core.errors import ModelError
from edgekit.core.spec import ModelConfig
from edgekit.model import misfit, safetensorfile, statedict, usercode

if TYPE_CHECKING:
    from torch import nn

_log = logging.getLogger(__name__)


def load_weights(network: nn.Module, config: ModelConfig) -> None:
    """Put the tensors of ``config.weights`` into ``network``.

    Raises:
        ModelError: no such file, no tensors, names or shapes that do not fit, or two sets of weights that do.
    """
    assert config.weights is not None
    path = config.weights
    wanted = statedict.Wanted(config.weights_key, config.strip_prefix or "", config.ignore)
    expected = _shapes(network)
    chosen = statedict.choose(read_tensors(path), expected, wanted, path)
    if chosen.left_out:
        _log.warning(
            "weights %s: %d tensors that do not begin with %r are left out: %s",
            path, len(chosen.left_out), wanted.prefix, statedict.some(chosen.left_out),
        )  # fmt: skip
    try:
        # The model's own load hooks may rename keys, so PyTorch decides what fits.
        network.load_state_dict(dict(chosen.state), strict=True)
    except Exception as error:  # a network may load in its own way, and raise anything
        problem = misfit.describe(chosen, expected, wanted)
        problem = problem or f"{usercode.blame(error)}{usercode.describe(error)}"
        raise ModelError(f"weights {path} do not fit the model: {problem}") from error


def _shapes(network: nn.Module) -> statedict.Shapes:
    with usercode.translated("the network's state_dict() fails"):
        tensors: dict[str, Any] = network.state_dict()
        return {name: tuple(value.shape) for name, value in tensors.items() if hasattr(value, "shape")}


def read_tensors(path: Path) -> Any:
    """What a weights file holds: mappings of tensors, and plain values.

    Raises:
        ModelError: no such file, a damaged one, or one that holds other Python objects.
    """
    import torch

    if not path.is_file():
        raise files.missing("weights", path)
    if pointer := files.stand_in(path):
        raise ModelError(f"weights {path} are {pointer}")
    if safetensorfile.is_safetensors(path):
        return safetensorfile.read(path)
    try:
        with usercode.quiet(), torch.serialization.safe_globals(_plain()):
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # corrupt bytes make the unpickler raise anything, KeyError too
        what = _refused(path, error)
        if what:
            raise ModelError(
                f"weights {path} hold more than tensors ({what}), which is never unpickled; "
                "save them with torch.save(model.state_dict(), path)"
            ) from error
        size = path.stat().st_size
        raise ModelError(
            f"weights {path} ({size} bytes) are not a complete PyTorch file; "
            "copy or download it again, or save it with torch.save(model.state_dict(), path)"
        ) from error


def _plain() -> list[Any]:
    """Records without behaviour, beside those that PyTorch allows; NumPy's under the names of both its generations."""
    scalar: Any = np.array(0.0)[()].__reduce__()[0]
    array: Any = np.zeros(1).__reduce__()[0]
    kinds = [np.dtype, np.ndarray, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdg"}, argparse.Namespace]
    kinds += [pathlib.PosixPath, pathlib.PurePosixPath, collections.defaultdict]
    kinds += [datetime.datetime, datetime.date, datetime.timedelta]
    moved = [(kind, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")
             for kind, name in ((scalar, "scalar"), (array, "_reconstruct"))]  # fmt: skip
    return [*kinds, *moved]


def _refused(path: Path, error: Exception) -> str:
    """What a weights file holds besides tensors; ``""`` when it is damaged instead."""
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return found.group(1)
    if "TorchScript" in str(error):
        return "a TorchScript archive"
    with path.open("rb") as stream:
        head = stream.read(2)
    return "a Python pickle" if head[:1] == b"\x80" and head[1:] > b"\x02" else ""  # PyTorch writes protocol 2


def check_finite(network: nn.Module, source: object) -> None:
    """Raise :class:`ModelError` when a weight is NaN or Inf; buffers of -Inf are attention masks."""
    import torch

    with usercode.translated("the network's named_parameters() and state_dict() fail"):
        parameters = dict(network.named_parameters())
        tensors = network.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            continue
        bad = ~torch.isfinite(tensor.detach())
        if name not in parameters:
            bad &= tensor != -math.inf
        if bad.any():
            raise ModelError(
                f"{source}: {int(bad.sum())} of {tensor.numel()} values of {name!r} are NaN or Inf; "
                "use a checkpoint from before the training diverged"
            )
