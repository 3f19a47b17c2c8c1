"""What the latency table predicts, and the choice of widths by milliseconds and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import ModelError
from edgekit.prune.channels import search, table
from edgekit.prune.channels.groups import Group, Member
from edgekit.prune.channels.layers import Layer, Work
from edgekit.prune.channels.search import Cost
from edgekit.prune.channels.table import Row, Table

STEP = 8
# A chain of layers: image -> a (spatial) -> depthwise of a -> b (pointwise) -> c (spatial) -> output.
GROUPS = tuple(Group((Member(name, width),), (name,)) for name, width in (("a", 32), ("b", 64), ("c", 48)))
LAYERS = (
    Layer("a", "spatial", 3, 32, 900, 9, 1, {}, {"a": 32}),
    Layer("d", "depthwise", 32, 32, 900, 9, 1, {"a": 32}, {"a": 32}),
    Layer("b", "pointwise", 32, 64, 900, 1, 1, {"a": 32}, {"b": 64}),
    Layer("c", "spatial", 64, 48, 225, 9, 1, {"b": 64}, {"c": 48}),
    Layer("o", "pointwise", 48, 5, 225, 1, 1, {"c": 48}, {}),
)
WORK = Work(LAYERS, GROUPS, STEP)
OPTIONS = {group.name: group.options(STEP, 0.75) for group in GROUPS}


def stairs(channels: int) -> int:
    return -(-channels // STEP) * STEP


def true_ms(widths: Mapping[str, int]) -> float:
    """By hand: every layer at a rate of its own."""
    a, b, c = (stairs(widths[name]) for name in "abc")
    spatial = 900 * 9 * 8 * a * 1.1 + 225 * 9 * b * c
    return 1e-6 * (spatial * 0.2 + 900 * 9 * a * 0.9 + 900 * a * b * 0.3 + 225 * c * 8 * 0.3 + 900 * (a + b) * 2) + 0.5


def rows(count: int, noise: float = 0.0) -> list[Row]:
    rng = np.random.default_rng(5)
    full = true_ms({group.name: group.width for group in GROUPS})
    made = table.designed(GROUPS, OPTIONS, count)
    return [Row(widths, true_ms(widths) * (1 + noise * rng.standard_normal()), full) for widths in made]


def test_work_counts_whole_steps() -> None:
    products, results = WORK.of(WORK.row({"a": 20, "b": 64, "c": 48}))
    assert products[0].tolist() == [900 * 9 * 8 * 24, 900 * 9 * 24, 900 * 24 * 64, 225 * 9 * 64 * 48, 225 * 48 * 8]
    assert results[0].tolist() == [900 * 24, 900 * 24, 900 * 64, 225 * 48, 225 * 8]


def test_grouped_convolution_has_the_work_of_its_parts() -> None:
    grouped = Work((Layer("g", "spatial", 32, 32, 10, 9, 4, {"a": 32}, {}),), GROUPS[:1], 1)
    assert grouped.of(grouped.row({"a": 32}))[0].tolist() == [[10 * 9 * 32 * 32 / 4]]


def test_designed_widths_are_always_the_same_and_begin_with_the_narrowest() -> None:
    made = table.designed(GROUPS, OPTIONS, 12)
    assert made == table.designed(GROUPS, OPTIONS, 12)
    assert made[0] == {"a": 8, "b": 16, "c": 16}
    assert made[:8] == table.designed(GROUPS, OPTIONS, 8), "more engines go on from fewer"
    assert all(one[name] in OPTIONS[name] for one in made for name in one)
    assert len({tuple(one.values()) for one in made}) > 8


def test_unseen_widths_are_predicted() -> None:
    fitted = table.fit(WORK, rows(16))
    rng = np.random.default_rng(9)
    errors = []
    for _ in range(20):
        widths = {name: int(rng.choice(some)) for name, some in OPTIONS.items()}
        errors.append(abs(fitted.ms(WORK.row(widths))[0] / true_ms(widths) - 1))
    assert np.median(errors) < 0.02
    assert fitted.error < 0.02
    full = {group.name: group.width for group in GROUPS}
    assert fitted.share(WORK.row(full)) == pytest.approx(1, abs=0.02)


def test_the_error_is_that_of_rows_that_were_left_out() -> None:
    noisy = table.fit(WORK, rows(16, noise=0.1))
    assert 0.02 < noisy.error < 0.2


def test_rows_are_kept_and_read_again(tmp_path: Path) -> None:
    held = Table(tmp_path / "new" / "latency.json")
    assert held.rows == []
    for row in rows(3):
        held.add(row)
    again = Table(tmp_path / "new" / "latency.json")
    assert again.rows == held.rows
    assert again.find(rows(3)[2].widths) == rows(3)[2]
    assert again.find({"a": 1, "b": 1, "c": 1}) is None
    (tmp_path / "new" / "latency.json").write_text(json.dumps({"format": 0, "rows": []}))
    with pytest.raises(ModelError, match="no latency table of this version; delete it"):
        Table(tmp_path / "new" / "latency.json")


class TestCost:
    def test_straight_lines(self) -> None:
        cost = Cost(64, {32: 1.0, 16: 3.0})
        assert [cost.at(width) for width in (64, 48, 32, 24, 16)] == pytest.approx([0, 0.5, 1, 2, 3], abs=1e-3)

    def test_it_never_falls_and_is_never_below_nothing(self) -> None:
        assert Cost(64, {32: 2.0, 16: 1.0}).at(16) == pytest.approx(2.0, abs=1e-3)
        assert 0 < Cost(64, {32: -1.0, 16: -2.0}).at(16) < 1e-3
        assert Cost(64, {32: -1.0, 16: -2.0}).at(64) == 0


class TestGreedy:
    COSTS: Mapping[str, Cost] = {"a": Cost(32, {8: 5.0}), "b": Cost(64, {16: 1.0}), "c": Cost(48, {16: 1.0})}

    def chosen(self, share: float, costs: Mapping[str, Cost] | None = None) -> dict[str, int] | None:
        fitted = table.fit(WORK, rows(16))
        target = float(fitted.ms(WORK.widths[None])[0]) * share
        found = search.greedy(GROUPS, OPTIONS, costs or self.COSTS, fitted.ms, target)
        if found is not None:
            assert fitted.ms(WORK.row(found))[0] <= target
        return found

    def test_what_costs_little_for_its_time_goes_first(self) -> None:
        assert self.chosen(0.9) == {"a": 32, "b": 48, "c": 48}
        found = self.chosen(0.5)
        assert found is not None
        assert found["a"] == 32
        other = self.chosen(0.5, {**self.COSTS, "a": Cost(32, {8: 0.01})})
        assert other is not None
        assert other["a"] == 8

    def test_out_of_reach(self) -> None:
        assert self.chosen(0.05) is None

    def test_already_there(self) -> None:
        assert self.chosen(1.0001) == {"a": 32, "b": 64, "c": 48}

    @settings(deadline=None, max_examples=20)
    @given(share=st.floats(0.35, 1.0))
    def test_no_group_could_be_wider(self, share: float) -> None:
        fitted = table.fit(WORK, rows(16))
        target = float(fitted.ms(WORK.widths[None])[0]) * share
        found = search.greedy(GROUPS, OPTIONS, self.COSTS, fitted.ms, target)
        assert found is not None
        for name, some in OPTIONS.items():
            for width in some:
                if width > found[name]:
                    assert fitted.ms(WORK.row({**found, name: width}))[0] > target

    def test_steps_are_whole_and_coarse(self) -> None:
        assert search.coarse(Group((Member("x", 960),), ("x",)), 16, 0.75) == (
            960, 896, 768, 640, 512, 384, 256,
        )  # fmt: skip
        assert search.coarse(Group((Member("x", 24),), ("x",)), 16, 0.75) == (24, 16)
