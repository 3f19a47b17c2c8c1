"""Deploying over a real connection: only what changed is sent, and a link that drops in the middle is no half file."""

from __future__ import annotations

from pathlib import Path

from hil.tests.conftest import LOOPBACK, TestBoard

from edgekit_hil.deploy import deploy
from edgekit_hil.environment import open_target
from edgekit_hil.link import Link


def link(board: TestBoard) -> Link:
    strategy = open_target(LOOPBACK)
    strategy.transition("booted")
    found: Link = strategy.agent.link
    return found


def test_a_changed_folder_sends_what_changed(board: TestBoard, tmp_path: Path) -> None:
    source = tmp_path / "bundle"
    (source / "engines").mkdir(parents=True)
    (source / "engines" / "large").write_bytes(bytes(2_000_000))
    (source / "small").write_text("one")
    (source / "same").write_text("one")
    to = link(board)
    first = deploy(to, source, "bundles")
    assert (first.bytes, first.moved_bytes) == (2_000_006, 2_000_003)  # what is there twice is sent once
    assert deploy(to, source, "bundles").moved_bytes == 0
    (source / "small").write_text("two!")
    changed = deploy(to, source, "bundles")
    assert changed.moved_bytes == 4
    assert changed.path != first.path
    assert (Path(changed.path) / "small").read_text() == "two!"
    assert (Path(first.path) / "small").read_text() == "one"


def test_a_single_file_keeps_its_name(board: TestBoard, tmp_path: Path) -> None:
    (tmp_path / "b.edgekit").write_bytes(b"packed")
    assert deploy(link(board), tmp_path / "b.edgekit", "bundles").path.endswith("/b.edgekit")


def test_a_link_that_drops_in_the_middle(board: TestBoard, tmp_path: Path) -> None:
    source = tmp_path / "bundle"
    source.mkdir()
    (source / "large").write_bytes(bytes(30_000_000))
    to = link(board)
    to.ask("where")
    board.cut()
    moved = deploy(to, source, "bundles")
    assert to.drops > 0
    assert (Path(moved.path) / "large").stat().st_size == 30_000_000
    with board.lease("somebody@else"):
        to.ask("store-tidy", {"keep": 9, "token": "their-token"})
    assert not list((board.folder / "store").glob(".incoming*"))
