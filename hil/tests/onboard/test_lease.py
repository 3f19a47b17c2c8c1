"""The board's lease: one holder at a time, whatever the order; ended by time, a boot or its owner."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from edgekit_hil.onboard import lease


def take(folder: Path, who: str, seconds: float = 60) -> bool:
    return bool(lease.take(folder, who, f"run-{who}", f"token-{who}", seconds)["held"])


def test_one_holds_it_and_the_other_is_told_who(tmp_path: Path) -> None:
    assert take(tmp_path, "one")
    answer = lease.take(tmp_path, "two", "run-two", "token-two", 60)
    assert not answer["held"]
    assert answer["holder"]["owner"] == "one"
    assert "token" not in answer["holder"]  # it is what proves the lease
    lease.release(tmp_path, "token-one")
    assert take(tmp_path, "two")


def test_it_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert take(tmp_path, "one", 60)
    begin = lease.now()
    monkeypatch.setattr(lease, "now", lambda: begin + 59)
    assert lease.renew(tmp_path, "token-one", 60)["held"]
    monkeypatch.setattr(lease, "now", lambda: begin + 118)
    assert lease.holds(tmp_path, "token-one")
    monkeypatch.setattr(lease, "now", lambda: begin + 120)
    assert not lease.renew(tmp_path, "token-one", 60)["held"]
    assert take(tmp_path, "two")
    assert not lease.holds(tmp_path, "token-one")


def test_a_boot_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert take(tmp_path, "one")
    monkeypatch.setattr(lease, "boot", lambda: "another boot")
    assert lease.holder(tmp_path) is None
    assert take(tmp_path, "two")


def test_what_is_not_ones_own_is_not_given_back(tmp_path: Path) -> None:
    assert take(tmp_path, "one")
    lease.release(tmp_path, "token-two")
    assert lease.holds(tmp_path, "token-one")


def _contend(folder: Path, who: str) -> None:
    for _ in range(40):
        if take(folder, who):
            lease.release(folder, f"token-{who}")


def test_processes_that_contend_never_hold_it_together(tmp_path: Path) -> None:
    """Shown by the log: between one taking and its release nobody else takes it."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_contend, args=(tmp_path, f"w{i}")) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    events = [json.loads(line) for line in (tmp_path / "lease.log").read_text().splitlines()]
    assert events
    for taken, released in zip(events[::2], events[1::2], strict=True):
        assert (taken["event"], released["event"]) == ("taken", "released")
        assert taken["owner"] == released["owner"]
