"""The arithmetic of paired seeds, and how networks of one latency are found."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import time
from pathlib import Path
from unittest import mock

import pytest
import torch
from benchmarks import paired_networks, paired_seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from edgekit.engine import opened_in_turn

NUMBERS = st.floats(0, 1, width=32)


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=6))
def test_the_interval_of_the_mean_is_that_of_a_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (list(part) for part in zip(*pairs, strict=True))
    found = paired_seeds.paired(ours, theirs)
    each = [one - other for one, other in pairs]
    assert found["each"] == each
    assert (found["above"], found["of"]) == (sum(ours > theirs for ours, theirs in pairs), len(pairs))
    assert found["spread"] == max(each) - min(each)
    assert found["mean"] == pytest.approx(sum(each) / len(each))
    if found["spread"] > 1e-6:
        wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        assert found["interval"] == pytest.approx([wanted.low, wanted.high], abs=1e-9)


def test_one_seed_has_no_interval_and_unequal_ones_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        paired_seeds.paired([0.5], [0.4])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired_seeds.paired([0.5, 0.6], [0.4])


def test_a_claim_is_left_out_until_both_of_its_arms_are_trained() -> None:
    (name, (ours, theirs)), *_ = paired_seeds.CLAIMS.items()
    assert paired_seeds.claims({ours: [0.5, 0.6]}) == {}
    found = paired_seeds.claims({ours: [0.5, 0.6], theirs: [0.4, 0.4]})
    assert list(found) == [name]
    assert found[name]["each"] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("claim", "differs"),
    [
        ("latency-aware over uniform", {"network"}),
        ("teacher over labels", {"teacher"}),
        ("soft labels over the live teacher", {"teacher"}),
        ("latency-aware over torch-pruning, both by labels", {"network"}),
        ("latency-aware over fastnas, both by labels", {"network"}),
    ],
)
def test_a_claim_compares_arms_that_differ_in_one_thing(claim: str, differs: set[str]) -> None:
    ours, theirs = (vars(paired_seeds.ARMS[name]) for name in paired_seeds.CLAIMS[claim])
    assert {key for key in ours if ours[key] != theirs[key]} == differs


def test_frames_under_soft_labels_do_not_move() -> None:
    for arm in paired_seeds.ARMS.values():
        moves = {"flip", "crop"} & set(paired_seeds.AUGMENT[arm.augment])
        assert not (moves and arm.teacher == "soft labels")


@settings(deadline=None)
@given(st.floats(0.1, 0.9), st.floats(0.85, 1.2), st.floats(0.5, 2))
def test_bisection_ends_at_equal_latency(start: float, off: float, power: float) -> None:
    wanted = start * off
    tried = paired_networks.equal(lambda share: (share / wanted) ** power, start)
    assert tried[0][0] == start
    assert abs(tried[-1][1] - 1) <= paired_networks.WITHIN
    assert all(abs(found - 1) > paired_networks.WITHIN for _, found in tried[:-1])


def test_what_gets_no_nearer_is_refused() -> None:
    with pytest.raises(SystemExit, match="no network within 2%"):
        paired_networks.equal(lambda share: 1.3 if share > 0.5 else 0.7, 0.5)


def test_engines_in_turn_are_timed_by_the_processor_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(time, "process_time", lambda: float(next(ticks)))
    openers = {"it": lambda: contextlib.nullcontext(mock.Mock())}
    with paired_networks.by_processor():
        assert opened_in_turn(openers, {"it": {}}, 2, 3, 1) == {"it": [1000.0] * 6}  # type: ignore[arg-type]
    assert opened_in_turn(openers, {"it": {}}, 2, 3, 1) != {"it": [1000.0] * 6}  # type: ignore[arg-type]


def test_networks_are_the_same_by_their_tensors() -> None:
    torch.manual_seed(0)
    network, other = nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Sequential(nn.Conv2d(3, 4, 1))
    assert not paired_networks.same(network, other)
    other.load_state_dict(network.state_dict())
    assert paired_networks.same(network, other)
    assert not paired_networks.same(network, nn.Sequential(nn.Conv2d(3, 5, 1)))
    assert list(paired_networks.convolutions(network)) == [4]


def test_a_folder_of_other_options_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    given = dict.fromkeys(paired_seeds.SETTINGS, 1)
    with (
        pytest.raises(SystemExit, match="of other options"),
        paired_seeds.opened(argparse.Namespace(out=tmp_path, **given)),
    ):
        pass


def test_students_of_every_arm_and_seed_have_a_file_of_their_own(tmp_path: Path) -> None:
    trainings = paired_seeds.Trainings(argparse.Namespace(out=tmp_path), spec=None, bench=None)  # type: ignore[arg-type]
    files = {trainings.file(name, seed) for name in paired_seeds.ARMS for seed in range(3)}
    assert len(files) == 3 * len(paired_seeds.ARMS)
    assert not any(" " in file.name for file in files)
