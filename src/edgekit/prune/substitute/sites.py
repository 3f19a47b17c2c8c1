"""Where a network has operators that can be exchanged, as modules or as functions called in a forward, and how.

A module is found by its class, or by what it computes on a frame where its class is the user's own.  A call of
``torch.nn.functional`` has no module: it is found, and exchanged, by a
`TorchFunctionMode <https://pytorch.org/docs/stable/torch.overrides.html>`_ around the network's forward, which sees
every such call, in training and while torch.export traces.  ``x * sigmoid(x)`` written out is a call of SiLU: the
product is exchanged, and the sigmoid, which nothing reads any more, goes in the export.  The network's modules keep
their names; what stands in for calls is in a module list of its own beside them.
"""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase as fnmatch
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit.core.errors import SpecError
from edgekit.core.suggest import allowed
from edgekit.prune.substitute.forms import Kind

if TYPE_CHECKING:
    from torch import Tensor, nn

BESIDE = "substitutes"
"""The module list of what stands in for calls."""
_WRAPPER = "network."  # around the user's network, as it is loaded
_SMOOTH = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Site:
    """One operator of a network.

    Args:
        kind: of operator.
        module: its name; of a call, that of the module it is in, empty in the network's own forward.
        call: the place of a call among those of its kind, in the order in which they run; None: it is a module.
        channels: that it works on: axis 1 of an enlargement, the last axis of a normalization, else 0.
        scale: factors of height and width of an enlargement.
    """

    kind: Kind
    module: str
    call: int | None = None
    channels: int = 0
    scale: tuple[int, int] = (1, 1)

    def __str__(self) -> str:
        name = self.module.removeprefix(_WRAPPER)
        return name if self.call is None else f"a call in {name or 'forward'}"


def find(network: nn.Module, inputs: Sequence[Tensor], kinds: Collection[Kind], keep: Sequence[str] = ()) -> list[Site]:
    """Operators of ``kinds``, modules first; all of a kind have to be exchanged together.

    Args:
        network: in eval mode.
        inputs: one frame, positional.
        kinds: to look for.
        keep: patterns of modules that stay as they are, with all in them.

    Raises:
        SpecError: a pattern matches no module.
    """
    import torch

    kept = _kept([name for name, _ in network.named_modules() if name], keep)
    with torch.no_grad():
        matched = _modules(network, inputs)
        gone = {name for name in matched if name not in kept}
        calls = _calls(network, inputs, gone, set(matched) | kept)
    return [site for site in [*(matched[name] for name in matched if name in gone), *calls] if site.kind in kinds]


def exchange(network: nn.Module, chosen: Mapping[Site, nn.Module]) -> nn.Module:
    """``network`` with a module in place of each site, changed in place."""
    by_call: dict[tuple[Kind, int], nn.Module] = {}
    for site, module in chosen.items():
        if site.call is not None:
            by_call[site.kind, site.call] = module
            continue
        old = network.get_submodule(site.module)
        for parent in list(network.modules()):  # a module may stand in several places
            for name in [name for name, child in parent._modules.items() if child is old]:
                setattr(parent, name, module)
    if by_call:
        inner = network._modules.get("network")  # the user's own, in what loads it
        _intercept(network if inner is None else inner, by_call)
    return network


def _intercept(network: nn.Module, by_call: Mapping[tuple[Kind, int], nn.Module]) -> None:
    """Let the forward of ``network`` take the modules of ``by_call`` in place of the calls."""
    import torch
    from torch.overrides import TorchFunctionMode

    before = type(network)
    beside = BESIDE
    while hasattr(network, beside):
        beside += "_more"
    places = {key: place for place, key in enumerate(by_call)}

    class Instead(TorchFunctionMode):
        def __init__(self, modules: nn.ModuleList) -> None:
            super().__init__()
            self.modules = modules
            self.count: Counter[Kind] = Counter()
            self.calls = _Calls()

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            call = self.calls.of(func, args, kwargs or {})
            if call is not None:
                place = places.get((call.kind, self.count[call.kind]))
                self.count[call.kind] += 1
                if place is not None:
                    return self.modules[place](call.given)
            return self.calls.seen(func, args, kwargs or {}, func(*args, **(kwargs or {})))

    class Exchanged(before):  # type: ignore[misc,valid-type]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            with Instead(getattr(self, beside)):
                return super().forward(*args, **kwargs)

    Exchanged.__name__, Exchanged.__qualname__ = before.__name__, before.__qualname__
    Exchanged.__module__ = before.__module__
    network.__class__ = Exchanged
    setattr(network, beside, torch.nn.ModuleList(by_call.values()))


