"""Operators are found as modules and as calls, and exchanged without changing anything else."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.core.errors import SpecError
from edgekit.prune.substitute import sites
from edgekit.prune.substitute.forms import FORMS, Kind, made

ALL: tuple[Kind, ...] = tuple(FORMS)
FEED = torch.linspace(-4, 4, 3 * 8 * 8).reshape(1, 3, 8, 8)


class Swish(nn.Module):
    """As users write it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class Up(nn.Module):
    """A leaf that calls a function."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(functional.silu(x), scale_factor=2.0, mode="bilinear", align_corners=False)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(inplace=True))
        self.again = self.body[1]
        self.own, self.gelu, self.relu = Swish(), nn.GELU(), nn.ReLU()
        self.up, self.larger = Up(), nn.Upsample(scale_factor=3, mode="bilinear")
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.own(self.again(self.body(x)))
        x = functional.gelu(self.relu(functional.silu(x)) - self.gelu(x))
        x = self.larger(self.up(x))
        return functional.interpolate(functional.interpolate(self.last(x), scale_factor=2.0), (97, 97), mode="bilinear")


def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def found(kinds: tuple[Kind, ...] = ALL, keep: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(site.kind, str(site)) for site in sites.find(net(), [FEED], kinds, keep)]


class TestFind:
    def test_modules_by_class_or_by_what_they_compute_and_calls_where_they_are(self) -> None:
        """ReLU is none, and neither is a nearest neighbour or enlarging by a factor that is not whole."""
        assert found() == [
            ("silu", "body.1"),
            ("silu", "own"),
            ("gelu", "gelu"),
            ("upsample", "larger"),
            ("silu", "a call in forward"),
            ("gelu", "a call in forward"),
            ("silu", "a call in up"),
            ("upsample", "a call in up"),
        ]

    def test_what_is_kept_stays_with_all_in_it(self) -> None:
        assert found(("silu",), ("body", "up")) == [("silu", "own"), ("silu", "a call in forward")]
        with pytest.raises(SpecError, match=r"keep: no module is called 'bodi'; did you mean 'body'\?"):
            found(("silu",), ("bodi",))

    def test_the_network_is_as_it_was(self) -> None:
        network = net()
        before = network(FEED)
        sites.find(network, [FEED], ALL)
        assert network(FEED).equal(before)


class TestExchange:
    def test_each_site_computes_what_stands_in_for_it(self) -> None:
        """With the very same functions in place nothing changes; with others, what they are written for."""
        same = {"silu": nn.SiLU, "gelu": nn.GELU}
        network = net()
        chosen: dict[sites.Site, nn.Module] = {
            site: same[site.kind]() if site.kind in same else Bilinear(site.scale)
            for site in sites.find(network, [FEED], ALL)
        }
        assert torch.allclose(sites.exchange(network, chosen)(FEED), net()(FEED), atol=1e-6)

    @pytest.mark.parametrize("keep", [(), ("up",), ("body", "own"), ("gelu", "larger")])
    def test_calls_are_told_apart_whatever_is_kept(self, keep: tuple[str, ...]) -> None:
        network = net()
        marked = {site: Marked(str(site)) for site in sites.find(network, [FEED], ("silu",), keep)}
        Marked.seen.clear()
        sites.exchange(network, marked)(FEED)
        order = ["body.1", "body.1", "own", "a call in forward", "a call in up"]  # body.1 runs twice
        assert Marked.seen == [name for name in order if name not in keep and name.split(".")[0] not in keep
                               and name.split()[-1] not in keep]  # fmt: skip

    def test_names_stay_and_it_is_exported_copied_and_trained(self) -> None:
        network = net()
        before = {name for name, _ in net().named_parameters()}
        chosen = {site: made(FORMS[site.kind][-1], site.channels, site.scale) for site in found_in(network)}
        sites.exchange(network, chosen)
        wanted = network(FEED)
        assert before <= {name for name, _ in network.named_parameters()}
        assert torch.allclose(copy.deepcopy(network)(FEED), wanted)
        program = torch.export.export(network, (FEED,), strict=False)
        called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        assert not any(name.split(".")[1] in ("silu", "gelu") for name in called)
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        assert torch.allclose(torch.export.load(file).module()(FEED), wanted, atol=1e-5)
        network.train()(FEED).sum().backward()
        assert network.body[0].weight.grad is not None

    def test_twice(self) -> None:
        """A second exchange goes on from the first."""
        network = net()
        for kinds in (("gelu",), ("upsample",)):
            chosen = {one: made("relu" if one.kind == "gelu" else "nearest", one.channels, one.scale)
                      for one in sites.find(network, [FEED], kinds)}  # fmt: skip
            sites.exchange(network, chosen)
        both = net()
        at_once = {one: made("relu" if one.kind == "gelu" else "nearest", one.channels, one.scale)
                   for one in sites.find(both, [FEED], ("gelu", "upsample"))}  # fmt: skip
        assert network(FEED).equal(sites.exchange(both, at_once)(FEED))


def found_in(network: nn.Module) -> list[sites.Site]:
    return sites.find(network, [FEED], ALL)


class Bilinear(nn.Module):
    def __init__(self, scale: tuple[int, int]) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten.upsample_bilinear2d.vec(x, None, False, [float(factor) for factor in self.scale])  # type: ignore[no-any-return]


class Marked(nn.Module):
    seen: list[str] = []  # noqa: RUF012

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.name)
        return x


class Written(nn.Module):
    """SiLU in the words of many networks, and what only looks like it."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.gate = nn.Conv2d(3, 3, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        x = x * torch.sigmoid(x)
        x = x.sigmoid() * x
        x = torch.mul(x, functional.sigmoid(x))
        x = x.mul(self.gate(x))
        gates = torch.sigmoid(x)
        squeezed = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        changed = torch.sigmoid(x)
        changed += 1
        moved = x.clone()
        before = torch.sigmoid(moved)
        moved -= 1
        return x * gates * 2 + squeezed + x * changed + moved * before


