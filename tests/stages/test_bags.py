"""A bundle judged on a bag: the same frames give the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError
from edgekit.ros2_node.bags.convert import Conversion, convert
from edgekit.stages.bags import BagFrames, on_bag
from tests.support import shell


@pytest.fixture
def bag(tiny_project: Path, tmp_path: Path) -> Path:
    convert(tiny_project / "data/images", tmp_path / "bag", Conversion())
    return tmp_path / "bag"


def test_the_frames_of_a_bag_give_the_numbers_of_their_files(tiny_bundle: Path, tiny_project: Path, bag: Path) -> None:
    root = tiny_project / "data"
    plain = shell.edgekit("evaluate", tiny_bundle, "--root", root, "--json")
    on_bag = shell.edgekit("evaluate", tiny_bundle, "--root", root, "--bag", bag, "--json")
    files, recorded = json.loads(plain.stdout), json.loads(on_bag.stdout)
    assert recorded["metrics"] | files["metrics"] == recorded["metrics"]  # a drive has its flicker beside
    assert "flicker" in recorded["metrics"]
    assert recorded["frames"] == files["frames"] == 8
    assert recorded["dataset"].startswith("mcap:")
    assert any("not those that the bundle was built for" in line for line in recorded["warnings"])


def test_what_says_how_a_bag_is_read_needs_a_bag(tiny_bundle: Path) -> None:
    found = shell.edgekit("evaluate", tiny_bundle, "--topic", "/image")
    assert shell.error_of(found, 2) == "--topic says how a bag is read; name the bag with --bag"


def test_a_bag_that_is_not_there(tiny_bundle: Path, tmp_path: Path) -> None:
    found = shell.edgekit("evaluate", tiny_bundle, "--bag", tmp_path / "absent")
    assert "absent: no such bag" in shell.error_of(found, 2)


def test_a_bag_that_the_bundle_was_built_for_is_replaced(tiny_bundle: Path, tiny_project: Path, bag: Path) -> None:
    """The labels of the section stay."""
    with open_bundle(tiny_bundle) as bundle:
        once = on_bag(bundle, BagFrames(bag), tiny_project / "data")
        twice = on_bag(once, BagFrames(bag, topic="/front"))
        assert twice.contents.evaluation.labels == once.contents.evaluation.labels
        assert twice.contents.evaluation.topic == "/front"
        with pytest.raises(DataError, match="no images are recorded on '/front'"):
            twice.dataset()
        recorded = on_bag(bundle, BagFrames(bag, detections="/truth"))
        assert recorded.contents.evaluation.labels is None
