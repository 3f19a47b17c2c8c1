"""Bundles of the driving project, built once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hil.tests.night import driving

from edgekit.history import store
from edgekit.history.location import Location
from edgekit_hil.night.shelf import ware


@dataclass(frozen=True)
class Built:
    """One good bundle under many digests: ``numbers`` are those of the bundles of ``folder`` by digest, oldest 0."""

    good: Path
    folder: Path
    numbers: dict[str, int]

    def path(self, number: int) -> Path:
        return next(self.folder.glob(f"{number}-*"))


@pytest.fixture(scope="session")
def driving_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drives") / "data"
    driving.write_data(root)
    return root


@pytest.fixture(scope="session")
def built(driving_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """18 bundles, ``<number>-<commit>``: all are the good one."""
    folder = tmp_path_factory.mktemp("built")
    good = driving.build(folder / "project", driving_data)
    for number in range(18):
        driving.variant(good, folder / "all" / f"{number}-{number:02}abcde", number)
    numbers = {ware(path).digest: int(path.name.split("-")[0]) for path in (folder / "all").iterdir()}
    return Built(good, folder / "all", numbers)


@pytest.fixture(scope="session")
def empty_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history without a run: making one takes more than a second."""
    store.require()
    path = tmp_path_factory.mktemp("history") / "history.db"
    store.create(Location.parse(path))
    return path
