"""Which channels of a network belong together, found with torch-pruning's dependency graph, and cutting them.

Fang et al., "DepGraph: Towards Any Structural Pruning", 2023.  What the graph cannot see is tried out: each group is
narrowed in a copy, which then has to run and to keep the shapes of its outputs.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.prune.channels import choice
from edgekit.prune.channels.groups import Group, Member

if TYPE_CHECKING:
    from torch import Tensor, nn

INNER = "network."
"""Where the loader keeps the user's network; names that people read and write go without it."""
_HEADS = ("num_heads", "heads", "n_heads", "num_attention_heads", "nhead", "n_head")
"""What modules call the number of heads of their attention."""
_REDUCTIONS = ("Mean", "Sum", "Amax", "Amin", "Max", "Min", "Logsumexp", "LinalgVectorNorm", "Norm", "Var", "Std")
_FAILURES = (RuntimeError, AssertionError, KeyError, IndexError, ValueError, TypeError, AttributeError)
"""What torch-pruning, and a network that was cut in the wrong place, raise."""


@dataclass(frozen=True)
class Found:
    """The groups of a network, and why others stay as they are: reasons by layer."""

    groups: tuple[Group, ...]
    kept: Mapping[str, str]


class Graph:
    """The dependency graph of a network, which :meth:`cut` changes in place.

    Args:
        network: positional tensors in, tuple of tensors out; put in eval mode.
        inputs: a frame.

    Raises:
        MissingRequirement: torch-pruning is not installed.
        ModelError: it cannot follow the network.
    """

    def __init__(self, network: nn.Module, inputs: Sequence[Tensor]) -> None:
        self.network = network.eval()
        self.tp = torch_pruning()
        self._ends: set[Any] = set()
        try:
            with _differentiable(network), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it prints what it assumes of bare parameters
                self.dg = self.tp.DependencyGraph().build_dependency(network, list(inputs), forward_fn=self._run)
        except _FAILURES as error:
            raise ModelError(f"torch-pruning cannot follow the network: {_first_line(error)}") from error
        self._cut_reductions()

    def _run(self, network: nn.Module, inputs: Sequence[Tensor]) -> Any:
        made = network(*inputs)
        self._ends = {one.grad_fn for one in made}
        return made

    def groups(self) -> Found:
        """Groups whose channels can go as far as the graph can tell, in the order of the network's layers."""
        tied = _tied(self.network)
        order = {module: at for at, module in enumerate(self.network.modules())}
        found: list[tuple[int, Group]] = []
        kept: dict[str, str] = {}
        for group in self.dg.get_all_groups():
            layers = self._outer(group, order)
            if not layers:
                continue
            names = tuple(self.name(layer) for layer in layers)
            unit, reason = self._unit(group, layers)
            if any(id(layer) in tied for layer in self._touched(group)):
                reason = "its weights are those of another layer too"
            if reason:
                kept |= dict.fromkeys(names, reason)
            else:
                root = group[0].dep.target.module
                found.append((order[layers[0]], Group((Member(self.name(root), len(group[0].idxs), unit),), names)))
        return Found(tuple(group for _, group in sorted(found, key=lambda pair: pair[0])), kept)

    def now(self, group: Group) -> Group:
        """The group with the widths that its layers have now."""
        members = (replace(member, width=len(self.coupled(member)[0].idxs)) for member in group.members)
        return replace(group, members=tuple(members))

    def scores(self, groups: Sequence[Group], importance: Callable[[str, Any], Tensor]) -> dict[str, list[Tensor]]:
        """Importance of every channel, for each member of each group: of its name and its coupled channels."""
        return {
            group.name: [importance(member.layer, self.coupled(member)) for member in group.members] for group in groups
        }

    def cut(self, groups: Sequence[Group], widths: Mapping[str, int], scores: Mapping[str, Sequence[Tensor]]) -> None:
        """Narrow every group, as it is now, to its width, in place, by the channels with the lowest scores."""
        flags = {name: one.requires_grad for name, one in self.network.named_parameters()}
        for group in groups:
            for member, width, each in zip(
                group.members, group.widths(widths[group.name]), scores[group.name], strict=True
            ):
                if gone := choice.removed(member, each, width):
                    self.coupled(member).prune(gone)
        for name, one in self.network.named_parameters():
            one.grad = None
            one.requires_grad_(flags[name])

    # --- what the graph holds ----------------------------------------------------

    def coupled(self, member: Member) -> Any:
        """The group of all output channels of a member."""
        module = self.network.get_submodule(INNER + member.layer)
        pruner = self.dg.get_pruner_of_module(module)
        return self.dg.get_pruning_group(
            module, pruner.prune_out_channels, list(range(pruner.get_out_channels(module)))
        )

    def name(self, module: nn.Module) -> str:
        """Of a module, as people write it."""
        name: str = self.dg._module2name[module]
        return name.removeprefix(INNER)

    def _outer(self, group: Any, order: Mapping[nn.Module, int]) -> list[nn.Module]:
        """Convolutions and linear layers whose outputs are in the group, depthwise ones last."""
        from torch import nn

        found = {
            item.dep.target.module: None
            for item in group
            if isinstance(item.dep.target.module, nn.Linear | nn.modules.conv._ConvNd)
            and self.dg.is_out_channel_pruning_fn(item.dep.handler)
        }
        return sorted(found, key=lambda module: (_depthwise(module), order[module]))

    def _touched(self, group: Any) -> list[Any]:
        return [item.dep.target.module for item in group]

    def _unit(self, group: Any, layers: Sequence[nn.Module]) -> tuple[int, str]:
        """How many channels go at once, or why none can."""
        width = len(group[0].idxs)
        if width == 1:
            return 1, "it has one channel"
        if any(self._is_end(item.dep) for item in group):
            return 1, "it makes an output of the model"
        unit = 1
        for item in group:
            module = item.dep.target.module
            parts = _parts(module)
            if parts == 1:
                continue
            pruner = self.dg.get_pruner_of_module(module)
            outer = self.dg.is_out_channel_pruning_fn(item.dep.handler)
            whole = pruner.get_out_channels(module) if outer else pruner.get_in_channels(module)
            if len(item.idxs) != whole:
                return 1, f"{self.name(module)} reads only a part of its channels in groups"
            unit = math.lcm(unit, parts)
        return self._attention(group, layers, unit, width)

    def _attention(self, group: Any, layers: Sequence[nn.Module], unit: int, width: int) -> tuple[int, str]:
        """Channels of an attention go from every head at once: from queries, keys and values of a joint projection."""
        if not any(_multiplies(item.dep.target) for item in group):
            return unit, ""
        heads = next((count for layer in layers if (count := self._heads(layer)) is not None), None)
        if heads is None:
            return (
                1,
                f"it feeds an attention, and no module around it says how many heads in one of {', '.join(_HEADS)}",
            )
        joint = width // min(len(item.idxs) for item in group)
        return math.lcm(unit, heads * joint), ""

    def _heads(self, layer: nn.Module) -> int | None:
        """The number of heads that the nearest module around ``layer`` names."""
        path = self.dg._module2name[layer]
        while path:
            path = path.rpartition(".")[0]
            module = self.network.get_submodule(path)
            for key in _HEADS:
                if isinstance(count := vars(module).get(key), int):
                    return count
        return None

    def _is_end(self, dep: Any) -> bool:
        """Whether the pruning of ``dep`` narrows an output of the model."""
        return self.dg.is_out_channel_pruning_fn(dep.handler) and dep.target.grad_fn in self._ends

    def _cut_reductions(self) -> None:
        """A mean or maximum over channels, and a layer of one channel that is broadcast, pass no channels on."""
        for module, node in self.dg.module2node.items():
            handler = self.dg.get_pruner_of_module(module).prune_out_channels
            broadcast = _parts(module) == 1 and getattr(module, "out_channels", 0) == 1
            if broadcast or _reduces_channels(node.grad_fn):
                node.dependencies = [dep for dep in node.dependencies if dep.trigger != handler]
                for other in (*node.outputs, *node.inputs):
                    other.dependencies = [
                        dep for dep in other.dependencies if dep.target is not node or dep.handler != handler
                    ]


