"""Golden inputs and outputs: what a build's model was fed, and what the references make of it.

A file of them is a ``.npz`` whose arrays are named ``input.<frame>.<tensor>``, ``output.<frame>.<tensor>`` (of the
model as it was loaded, in float32) and ``<reference>.<frame>.<tensor>`` (of a typed ONNX file, unoptimised).  Nobody
outside this module knows these names.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from typing_extensions import Self

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError
from edgekit.core.tensors import Array, Arrays, TensorSpec

GOLDEN_FRAMES = 2
"""How many frames a build keeps."""
FP32 = "fp32"
"""The reference that every build has: the model as it was loaded."""
_FEEDS, _LOADED = "input", "output"
"""Roles in a file; every other role is the name of a reference."""


@dataclass(frozen=True)
class Golden:
    """Inputs of a few frames, and the outputs of one or more references on each.

    A reference is named like the precision of the model that it comes from; :data:`FP32` is the model as it was loaded.
    """

    inputs: tuple[Arrays, ...] = ()
    """Tensors by input name, one mapping a frame."""
    references: Mapping[str, tuple[Arrays, ...]] = field(default_factory=dict)
    """Reference name to tensors by output name, one mapping a frame."""

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.inputs)

    def feeds(self, frame: int) -> dict[str, Array]:
        """The inputs of one frame."""
        return dict(self.inputs[frame])

    def outputs(self, frame: int, reference: str = FP32) -> dict[str, Array]:
        """What ``reference`` makes of one frame.

        Raises:
            BundleError: the reference, or its outputs of this frame, are not there.
        """
        found = self.references.get(reference, ())
        if frame >= len(found) or not found[frame]:
            known = ", ".join(sorted(self.references)) or "none"
            raise BundleError(
                f"golden.npz lacks the outputs of {reference} on frame {frame} (it has those of: {known}); "
                "run edgekit compress again"
            )
        return dict(found[frame])

    def output(self, frame: int, name: str, reference: str = FP32) -> Array:
        """One output of ``reference`` on one frame.

        Raises:
            BundleError: it is not there.
        """
        found = self.outputs(frame, reference)
        if name not in found:
            raise BundleError(
                f"golden.npz lacks output {name!r} of {reference} on frame {frame} (it has: {', '.join(found)}); "
                "run edgekit compress again"
            )
        return found[name]

    def interface(self, role: Literal["input", "output"]) -> tuple[TensorSpec, ...]:
        """Name, shape and dtype of the model's inputs or outputs, as they are on the first frame."""
        arrays = self.feeds(0) if role == "input" else self.outputs(0)
        return tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in arrays.items())

    def with_reference(self, name: str, outputs: Sequence[Arrays]) -> Self:
        """These frames with one more reference, or another one of that name.

        Args:
            name: without a dot.
            outputs: tensors by output name, one mapping a frame.
        """
        if "." in name or name in (_FEEDS, _LOADED):
            raise ValueError(f"reference {name!r}: expected a name without a dot, and neither {_FEEDS} nor {_LOADED}")
        if len(outputs) != self.frames:
            raise ValueError(f"reference {name!r} has outputs of {len(outputs)} frames; expected {self.frames}")
        return type(self)(self.inputs, {**self.references, name: tuple(dict(frame) for frame in outputs)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The golden arrays of a file, which is never unpickled.

        Raises:
            BundleError: an array has a name that none of these has.
        """
        roles: dict[str, dict[int, dict[str, Array]]] = {_FEEDS: {}}
        for key, array in read_arrays(path).items():
            role, frame, name = _parsed(key, path)
            roles.setdefault(role, {}).setdefault(frame, {})[name] = array
        count = 1 + max(roles[_FEEDS], default=-1)
        by_frame = {role: tuple(found.get(frame, {}) for frame in range(count)) for role, found in roles.items()}
        inputs = by_frame.pop(_FEEDS)
        return cls(inputs, {FP32 if role == _LOADED else role: found for role, found in by_frame.items()})

    def write(self, path: Path) -> None:
        """Write the file, atomically; the same arrays give the same bytes."""
        arrays = _named(_FEEDS, self.inputs)
        for name, outputs in self.references.items():
            arrays |= _named(_LOADED if name == FP32 else name, outputs)
        write_arrays(path, arrays)


def _parsed(key: str, path: Path) -> tuple[str, int, str]:
    role, frame, name = [*key.split(".", 2), "", ""][:3]
    if not (role and frame.isdecimal() and name):
        raise BundleError(f"{path}: array {key!r}; expected <role>.<frame>.<tensor>; run edgekit compress again")
    return role, int(frame), name


def _named(role: str, frames: Sequence[Arrays]) -> dict[str, Array]:
    return {f"{role}.{frame}.{name}": array for frame, found in enumerate(frames) for name, array in found.items()}


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays by name as one ``.npz`` file, atomically and without pickling."""
    write_bytes(path, packed_arrays(arrays))


def packed_arrays(arrays: Arrays) -> bytes:
    """The bytes of a ``.npz`` file of these arrays; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a ``.npz`` file by name; never unpickled."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
