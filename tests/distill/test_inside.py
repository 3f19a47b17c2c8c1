"""What is matched inside of the networks: layers by name, features and relations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekit.core.errors import ModelError, SpecError
from edgekit.distill import features, relations
from edgekit.distill._layers import Pair, Tap, fitted, pairs
from edgekit.training import unpacked
from tests.support import tiny_distill as tiny
from tests.support.tiny_segmentation import Flat


class Small(nn.Module):
    """Narrower than the teacher, with other names."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1))
        self.out = nn.Conv2d(5, 3, 1)
        self.gate = nn.Linear(5, 32)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.body(image)
        return self.out(x), self.gate(x.mean((2, 3)))


def small() -> nn.Module:
    torch.manual_seed(3)
    return Flat(Small()).eval()


def job(folder: Path, **changes: Any) -> Any:
    return replace(tiny.job(folder, tiny.Unlabelled()), network=small, **changes)


def config(method: Any, **keys: Any) -> Any:
    return method.Config.model_validate({"training": tiny.QUICK | {"steps": 3}} | keys)


class TestNames:
    def test_patterns_side_by_side(self) -> None:
        found = pairs({"body.*": "stem.*", "out": "head"}, small(), tiny.teacher())
        assert [str(pair) for pair in found] == ["body.0: stem.0", "body.1: stem.1", "body.2: stem.2", "out: head"]

    def test_what_matches_nothing(self) -> None:
        with pytest.raises(SpecError, match=r"no layer of the student matches 'bodi'; did you mean 'body'\?"):
            pairs({"bodi": "head"}, small(), tiny.teacher())
        with pytest.raises(SpecError, match=r"no layer of the teacher matches 'heads'; did you mean 'head'\?"):
            pairs({"out": "heads"}, small(), tiny.teacher())

    def test_different_numbers(self) -> None:
        with pytest.raises(SpecError, match=r"'body\.\*' is 3 layers of the student .* 'head' 1 of the teacher"):
            pairs({"body.*": "head"}, small(), tiny.teacher())

    def test_a_list_is_of_the_same_names(self) -> None:
        assert config(features, layers=["late", "head"]).layers == {"late": "late", "head": "head"}

    def test_none(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            config(features, layers=[])


class TestFeatures:
    def test_projections_are_trained_and_dropped(self, tmp_path: Path) -> None:
        layers = {"body.2": "late", "gate": "gate", "out": "head"}
        made = features.apply(job(tmp_path), config(features, layers=layers))
        assert made.change.record["projected"] == ["body.2: late"]
        assert made.change.record["layers"] == ["body.2: late", "gate", "out: head"]
        assert unpacked(made.change.weights).keys() == dict(small().named_parameters()).keys()

    def test_the_network_that_is_exported_is_the_students_alone(self, tmp_path: Path) -> None:
        seen: list[nn.Module] = []

        def export(network: nn.Module, shapes: Any = None) -> bytes:
            seen.append(network)
            assert not any(module._forward_hooks for module in network.modules())
            return b""

        class Bench:
            metric = type("M", (), {"name": "miou", "higher": True})()

            def accuracy(self, model: bytes) -> float:
                return 1.0

        made = features.apply(
            job(tmp_path, export=export, bench=Bench()), config(features, layers={"body.2": "late"}, keep="best")
        )
        assert len(seen) >= 3
        assert all(isinstance(network, Flat) for network in seen)
        assert made.change.record["metric"] == 1.0

    def test_without_the_outputs_these_need_not_line_up(self, tmp_path: Path) -> None:
        class Five(Small):
            def __init__(self) -> None:
                super().__init__()
                self.out = nn.Conv2d(5, 5, 1)

        other = replace(job(tmp_path), network=lambda: Flat(Five()).eval(), scratch=None)
        with pytest.raises(ModelError, match=r"output 'logits' is \[1, 5, 8, 12\] of the student and \[1, 3, 16, 24\]"):
            features.apply(other, config(features, layers={"body.2": "late"}))
        features.apply(other, config(features, layers={"body.2": "late"}, outputs=0))

    def test_what_does_not_line_up(self, tmp_path: Path) -> None:
        with pytest.raises(
            ModelError, match=r"'gate' of the student gives \[1, 32\], 'late' of the teacher \[1, 32, 16"
        ):
            features.apply(job(tmp_path), config(features, layers={"gate": "late"}))

    def test_a_layer_that_gives_no_tensor(self) -> None:
        network = tiny.teacher()
        Tap(network, ["stem"])

        class Pairs(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.two = Small()

            def forward(self, image: Tensor) -> Tensor:
                return self.two(image)[0]  # type: ignore[no-any-return]

        both = Pairs()
        Tap(both, ["two"])
        with pytest.raises(ModelError, match=r"'two' gives tuple; expected one tensor of a batch: name a layer inside"):
            both(torch.zeros(1, 3, 8, 8))

    def test_a_layer_that_is_not_reached(self) -> None:
        tap = Tap(small(), ["out"])
        with pytest.raises(ModelError, match="'out' is not reached when the network runs"):
            tap["out"]

    def test_tokens_of_the_same_number_stay(self) -> None:
        given, wanted = torch.zeros(2, 7, 3), torch.zeros(2, 7, 5)
        assert fitted(given, wanted, Pair("a", "b")) is wanted


def random_features(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


class TestRelations:
    @given(st.integers(0, 99), st.integers(1, 4), st.floats(0.5, 8))
    def test_channels_are_distributions_over_places(self, seed: int, width: int, softness: float) -> None:
        given_, wanted = random_features(seed, 2, width, 3, 4), random_features(seed + 100, 2, width, 3, 4)
        p, q = (torch.softmax(x.double().flatten(2) / softness, 2) for x in (wanted, given_))
        expected = float((p * (p / q).log()).sum()) * softness**2 / (2 * width)
        assert float(relations.channels_apart(given_, wanted, softness)) == pytest.approx(expected, rel=1e-3, abs=1e-6)
        shifted = wanted + random_features(seed, 2, width, 1, 1)
        assert float(relations.channels_apart(shifted, wanted, softness)) == pytest.approx(0, abs=1e-5)

    @given(st.integers(0, 99), st.floats(0.1, 10))
    def test_pairs_know_no_scale_and_no_basis(self, seed: int, factor: float) -> None:
        wanted = random_features(seed, 2, 4, 6, 5)
        turned, _ = torch.linalg.qr(random_features(seed + 1, 4, 4))
        alike = torch.einsum("oc,nchw->nohw", turned, wanted) * factor
        assert float(relations.pairs_apart(alike, wanted, 3)) == pytest.approx(0, abs=1e-5)
        assert float(relations.pairs_apart(random_features(seed + 2, 2, 4, 6, 5), wanted, 3)) > 0.01

    def test_pairs_of_one_place_more_than_there_are(self) -> None:
        one = random_features(0, 1, 2, 2, 3)
        alike = torch.nn.functional.normalize(one.flatten(2), dim=1)
        other = random_features(1, 1, 5, 2, 3)
        also = torch.nn.functional.normalize(other.flatten(2), dim=1)
        expected = (alike.mT @ alike - also.mT @ also).square().mean()
        assert float(relations.pairs_apart(one, other, 8)) == pytest.approx(float(expected), rel=1e-5)

    @pytest.mark.parametrize("relation", ["channels", "pairs"])
    def test_of_layers_of_other_widths(self, tmp_path: Path, relation: str) -> None:
        keys = {"relation": relation, "layers": {"body.2": "late"}}
        made = relations.apply(job(tmp_path), config(relations, **keys))
        assert made.change.record["layers"] == ["body.2: late"]
        assert unpacked(made.change.weights).keys() == dict(small().named_parameters()).keys()

    def test_of_what_has_no_places(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"'gate' gives \[1, 32\]; relations need \(N, C, h, w\)"):
            relations.apply(job(tmp_path), config(relations, layers=["gate"]))

    def test_no_dense_output(self, tmp_path: Path) -> None:
        class Vector(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = small()

            def forward(self, image: Tensor) -> tuple[Tensor, ...]:
                return (self.net(image)[1],)

        vectors = replace(job(tmp_path), outputs=("gate",), network=lambda: Vector().eval(), distance=None)
        assert vectors.own is not None
        vectors = replace(vectors, own=replace(vectors.own, network=lambda: Vector().eval()))
        with pytest.raises(SpecError, match=r"no output is \(N, C, h, w\); name layers that are"):
            relations.apply(vectors, config(relations))