def prunable(network: Callable[[], nn.Module], inputs: Sequence[Tensor]) -> Found:
    """The groups of a network that can be narrowed, as was tried out on copies of it.

    Groups that cannot go alone are tried together: the inner width of an attention that the code takes from the width
    of its input, say.

    Args:
        network: gives a fresh network.
        inputs: a frame.

    Raises:
        ModelError: none can; the message names layers and reasons.
    """
    fresh = network()
    found = Graph(copy.deepcopy(fresh), inputs).groups()
    kept = dict(found.kept)
    narrow = {group.name: width for group in found.groups if (width := _half(group)) < group.width}
    kept |= {name: "its channels go all together" for g in found.groups if g.name not in narrow for name in g.layers}
    groups = [group for group in found.groups if group.name in narrow]
    if any(_fails(fresh, inputs, some) for some in _trials(groups)):
        alone = {group.name: _fails(fresh, inputs, [group]) for group in groups}
        failed = [group for group in groups if alone[group.name]]
        groups = [group for group in groups if not alone[group.name]]
        joint = _joined(failed)
        if joint is not None and not _fails(fresh, inputs, [joint]):
            groups.append(joint)
        else:
            kept |= {name: alone[group.name] for group in failed for name in group.layers}
    if not groups:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(kept.items())[:8])
        raise ModelError(
            "no channel of the network can be pruned: "
            + (reasons or "it has no convolution or linear layer that gradients pass through (a .pt2 file has none)")
        )
    return Found(tuple(groups), kept)


