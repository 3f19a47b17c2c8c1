"""The draw and the score of the mutation test; Cosmic Ray is not needed for these."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks import mutants
from scipy.stats import binomtest

ROOT = Path(__file__).parents[2]
SIZES = {"big": 100, "middle": 40, "small": 10}
DRAWN = 30


def item(file: str, occurrence: int, start: tuple[int, int] = (1, 0)) -> Any:
    mutation = SimpleNamespace(
        module_path=file, operator_name="core/NumberReplacer", operator_args={}, occurrence=occurrence, start_pos=start
    )
    return SimpleNamespace(mutations=(mutation,))


def rooms(*names: str) -> dict[str, list[Any]]:
    return {name: [item(f"{name}.py", i) for i in range(SIZES[name])] for name in names}


def drawn(seed: int, found: dict[str, list[Any]]) -> list[tuple[str, int]]:
    return [(room, one.mutations[0].occurrence) for room, one in mutants.order(found, seed)]


def test_every_beginning_of_the_order_is_in_proportion_to_the_rooms() -> None:
    order = drawn(1, rooms(*SIZES))
    assert sorted(order) == sorted((room, i) for room, size in SIZES.items() for i in range(size))
    for length in range(1, len(order) + 1):
        found = Counter(room for room, _ in order[:length])
        for room, size in SIZES.items():
            assert abs(found[room] - length * size / sum(SIZES.values())) <= 1.5


def test_the_seed_decides_and_the_order_of_the_session_does_not() -> None:
    found = rooms(*SIZES)
    backwards = {room: items[::-1] for room, items in reversed(found.items())}
    assert drawn(1, found) == drawn(1, backwards)
    assert drawn(1, found)[:DRAWN] != drawn(2, found)[:DRAWN]


@pytest.mark.parametrize(("hits", "tries"), [(0, 5), (5, 5), (85, 100), (1, 3), (510, 600)])
def test_the_interval_is_that_of_another_implementation(hits: int, tries: int) -> None:
    expected = binomtest(hits, tries).proportion_ci(0.95, "wilson")
    assert mutants.wilson(hits, tries) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_of_nothing_the_interval_is_everything() -> None:
    assert mutants.wilson(0, 0) == (0.0, 1.0)


def test_a_file_belongs_to_the_first_room_that_names_it() -> None:
    plan = mutants.read_plan(mutants.PLAN, ROOT)
    files = [file for room in plan.rooms for file in room.files]
    assert len(files) == len(set(files))
    assert all(room.files for room in plan.rooms)
    assert all((ROOT / place).exists() for room in plan.rooms for place in room.tests)
    keys, stages = plan.rooms[0], plan.rooms[-1]
    assert "src/edgekit/stages/keys.py" in keys.files
    assert "src/edgekit/stages/gate.py" in stages.files


def test_a_score_counts_what_was_tried() -> None:
    score = mutants.Score()
    results = (None, ("killed", "timeout"), ("killed", "1 failed"), ("survived", "all passed"))
    for one in results:
        score.add(None if one is None else SimpleNamespace(test_outcome=one[0], output=one[1]))
    told = score.to_dict()
    assert (told["mutants"], told["tried"], told["killed"], told["hung"], told["survived"]) == (4, 3, 2, 1, 1)
    assert told["share"] == pytest.approx(2 / 3, abs=1e-4)
