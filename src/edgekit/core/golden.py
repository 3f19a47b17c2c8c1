"""Golden inputs and outputs: what a build's model was fed, and what the references make of it.

A file of them is a ``.npz`` whose arrays are named ``input.<frame>.<tensor>``, ``output.<frame>.<tensor>`` (of the
model as it was loaded, in float32) and ``<reference>.<frame>.<tensor>`` (of a typed ONNX file, unoptimised).  Of a
large output a bundle keeps some values: then ``shape.<frame>.<tensor>`` is the shape that the output has, and value
``k`` is the one at the flat place ``(k * 2654435769 mod 2**32) * size // 2**32`` of its ``size``.  Nobody else knows
these names.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
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
WHOLE = 2**17
"""Values up to which an output is kept whole in a bundle."""
KEPT = 2**15
"""How many values are kept of a larger one: relative L2 over them is that of the output within a few percent."""
_FEEDS, _LOADED, _SHAPE = "input", "output", "shape"
"""Roles in a file; every other role is the name of a reference."""
_GOLDEN_RATIO = 2654435769
"""Of 2**32: its multiples spread evenly over any length (H. Weyl), whatever the width of a row is."""


@dataclass(frozen=True)
class Golden:
    """Inputs of a few frames, and the outputs of one or more references on each.

    A reference is named like the precision of the model that it comes from; :data:`FP32` is the model as it was loaded.
    """

    inputs: tuple[Arrays, ...] = ()
    """Tensors by input name, one mapping a frame."""
    references: Mapping[str, tuple[Arrays, ...]] = field(default_factory=dict)
    """Reference name to tensors by output name, one mapping a frame."""
    shapes: tuple[Mapping[str, tuple[int, ...]], ...] = ()
    """Of outputs whose references hold some of their values: the whole shape by output name, one mapping a frame."""

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
        shapes = {name: array.shape for name, array in arrays.items()}
        if role == "output" and self.shapes:
            shapes |= self.shapes[0]
        return tuple(TensorSpec(name, shapes[name], array.dtype.name) for name, array in arrays.items())

    def whole(self, frame: int) -> bool:
        """Whether the outputs of a frame are kept with all their values."""
        return not (self.shapes and self.shapes[frame])

    def kept(self, frame: int, name: str, output: Array) -> Array:
        """Those values of an output that the references hold: all of it, or a flat selection.

        One of another shape than the references' is given back as it is.
        """
        shape = self.shapes[frame].get(name) if self.shapes else None
        return output if shape is None or output.shape != shape else _thinned(output)

    def thinned(self, whole: Collection[str] = ()) -> Self:
        """The same with :data:`KEPT` values of each output that has more than :data:`WHOLE`.

        Outputs named in ``whole`` stay, and those whose shape differs between references.
        """
        assert not self.shapes, "it is thinned already"
        shapes: list[dict[str, tuple[int, ...]]] = []
        for frame in range(self.frames):
            found = [outputs[frame] for outputs in self.references.values()]
            large = {name: array.shape for name, array in self.outputs(frame).items() if array.size > WHOLE}
            alike = {name for name in large if all(each[name].shape == large[name] for each in found if name in each)}
            shapes.append({name: large[name] for name in sorted(alike - set(whole))})
        references = {
            reference: tuple(
                {name: _thinned(array) if name in shapes[frame] else array for name, array in found.items()}
                for frame, found in enumerate(outputs)
            )
            for reference, outputs in self.references.items()
        }
        return type(self)(self.inputs, references, tuple(shapes))

    def with_reference(self, name: str, outputs: Sequence[Arrays]) -> Self:
        """These frames with one more reference, or another one of that name.

        Args:
            name: without a dot.
            outputs: tensors by output name, one mapping a frame.
        """
        taken = (_FEEDS, _LOADED, _SHAPE)
        if "." in name or name in taken:
            raise ValueError(f"reference {name!r}: expected a name without a dot, and none of {', '.join(taken)}")
        if len(outputs) != self.frames:
            raise ValueError(f"reference {name!r} has outputs of {len(outputs)} frames; expected {self.frames}")
        return type(self)(self.inputs, {**self.references, name: tuple(dict(frame) for frame in outputs)}, self.shapes)

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
        sizes = [{name: tuple(x.tolist()) for name, x in found.items()} for found in by_frame.pop(_SHAPE, ())]
        references = {FP32 if role == _LOADED else role: found for role, found in by_frame.items()}
        return cls(inputs, references, tuple(sizes))

    def write(self, path: Path, deflated: bool = False) -> None:
        """Write the file, atomically; the same arrays give the same bytes."""
        arrays = _named(_FEEDS, self.inputs)
        for name, outputs in self.references.items():
            arrays |= _named(_LOADED if name == FP32 else name, outputs)
        for frame, shapes in enumerate(self.shapes):
            arrays |= {f"{_SHAPE}.{frame}.{name}": np.array(shape, np.int64) for name, shape in shapes.items()}
        write_arrays(path, arrays, deflated)


def _thinned(output: Array) -> Array:
    places = (np.arange(KEPT, dtype=np.uint64) * np.uint64(_GOLDEN_RATIO)) % np.uint64(2**32)
    chosen: Array = output.reshape(-1)[places * np.uint64(output.size) // np.uint64(2**32)]
    return chosen


def _parsed(key: str, path: Path) -> tuple[str, int, str]:
    role, frame, name = [*key.split(".", 2), "", ""][:3]
    if not (role and frame.isdecimal() and name):
        raise BundleError(f"{path}: array {key!r}; expected <role>.<frame>.<tensor>; run edgekit compress again")
    return role, int(frame), name


def _named(role: str, frames: Sequence[Arrays]) -> dict[str, Array]:
    return {f"{role}.{frame}.{name}": array for frame, found in enumerate(frames) for name, array in found.items()}


def write_arrays(path: Path, arrays: Arrays, deflated: bool = False) -> None:
    """Write arrays by name as one ``.npz`` file, atomically and without pickling; the same arrays, the same bytes."""
    buffer = io.BytesIO()
    save = np.savez_compressed if deflated else np.savez
    save(buffer, allow_pickle=False, **dict(arrays))
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a ``.npz`` file by name; never unpickled."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