def names(network: nn.Module) -> list[str]:
    """Of all modules of the user's network, as people write them."""
    return [name.removeprefix(INNER) for name, _ in network.named_modules() if name.startswith(INNER)]


def torch_pruning() -> Any:
    """The library.

    Raises:
        MissingRequirement: it is not installed.
    """
    try:
        import torch_pruning as found
    except ModuleNotFoundError as error:
        if error.name != "torch_pruning":
            raise
        raise MissingRequirement("torch-pruning", 'pip install "edgekit[prune]"') from error
    return found


def _half(group: Group) -> int:
    """About half of the channels, as far as the group's unit allows."""
    options = group.options()
    return min(options, key=lambda width: abs(width - group.width / 2))


def _trials(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """All groups, and then so many choices of them that any two are apart in one: they must not need each other."""
    if groups:
        yield list(groups)
    for bit in range((len(groups) - 1).bit_length()):
        yield [group for at, group in enumerate(groups) if at >> bit & 1]


def _joined(groups: Sequence[Group]) -> Group | None:
    """Groups that are narrowed by the same share; None: there is no such share."""
    if len(groups) < 2:
        return None
    layers = tuple(layer for group in groups for layer in group.layers)
    joint = Group(tuple(member for group in groups for member in group.members), layers)
    return joint if _half(joint) < joint.width else None


def _fails(network: nn.Module, inputs: Sequence[Tensor], groups: Sequence[Group]) -> str:
    """Why a copy whose ``groups`` have half of their channels does not run, or gives other shapes; empty: it does."""
    import torch

    tried = copy.deepcopy(network)
    widths = {group.name: _half(group) for group in groups}
    scores = {group.name: [torch.arange(member.width).float() for member in group.members] for group in groups}
    with torch.no_grad():
        wanted = [one.shape for one in network.eval()(*inputs)]
    try:
        Graph(tried, inputs).cut(groups, widths, scores)
        with torch.no_grad():
            found = [one.shape for one in tried(*inputs)]
    except (*_FAILURES, ModelError) as error:
        return f"with fewer channels the network does not run: {_first_line(error)}"
    changed = next((index for index, shape in enumerate(wanted) if found[index] != shape), None)
    return "" if changed is None else f"output {changed} changes its shape with it"


@contextlib.contextmanager
def _differentiable(network: nn.Module) -> Iterator[None]:
    """The graph is read from gradients, so every parameter needs one for a moment."""
    import torch

    flags = {parameter: parameter.requires_grad for parameter in network.parameters()}
    for parameter in flags:
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


def _tied(network: nn.Module) -> set[int]:
    """Modules that share a parameter with another module, by id."""
    holders: dict[int, list[int]] = {}
    for module in network.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                holders.setdefault(id(parameter), []).append(id(module))
    return {module for shared in holders.values() if len(shared) > 1 for module in shared}


def _parts(module: Any) -> int:
    """Groups of a convolution that is not depthwise, or of a group norm; else 1."""
    if _depthwise(module):
        return 1
    groups = getattr(module, "groups", 1) if hasattr(module, "kernel_size") else getattr(module, "num_groups", 1)
    return groups if isinstance(groups, int) else 1


def _depthwise(module: Any) -> bool:
    groups = getattr(module, "groups", 1)
    return groups != 1 and groups == getattr(module, "out_channels", None) == getattr(module, "in_channels", None)


def _multiplies(node: Any) -> bool:
    """Whether two computed tensors are multiplied as matrices."""
    name = _operator(node.grad_fn)
    return "Bmm" in name or "ScaledDotProduct" in name


def _reduces_channels(grad_fn: Any) -> bool:
    """Whether it is a reduction over axis 1 of an image."""
    if not _operator(grad_fn).startswith(_REDUCTIONS):
        return False
    sizes = getattr(grad_fn, "_saved_self_sym_sizes", None)
    given = getattr(grad_fn, "_saved_self", None)
    rank = len(sizes) if sizes is not None else getattr(given, "ndim", 0)
    axes = getattr(grad_fn, "_saved_dim", ())
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    # A negative axis is saved as the unsigned number of the same bits.
    return rank in (4, 5) and any((axis - 2**64 if axis >= 2**63 else axis) % rank == 1 for axis in axes)


def _operator(grad_fn: Any) -> str:
    return str(grad_fn.name()) if hasattr(grad_fn, "name") else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
