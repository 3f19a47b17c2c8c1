"""Load the user's model, export it, run it on golden frames: in a process of its own, which records what was used."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from edgekit.core import plugins
from edgekit.core.artifacts import sha256_file, write_bytes, write_json
from edgekit.core.errors import MissingRequirement
from edgekit.core.progress import Progress
from edgekit.core.sources import Sources
from edgekit.core.spec import InputSection, ModelConfig
from edgekit.model import export, load, opset
from edgekit.model.recording import Recorder
from edgekit.preprocess import Preprocess
from edgekit.stages.compressed import EXPORT
from edgekit.stages.job import Feeds

if TYPE_CHECKING:
    from torch import nn

_INPUTS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, InputSection])
_log = logging.getLogger("edgekit")
MODEL, GOLDEN = "fp32.onnx", "golden.npz"


def work(order: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Fill ``order["out"]`` with the FP32 ONNX file and golden inputs and outputs.

    Returns:
        ``sources``, and ``result``: digests of the weights as they were loaded, of the graph and of the golden arrays.
    """
    config = ModelConfig.model_validate({**order["model"], "base": order["base"]})
    out = Path(order["out"])
    with progress.track("load model"):
        # A factory without weights keeps its random ones.
        random.seed(order["seed"])
        np.random.seed(order["seed"] % 2**32)
        _torch().manual_seed(order["seed"])
        recorder = _recorder(config, out)
        model = load.load_model(config)
    with progress.track("export to ONNX"):
        denormals = export.export(model, out / MODEL)
        write_bytes(out / MODEL, opset.lowered((out / MODEL).read_bytes()))
        sources = recorder.sources() if recorder is not None else Sources()
        data = plugins.load("data", order["data"]["format"]).Config.model_validate(order["data"])
        preprocess = Preprocess(_INPUTS.validate_python(order["preprocess"]))
        golden = export.golden(model, list(Feeds(preprocess, data.open(), order["frames"])))
    golden.write(out / GOLDEN)
    write_json(out / EXPORT, {"denormals": denormals.to_dict()})
    if denormals.zeroed:
        _log.info("%d denormal weights in %d tensors are zero now", denormals.zeroed, denormals.tensors)
    for name in denormals.constants:
        _log.warning("constant %s is a denormal number; engines that flush these take it for zero", name)
    result = {"graph": sha256_file(out / MODEL), "golden": sha256_file(out / GOLDEN)}
    if model.module is not None:
        result["weights"] = _digest(model.module)
    return {"sources": sources.to_dict(), "result": result}


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingRequirement("PyTorch", 'pip install "edgekit[compress]"') from error
    return torch


def _recorder(config: ModelConfig, out: Path) -> Recorder | None:
    """A recorder that runs; None: there is no code of the user's to record."""
    if config.factory is None:
        return None
    for needed in ("onnx", "onnxscript", "torch._dynamo"):  # of the export itself, so no part of the list
        with contextlib.suppress(ImportError):  # the export says so
            importlib.import_module(needed)
    recorder = Recorder(config.base.resolve(), out)
    recorder.start()
    return recorder


def _digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of the state_dict."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {getattr(tensor, 'dtype', '')} {getattr(tensor, 'shape', '')}\n".encode())
        if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and not tensor.is_quantized:
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            total.update(repr(tensor).encode())
    return total.hexdigest()