def _kept(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """The modules that ``patterns`` name, with all in them."""
    kept: set[str] = set()
    known = {name.removeprefix(_WRAPPER): name for name in names}
    for pattern in patterns:
        found = {name for short, name in known.items() if fnmatch(short, pattern) or fnmatch(short, f"{pattern}.*")}
        if not found:
            raise SpecError(f"prune: keep: no module is called {pattern!r}; {allowed(pattern, tuple(known))}")
        kept |= found
    return kept


def _modules(network: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Site]:
    """Modules without modules in them that are operators of a kind, by name."""
    found: dict[str, Site] = {}
    given: dict[str, Tensor] = {}

    def enters(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            if args and hasattr(args[0], "detach"):
                given[name] = args[0].detach().clone()  # it may work in place

        return hook

    def leaves(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
            one = given.pop(name, None)
            kind = None if one is None or not hasattr(result, "detach") else _kind_of_module(module, one, result)
            if one is not None and kind is not None and (made := _sized(kind, one, result)) is not None:
                found[name] = Site(kind, name, None, *made)

        return hook

    hooks = []
    for name, module in network.named_modules():
        if name and not list(module.children()):
            hooks += [module.register_forward_pre_hook(enters(name)), module.register_forward_hook(leaves(name))]
    _run(network, inputs, hooks)
    return found


def _calls(network: nn.Module, inputs: Sequence[Tensor], gone: Collection[str], kept: Collection[str]) -> list[Site]:
    """Calls outside of the modules ``gone``, which will not be there; those inside ``kept`` count, but stay."""
    from torch.overrides import TorchFunctionMode

    found: list[Site] = []
    count: Counter[Kind] = Counter()
    inside: list[str] = []
    calls = _Calls()

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            call = calls.of(func, args, kwargs or {})
            result = calls.seen(func, args, kwargs or {}, func(*args, **(kwargs or {})))
            if call is not None and not any(name in gone for name in inside):
                place = count[call.kind]
                count[call.kind] += 1
                made = _sized(call.kind, call.given, result)
                if made is not None and not any(name in kept for name in inside):
                    found.append(Site(call.kind, inside[-1] if inside else "", place, *made))
            return result

    hooks = []
    for name, module in network.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: inside.append(name)))
            hooks.append(module.register_forward_hook(lambda *_: inside.pop() and None))
    with Watching():
        _run(network, inputs, hooks)
    return found


def _run(network: nn.Module, inputs: Sequence[Tensor], hooks: Sequence[Any]) -> None:
    try:
        network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()


class _Call(NamedTuple):
    """A call that computes an operator of a kind, on a tensor."""

    kind: Kind
    given: Any


class _Was:
    """A tensor as it was: it is not held, and what works in place makes it another."""

    def __init__(self, tensor: Any) -> None:
        self._tensor, self._version = weakref.ref(tensor), _version(tensor)

    @property
    def gone(self) -> bool:
        return self._tensor() is None

    def still(self, tensor: Any) -> bool:
        return self._tensor() is tensor and self._version == _version(tensor)


def _version(tensor: Any) -> int:
    return 0 if tensor.is_inference() else int(tensor._version)


class _Calls:
    """Tells which calls of one run compute an operator: in their order, for a product is known by its sigmoid."""

    def __init__(self) -> None:
        self._sigmoids: list[tuple[_Was, _Was]] = []
        """What came out of a sigmoid, and what went in."""

    def of(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
        """What a call computes, before it is made; None: nothing that is looked for."""
        if func in _products() and len(args) == 2 and not kwargs:
            first, second = args
            whole = next((pair for pair in ((first, second), (second, first)) if self._is_sigmoid(*pair)), None)
            return None if whole is None else _Call("silu", whole[0])
        kind = _functions().get(func)
        if kind == "upsample" and kwargs.get("mode", args[3] if len(args) > 3 else "nearest") not in _SMOOTH:
            return None
        return None if kind is None else _Call(kind, args[0] if args else kwargs["input"])

    def seen(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Any:
        """Remember the result of a call, and give it back."""
        if func in _sigmoids():
            given = args[0] if args else kwargs["input"]
            self._sigmoids = [pair for pair in self._sigmoids if not pair[0].gone]
            self._sigmoids.append((_Was(result), _Was(given)))
        return result

    def _is_sigmoid(self, given: Any, of: Any) -> bool:
        return any(result.still(of) and read.still(given) for result, read in self._sigmoids)


@functools.cache
def _products() -> frozenset[Any]:
    import torch

    return frozenset({torch.mul, torch.multiply, torch.Tensor.mul, torch.Tensor.multiply, torch.Tensor.__mul__})


@functools.cache
def _sigmoids() -> frozenset[Any]:
    import torch
    from torch.nn import functional

    return frozenset({torch.sigmoid, torch.special.expit, torch.Tensor.sigmoid, functional.sigmoid})


@functools.cache
def _functions() -> Mapping[Any, Kind]:
    from torch.nn import functional

    found: dict[Any, Kind] = {functional.silu: "silu", functional.gelu: "gelu", functional.mish: "mish"}
    return found | {functional.interpolate: "upsample"}


def _kind_of_module(module: nn.Module, given: Tensor, result: Tensor) -> Kind | None:
    """By class; or, without weights, by what it made of a frame: users write their own Swish."""
    import torch
    from torch.nn import functional

    if isinstance(module, torch.nn.LayerNorm):
        return "layernorm" if len(module.normalized_shape) == 1 else None
    if isinstance(module, torch.nn.Upsample):
        return "upsample" if module.mode in _SMOOTH else None
    if next(module.parameters(), None) is not None or result.shape != given.shape or not given.is_floating_point():
        return None
    curves: dict[Kind, Callable[[Tensor], Tensor]] = {
        "silu": functional.silu,
        "gelu": functional.gelu,
        "mish": functional.mish,
    }
    if isinstance(module, torch.nn.GELU):
        return "gelu"
    bent = (given > -3) & (given < -0.1)  # where the curves are not those of ReLU, nor zero
    if not bool(bent.any()):
        classes: dict[type, Kind] = {torch.nn.SiLU: "silu", torch.nn.Mish: "mish"}
        return classes.get(type(module))
    near = (kind for kind, curve in curves.items() if torch.allclose(curve(given)[bent], result[bent], atol=1e-5))
    return next(near, None)


def _sized(kind: Kind, given: Tensor, result: Tensor) -> tuple[int, tuple[int, int]] | None:
    """Channels and factors; None: an enlargement that is none by whole factors."""
    if kind == "layernorm":
        return given.shape[-1], (1, 1)
    if kind != "upsample":
        return 0, (1, 1)
    if given.dim() != 4:
        return None
    (height, over), (width, rest) = (divmod(result.shape[axis], given.shape[axis]) for axis in (2, 3))
    whole = over == rest == 0 and height * width > 1
    return (given.shape[1], (height, width)) if whole else None
