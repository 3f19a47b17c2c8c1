"""One server for all tests of the package; every test begins with a bare board."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import loopback


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.Loopback]:
    with loopback.serve(tmp_path_factory.mktemp("ssh")) as board:
        yield board


@pytest.fixture
def board(_server: loopback.Loopback, monkeypatch: pytest.MonkeyPatch) -> loopback.Loopback:
    """The board, with nothing on it; ``ssh`` finds it by the environment variable."""
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(_server.config))
    _server.bare()
    assert _server.left() == []
    return _server
