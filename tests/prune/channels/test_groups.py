"""Arithmetic of widths."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import SpecError
from edgekit.prune.channels import choice, keeping
from edgekit.prune.channels.groups import Group, Member


def group(width: int, unit: int = 1, name: str = "a", *more: Member) -> Group:
    return Group((Member(name, width, unit), *more), (name, *(one.layer for one in more)))


@settings(deadline=None)
@given(
    width=st.integers(1, 400), unit=st.integers(1, 8), step=st.integers(1, 32), max_ratio=st.floats(0.05, 0.95)
)  # fmt: skip
def test_options_are_steps_below_the_width(width: int, unit: int, step: int, max_ratio: float) -> None:
    width *= unit
    found = group(width, unit).options(step, max_ratio)
    stride = math.lcm(unit, step)
    expected = [one for one in range(1, width) if one % stride == 0 and one >= width * (1 - max_ratio) - 1e-6]
    assert list(found) == [width, *reversed(expected)]


def test_the_share_that_may_go_is_exact() -> None:
    assert group(10).options(1, 0.9) == (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
    assert group(64).options(16, 0.75) == (64, 48, 32, 16)
    assert group(64).options(16, 0.7) == (64, 48, 32)


@settings(deadline=None)
@given(heads=st.integers(1, 8), size=st.integers(1, 16), step=st.integers(1, 8))
def test_members_keep_their_units(heads: int, size: int, step: int) -> None:
    width = heads * size
    joint = group(width, 1, "embed", Member("qkv", 3 * width, 3 * heads))
    for option in joint.options(step):
        first, second = joint.widths(option)
        assert first == option
        assert second == 3 * option
        assert second % (3 * heads) == 0


def test_by_layer_takes_the_nearest_step() -> None:
    groups = [group(64, name="wide"), group(24, name="odd"), group(8, name="narrow")]
    options = {one.name: one.options(16, 0.75) for one in groups}
    assert choice.by_layer(groups, options, 0.5) == {"wide": 32, "odd": 16, "narrow": 8}
    assert choice.by_layer(groups, options, 0.1) == {"wide": 64, "odd": 24, "narrow": 8}


def test_over_all_removes_what_matters_least() -> None:
    groups = [group(8, name="a"), group(8, name="b")]
    options = {one.name: one.options(1, 0.75) for one in groups}
    scores = {"a": [torch.tensor([9.0, 9, 9, 9, 9, 9, 9, 1])], "b": [torch.tensor([0.1, 0.2, 0.3, 8, 8, 8, 8, 8])]}
    assert choice.over_all(groups, options, 0.25, scores) == {"a": 7, "b": 5}
    scores["b"] = [torch.full((8,), 0.01)]
    assert choice.over_all(groups, options, 0.5, scores) == {"a": 8, "b": 2}, "the cap of 0.75 holds"


def test_channels_go_from_every_part() -> None:
    scores = torch.tensor([5.0, 1, 3, 5, 1, 3, 5, 1, 3, 5, 2, 3])
    assert choice.removed(Member("qkv", 12, 4), scores, 8) == [1, 4, 7, 10]
    assert choice.removed(Member("qkv", 12, 1), scores, 9) == [1, 4, 7]
    assert choice.removed(Member("qkv", 12, 1), scores, 12) == []


def test_equal_channels_go_in_order() -> None:
    assert choice.removed(Member("a", 100), torch.ones(100), 90) == list(range(10))


def test_nothing_to_prune_is_said() -> None:
    with pytest.raises(SpecError, match=r"ratio 0.1 in steps of 16 .* widest group, a, has 24 .*smaller round_to"):
        choice.require_change([group(24)], {"a": 24}, "ratio 0.1", 16)
    choice.require_change([group(24)], {"a": 16}, "ratio 0.1", 16)


class TestKeep:
    NAMES = ("features", "features.0", "features.0.0", "features.10.0", "head")

    def kept(self, *patterns: str) -> list[str]:
        groups = [group(8, name="features.0.0"), group(8, 1, "features.10.0", Member("features.2.0", 8))]
        return list(keeping.kept(groups, patterns, (*self.NAMES, "features.2", "features.2.0")))

    def test_layers_modules_around_them_and_coupled_layers(self) -> None:
        assert self.kept() == []
        assert self.kept("features.0.0") == ["features.0.0"]
        assert self.kept("features.0") == ["features.0.0"]
        assert self.kept("features.2") == ["features.10.0"]
        assert self.kept("feat*") == ["features.0.0", "features.10.0"]
        assert self.kept("head") == []

    def test_a_pattern_that_matches_nothing(self) -> None:
        with pytest.raises(SpecError, match=r"keep: no layer is called 'features.0.O'; did you mean 'features.0.0'"):
            self.kept("head", "features.0.O")
