"""The file that a training run continues from: whole or absent, and refused by another run."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
_FREE = {"checkpoint_every"}  # settings that do not change the result


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones once; a state_dict could hold more than tensors."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def identity(network: nn.Module, config: BaseModel, examples: int, title: str) -> dict[str, Any]:
    """What a run is: a checkpoint continues only a run that is the same in all of it."""
    held = tensors(network)
    digest = hashlib.sha256()
    for name in sorted(held):
        digest.update(name.encode() + _bytes(held[name]))
    return {
        "format": FORMAT,
        "run": title,
        "config": config.model_dump(mode="json", exclude=_FREE),
        "examples": examples,
        "tensors": {name: [str(t.dtype).removeprefix("torch."), *t.shape] for name, t in held.items()},
        "start": digest.hexdigest(),
    }


class Checkpoint:
    """A file of tensors and plain values, replaced as a whole; ``path`` None keeps nothing."""

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = dict(identity)

    def read(self) -> dict[str, Any] | None:
        """What was written last, or None.

        Raises:
            ModelError: the file is not a checkpoint, or one of another run; the message says what differs.
        """
        if self.path is None or not self.path.exists():
            return None
        import torch

        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise ModelError(f"{self.path} is not a training checkpoint; delete it to start again") from error
        if not isinstance(found, dict) or "identity" not in found or "state" not in found:
            raise ModelError(f"{self.path} is not a training checkpoint; delete it to start again")
        problem = _difference(found["identity"], self.identity)
        if problem:
            raise ModelError(f"checkpoint {self.path} is of another run: {problem}; delete it to start again")
        state: dict[str, Any] = found["state"]
        return state

    def write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Replace the file."""
        if self.path is None:
            return
        import torch

        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "state": dict(state())}, buffer)
        write_bytes(self.path, buffer.getvalue())


def _difference(saved: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """The first thing in which two runs differ, in words; ``""`` when they are the same run."""
    if saved.get("format") != current["format"]:
        return f"its format is {saved.get('format')}, expected {current['format']}"
    for key in ("run", "examples"):
        if saved[key] != current[key]:
            return f"its {key} is {saved[key]!r}, now {current[key]!r}"
    for section, what in (("config", "setting"), ("tensors", "tensor")):
        for name in (*current[section], *saved[section]):
            old, new = (side[section].get(name, "absent") for side in (saved, current))
            if old != new:
                return f"its {what} {name} is {old}, now {new}"
    return "" if saved["start"] == current["start"] else "the network started from other weights"


def _bytes(tensor: Tensor) -> bytes:
    import torch

    plain = tensor.detach().cpu().contiguous()
    content: bytes = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return content
