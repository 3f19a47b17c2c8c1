"""A ``.pt2`` file of ``torch.export.save``; nothing in it is unpickled."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core import files
from edgekit.core.errors import ModelError
from edgekit.model import usercode, weights

if TYPE_CHECKING:
    from torch import nn


def read(path: Path) -> nn.Module:
    """The program's module.

    Raises:
        ModelError: no such file, a damaged one, one of another PyTorch, pickled objects, or NaN among the weights.
    """
    import torch

    if not path.is_file():
        raise files.missing("exported", path)
    if pointer := files.stand_in(path):
        raise ModelError(f"{path} is {pointer}")
    _refuse_pickles(path)
    try:
        with usercode.quiet():
            program = torch.export.load(path)
            network: nn.Module = program.module()
    except Exception as error:  # the reader raises whatever a damaged or newer archive leads to
        raise ModelError(
            f"{path} cannot be read by PyTorch {torch.__version__}: {usercode.describe(error)}; "
            "write it again with torch.export.save and this version"
        ) from error
    weights.check_finite(network, path)
    return network


def _refuse_pickles(path: Path) -> None:
    """PyTorch unpickles parts of a ``.pt2`` that are not plain tensors; such a file could run any code."""
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pt"):
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True, map_location="cpu")
                elif name.endswith("_config.json"):
                    entries = json.loads(archive.read(name)).get("config", {}).values()
                    if any(entry.get("use_pickle") for entry in entries):
                        raise pickle.UnpicklingError(name)
                elif "custom_obj" in name.rpartition("/")[2]:
                    raise pickle.UnpicklingError(name)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds pickled Python objects, which are never unpickled; export a model of plain tensors"
        ) from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{path} is not a complete .pt2 file; write it again with torch.export.save") from error
