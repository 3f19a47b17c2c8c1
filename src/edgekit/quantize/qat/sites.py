"""Where in a PyTorch forward pass a tensor is made: the bridge between ONNX tensors and eager code.

An ONNX tensor may be the result of a module or of a function inside ``forward`` (``x + y``,
``torch.cat``), so modules alone cannot say where to round.  A :class:`Site` names one call: the module
whose ``forward`` runs, the function, and the number of that call, counted from the start of the module's ``forward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgekit.core.tensors import Array, Arrays

if TYPE_CHECKING:
    from torch import Tensor, nn

_SAMPLE = 4096
_CLOSE = 1e-3  # relative L2 between two float runtimes; rounding to 8 bits is far above


class Site(NamedTuple):
    """One call in a forward pass, and which of its results."""

    module: str
    function: str
    call: int
    result: int


Before = Callable[[Site, tuple[Any, ...]], tuple[Any, ...]]
After = Callable[[Site, "Tensor"], "Tensor"]


class Watcher:
    """Sees every tensor function that ``network`` calls, and may replace arguments and results.

    ``ignore`` says which modules (quantizers) are looked through: what they call is nobody's site.
    """

    def __init__(self, network: nn.Module, ignore: Callable[[nn.Module], bool] = lambda module: False) -> None:
        self._modules = [(name, module, ignore(module)) for name, module in network.named_modules()]
        self._path: list[str] = []
        self._calls: dict[tuple[str, str], int] = {}
        self._ignored = 0

    @contextmanager
    def watching(self, before: Before, after: After) -> Iterator[None]:
        """Call ``before(site, arguments)`` and ``after(site, tensor)`` around every function."""
        from torch.overrides import TorchFunctionMode

        self._path, self._calls, self._ignored = [], {}, 0
        watcher = self

        class Mode(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return watcher._called(func, tuple(args), kwargs or {}, before, after)

        hooks: list[Any] = []
        for name, module, ignored in self._modules:
            hooks.append(module.register_forward_pre_hook(self._skip if ignored else self._entering(name)))
            hooks.append(module.register_forward_hook(self._unskip if ignored else self._leave))
        try:
            with Mode():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _called(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], before: Before, after: After) -> Any:
        from torch import Tensor

        if self._ignored:
            return func(*args, **kwargs)
        key = (self._path[-1] if self._path else "", getattr(func, "__name__", "?"))
        call = self._calls.get(key, 0)
        self._calls[key] = call + 1
        result = func(*before(Site(*key, call, 0), args), **kwargs)
        if isinstance(result, Tensor):
            return after(Site(*key, call, 0), result)
        if type(result) in (tuple, list):
            made = (after(Site(*key, call, i), r) if isinstance(r, Tensor) else r for i, r in enumerate(result))
            return type(result)(made)
        return result

    def _entering(self, name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, args: self._path.append(name)

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        self._path.pop()

    def _skip(self, module: nn.Module, args: Any) -> None:
        self._ignored += 1

    def _unskip(self, module: nn.Module, args: Any, result: Any) -> None:
        self._ignored -= 1


@dataclass(frozen=True)
class Trace:
    """Fingerprints of the results of one forward pass, in the order of the calls."""

    results: Mapping[Site, tuple[tuple[int, ...], Array]]

    @classmethod
    def of(cls, network: nn.Module, feeds: Sequence[Tensor]) -> Trace:
        """Run ``network``, in eval mode, on one frame."""
        import torch

        results: dict[Site, tuple[tuple[int, ...], Array]] = {}

        def note(site: Site, tensor: Tensor) -> Tensor:
            if tensor.is_floating_point():
                results[site] = (tuple(tensor.shape), _fingerprint(tensor.detach().float().numpy()))
            return tensor

        with torch.no_grad(), Watcher(network).watching(lambda site, args: args, note):
            network(*feeds)
        return cls(results)

    def find(self, tensors: Arrays) -> dict[str, Site]:
        """The site of each of the arrays, given in graph order; what no call makes is left out.

        Values decide, and where values are equal (a Relu of what is positive), order does.
        """
        found: dict[str, Site] = {}
        taken: set[Site] = set()
        for name, array in tensors.items():
            print_ = _fingerprint(array)
            for site, (shape, values) in self.results.items():
                if site not in taken and shape == array.shape and _same(values, print_):
                    found[name] = site
                    taken.add(site)
                    break
        return found


def _fingerprint(array: Array) -> Array:
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // _SAMPLE)].astype(np.float32)


def _same(first: Array, second: Array) -> bool:
    return float(np.linalg.norm(first - second)) <= _CLOSE * float(np.linalg.norm(second))
