"""What belongs together: networks whose coupling is known."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name everybody knows

from edgekit.core.errors import ModelError
from edgekit.prune.channels import graph
from edgekit.prune.channels.graph import Graph, prunable
from tests.support.reference_models import NETWORKS, Named, conv, seeded

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")
IMAGE = {"x": (1, 3, 16, 16)}
FEED = [torch.linspace(-1, 1, 3 * 256).reshape(1, 3, 16, 16)]


class Grouped(nn.Module):
    """Four groups, a gate over channels, a group norm, and one convolution that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.grouped = nn.Conv2d(16, 32, 3, padding=1, groups=4)
        self.norm = nn.GroupNorm(2, 32)
        self.squeeze, self.excite = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1)
        self.twice = nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.grouped(self.stem(x))))
        x = x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(F.relu(self.twice(F.relu(self.twice(x)))))


class Parts(nn.Module):
    """A grouped convolution over a concatenation, tied weights, and a layer whose result is two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.free = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.mixed = nn.Conv2d(16, 16, 1, groups=2)
        self.first, self.second = nn.Conv2d(16, 16, 1, bias=False), nn.Conv2d(16, 16, 1, bias=False)
        self.second.weight = self.first.weight
        self.shown = nn.Conv2d(24, 8, 1)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.mixed(torch.cat([self.left(x), self.right(x)], 1))
        y = self.shown(torch.cat([self.second(F.relu(self.first(y))), self.free(x)], 1))
        return [y, self.head(F.relu(y))]


class Stubborn(nn.Module):
    """Its code knows how many channels there are."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).reshape(-1, 16, 16, 16))


class Frozen(nn.Module):
    """No gradient gets through."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).detach())


def fresh(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Named(seeded(make, IMAGE))


def test_groups_gates_and_shared_layers() -> None:
    found = prunable(fresh(Grouped), FEED)
    assert {one.layers: (one.width, one.unit) for one in found.groups} == {
        ("stem.0",): (16, 4),
        ("grouped", "excite", "twice"): (32, 4),
        ("squeeze",): (8, 1),
    }
    assert found.kept == {"head": "it makes an output of the model"}


def test_what_cannot_go_says_why() -> None:
    found = prunable(fresh(Parts), FEED)
    assert [one.layers for one in found.groups] == [("free",)]
    assert found.kept == {
        "left": "mixed reads only a part of its channels in groups",
        "right": "mixed reads only a part of its channels in groups",
        "mixed": "its weights are those of another layer too",
        "first": "its weights are those of another layer too",
        "second": "its weights are those of another layer too",
        "shown": "it makes an output of the model",
        "head": "it makes an output of the model",
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Stubborn, r"body: with fewer channels the network does not run: shape '\[-1, 16, 16, 16\]' is invalid"),
        (lambda: nn.Conv2d(3, 4, 1), "no channel of the network can be pruned"),
        (nn.ReLU, "torch-pruning cannot follow the network|no channel of the network can be pruned"),
    ],
)
def test_a_network_that_cannot_be_pruned(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prunable(fresh(make), FEED)


def test_cut_off_from_its_reader_it_is_found_by_trying() -> None:
    with pytest.raises(ModelError, match=r"head: it makes an output"):
        prunable(fresh(Frozen), FEED)


def test_attention_and_embedding_go_together() -> None:
    reference = NETWORKS["vit"]
    feed = [torch.zeros(1, 3, 32, 32)]
    found = prunable(lambda: Named(seeded(reference.make, reference.shapes)), feed)
    joint = next(one for one in found.groups if "qkv" in one.layers)
    assert [(one.layer, one.width, one.unit) for one in joint.members] == [("mlp.2", 32, 1), ("qkv", 96, 12)]
    assert joint.unit == 4


@pytest.mark.parametrize("name", ["mobilenet", "yolox", "plain", "fusion"])
def test_cutting_channels_that_carry_nothing_changes_nothing(name: str) -> None:
    """The right channels of every layer go: with what they feed set to zero, the output stays as it was."""
    reference = NETWORKS[name]
    feeds = [torch.randn(shape, generator=torch.Generator().manual_seed(3)) for shape in reference.shapes.values()]
    start = Named(seeded(reference.make, reference.shapes)).eval()
    for group in prunable(lambda: copy.deepcopy(start), feeds).groups:
        masked, cut = copy.deepcopy(start), copy.deepcopy(start)
        width = group.width // 2
        scores = {group.name: [torch.arange(group.width).float()]}
        whole = Graph(masked, feeds)
        gone = set(range(group.width - width))
        for item in whole.coupled(group.members[0]):
            if item.dep.handler.__name__ == "prune_in_channels":
                module, at = item.dep.target.module, item.idxs
                with torch.no_grad():
                    for root, channel in zip(item.root_idxs, at, strict=True):
                        if root in gone and getattr(module, "groups", 1) == 1:
                            module.weight[:, channel] = 0
        Graph(cut, feeds).cut([group], {group.name: width}, scores)
        with torch.no_grad():
            for expected, found in zip(masked(*feeds), cut(*feeds), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_flags_of_parameters_stay() -> None:
    network = fresh(Grouped)()
    network.network.stem[0].weight.requires_grad_(False)  # type: ignore[union-attr, index, operator]
    cutting = Graph(network, FEED)
    groups = cutting.groups().groups
    cutting.cut(
        groups,
        {one.name: one.width // 2 for one in groups},
        {one.name: [torch.ones(one.width)] for one in groups},
    )
    assert {name for name, one in network.named_parameters() if not one.requires_grad} == {"network.stem.0.weight"}
    assert all(one.grad is None for one in network.parameters())
    assert network(*FEED)[0].shape == (1, 4, 16, 16)


def test_names_are_those_of_the_users_network() -> None:
    assert "stem.0" in graph.names(fresh(Grouped)())