class TestWrittenOut:
    def test_products_with_their_own_sigmoid_are_silu(self) -> None:
        torch.manual_seed(0)
        network = Written().eval()
        where = [str(site) for site in sites.find(network, [FEED], ALL)]
        assert where == ["a call in forward"] * 5

    def test_they_are_exchanged_and_the_sigmoids_go(self) -> None:
        torch.manual_seed(0)
        network = Written().eval()
        plain = network(FEED)
        before = _called(network)
        found = sites.find(network, [FEED], ("silu",))
        same = sites.exchange(copy.deepcopy(network), {site: nn.SiLU() for site in found})
        torch.testing.assert_close(same(FEED), plain)
        sites.exchange(network, {site: nn.Hardswish() for site in found})
        assert not torch.allclose(network(FEED), plain, atol=1e-2)
        after = _called(network)
        assert before.count("aten.sigmoid.default") == 8
        assert after.count("aten.sigmoid.default") == 3
        assert after.count("aten.hardswish.default") == 5

    def test_the_parents_of_a_swish_in_parts(self) -> None:
        class Parts(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.gate = nn.Sigmoid()

            def forward(self, x: Tensor) -> Tensor:
                return x * self.gate(x)

        network = nn.Sequential(Parts(), Swish()).eval()
        assert [str(site) for site in sites.find(network, [FEED], ALL)] == ["1", "a call in 0"]
        assert [str(site) for site in sites.find(network, [FEED], ALL, ("1",))] == ["a call in 0"]


def _called(network: nn.Module) -> list[str]:
    program = torch.export.export(network, (FEED,), strict=False).run_decompositions({})
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


class TestForms:
    @pytest.mark.parametrize("scale", [(2, 2), (3, 3), (4, 4), (4, 2), (1, 5)])
    def test_exact_is_bilinear_up_to_its_border(self, scale: tuple[int, int]) -> None:
        x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
        wanted = functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        assert torch.allclose(made("exact", 3, scale)(x), wanted, atol=1e-6)

    @pytest.mark.parametrize("scale", [(2, 2), (4, 4), (3, 2)])
    def test_the_others_have_its_size_and_repeat_pixels(self, scale: tuple[int, int]) -> None:
        x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
        nearest = functional.interpolate(x, scale_factor=scale, mode="nearest")
        bilinear = functional.interpolate(x, scale_factor=scale, mode="bilinear")
        assert made("nearest", 3, scale)(x).equal(nearest)
        assert torch.allclose(made("conv", 3, scale)(x), nearest, atol=1e-6)
        half = made("half", 3, scale)(x)
        assert half.shape == nearest.shape
        if scale == (4, 4):
            assert (half - bilinear).abs().mean() < 0.7 * (nearest - bilinear).abs().mean()
