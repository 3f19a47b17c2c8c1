"""Declarations of the node's parameters: types, ranges, and the file and table made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from edgekit.core.errors import SpecError
from edgekit.ros2_node.parameters import Parameter, Settings, as_table, as_yaml, declarations

DECLARED = declarations(Settings)


def test_every_parameter_says_what_it_is():
    for one in DECLARED:
        assert len(one.description) > 10, one.name
        assert one.checked(one.default) == one.default
        if one.name.rpartition("_")[2] in ("ms", "s", "hz"):
            assert one.unit.lower() == one.name.rpartition("_")[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_hz": float("nan")}, "rate_hz: nan is out of range; expected 0.01..10000 Hz"),
        ({"rate_hz": 0.0}, "rate_hz: 0 is out of range"),
        ({"rate_hz": "30"}, "rate_hz: '30' is no double"),
        ({"rectify": 1}, "rectify: 1 is no bool"),
        ({"scheduler_fifo": 100}, "scheduler_fifo: 100 is out of range; expected 0..99"),
        ({"scheduler_fifo": True}, "scheduler_fifo: True is no integer"),
        ({"image_transport": "compresed"}, "did you mean 'compressed'"),
        ({"cameras": ("front", "front")}, "expected at least one name, each once"),
        ({"cameras": ()}, "expected at least one name"),
        ({"cameras": ("front/left",)}, "'front/left' is no part of a topic's name"),
        ({"cpu_affinity": "2;3"}, "cpu_affinity: '2;3'; expected numbers"),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(SpecError, match=message):
        replace(Settings(), **change)


def test_what_fits_is_taken():
    made = replace(Settings(), rate_hz=15, cameras=["front", "rear"], cpu_affinity="2, 3")
    assert (made.rate_hz, made.cameras, made.processors()) == (15.0, ("front", "rear"), (2, 3))
    assert Parameter("x", 1, "a number").checked(-5) == -5


def test_the_file_holds_every_default():
    found = YAML(typ="safe").load(as_yaml(DECLARED, "perception"))["perception"]["ros__parameters"]
    assert {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()} == {
        one.name: one.default for one in DECLARED
    }


def test_the_table_has_a_row_for_each():
    rows = as_table(DECLARED).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [one.name for one in DECLARED]
    assert all(row.count(" | ") == 6 for row in rows)
