"""One history for all tests, made by two processes at once; each test gets a copy."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.history import History, store
from tests.support.nights import METRICS, evaluation, gate, profile

FORK = multiprocessing.get_context("fork")


def in_process(work: Callable[..., object], *args: Any) -> Any:
    """Start a process of its own; MLflow is imported already, so that it starts at once."""
    store.require()
    process = FORK.Process(target=work, args=args)
    process.start()
    return process


def _record_at_once(path: Path, barrier: Any, number: int) -> None:
    barrier.wait()
    history = History.open(path, writing=True)
    revision = f"{number}a" * 20
    history.record(evaluation(), profile(), gate(), "camvid-seg", "cpu", "0123", revision, metrics=METRICS)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "new" / "history.db"
    barrier = FORK.Barrier(2)
    processes = [in_process(_record_at_once, path, barrier, number) for number in (1, 2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(p.name for p in path.parent.iterdir()) == ["history.db", "history.db.documents"]
    return path


@pytest.fixture
def history_file(_template: Path, tmp_path: Path) -> Path:
    """A history of two runs of ``camvid-seg`` on ``cpu``, both passed: revisions ``1a1a...`` and ``2a2a...``."""
    return Path(shutil.copytree(_template.parent, tmp_path / "history")) / "history.db"
