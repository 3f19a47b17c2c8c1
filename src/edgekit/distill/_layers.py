"""Layers of two networks by name, and what comes out of them while they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.suggest import allowed

if TYPE_CHECKING:
    from torch import Tensor, nn

_OWN = "network."
"""What the loader puts before the names of the user's own network."""


@dataclass(frozen=True)
class Pair:
    """A layer of the student and one of the teacher."""

    student: str
    teacher: str

    def __str__(self) -> str:
        return self.student if self.student == self.teacher else f"{self.student}: {self.teacher}"


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers of a network by the names that its own code gives them."""
    return {name.removeprefix(_OWN): module for name, module in network.named_modules() if name.removeprefix(_OWN)}


def pairs(given: Mapping[str, str], student: nn.Module, teacher: nn.Module) -> tuple[Pair, ...]:
    """Layers whose names match, a pattern of the student beside one of the teacher, in the order of each network.

    Raises:
        SpecError: a pattern matches nothing, or two beside each other match different numbers.
    """
    found = []
    for ours, theirs in given.items():
        first, second = _matching(ours, student, "the student"), _matching(theirs, teacher, "the teacher")
        if len(first) != len(second):
            raise SpecError(
                f"distill.layers: {ours!r} is {len(first)} layers of the student ({_some(first)}), and {theirs!r} "
                f"{len(second)} of the teacher ({_some(second)}); name as many of each"
            )
        found += [Pair(one, other) for one, other in zip(first, second, strict=True)]
    return tuple(found)


def _matching(pattern: str, network: nn.Module, whose: str) -> list[str]:
    known = [name for name in layers(network) if name != _OWN.rstrip(".")]
    found = [name for name in known if fnmatchcase(name, pattern)]
    if not found:
        raise SpecError(f"distill.layers: no layer of {whose} matches {pattern!r}; {allowed(pattern, tuple(known))}")
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


class Tap:
    """What layers gave in the last run of their network, float32 by name; what follows in place has changed it.

    Raises :class:`ModelError` while the network runs for a layer that gives no single tensor.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        self._modules = {name: layers(network)[name] for name in dict.fromkeys(names)}
        self._handles: list[Any] = []
        self.found: dict[str, Tensor] = {}
        self.open()

    def open(self) -> None:
        """Listen."""
        for name, module in self._modules.items():

            def keep(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                self.found[name] = _tensor(name, output)

            self._handles.append(module.register_forward_hook(keep))

    def close(self) -> None:
        """Listen no longer."""
        while self._handles:
            self._handles.pop().remove()
        self.found.clear()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Without listening: an export would trace it."""
        self.close()
        try:
            yield
        finally:
            self.open()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.found:
            raise ModelError(f"distill.layers: {name!r} is not reached when the network runs; name another layer")
        return self.found[name]


def _tensor(name: str, output: Any) -> Tensor:
    import torch

    if not isinstance(output, torch.Tensor) or output.ndim < 2:
        found = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"distill.layers: {name!r} gives {found}; expected one tensor of a batch: name a layer inside of it"
        )
    return output.float()


def fitted(given: Tensor, wanted: Tensor, pair: Pair) -> Tensor:
    """The teacher's features at the size of the student's: a dense one of another resolution is resized (bilinear).

    Raises:
        ModelError: one is dense and the other is not.
    """
    from torch.nn import functional

    if given.shape[2:] == wanted.shape[2:] or (given.ndim == wanted.ndim == 3 and given.shape[1] == wanted.shape[1]):
        return wanted
    if given.ndim != 4 or wanted.ndim != 4:
        raise ModelError(
            f"distill.layers: {pair.student!r} of the student gives {list(given.shape)}, {pair.teacher!r} of the "
            f"teacher {list(wanted.shape)}; expected (N, C, h, w) of both, or the same sizes: pair other layers"
        )
    return functional.interpolate(wanted, size=given.shape[2:], mode="bilinear", align_corners=False)


def projection(given: Tensor, wanted: Tensor) -> nn.Module:
    """What brings the student's width to the teacher's: a 1x1 convolution, of tokens ``(N, L, C)`` or vectors a linear
    layer; nothing where they are the same."""
    from torch import nn

    dense = given.ndim == 4
    width, other = (features.shape[1] if dense else features.shape[-1] for features in (given, wanted))
    if width == other:
        return nn.Identity()
    return nn.Conv2d(width, other, 1) if dense else nn.Linear(width, other)


def beside(student: nn.Module, projections: Sequence[nn.Module]) -> nn.Module:
    """A network that is the student, and holds the projections for the optimizer."""
    from torch import nn

    class Hinted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = student
            self.projections = nn.ModuleList(projections)

        def forward(self, *tensors: Tensor) -> Any:
            return self.student(*tensors)

    return Hinted()
