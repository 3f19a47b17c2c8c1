"""Commands of other distributions: there when it is installed, else named with the line that installs it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from edgekit.cli import plugged
from edgekit.cli.main import app
from edgekit.core.errors import MissingRequirement


@pytest.fixture
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugged.PLUGGED, "hil", "edgekit-that-nobody-has")


@pytest.mark.usefixtures("_absent")
@pytest.mark.parametrize("arguments", [["hil"], ["hil", "run", "--env", "x"], ["hil", "--help"]])
def test_what_is_not_installed_is_named(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, MissingRequirement)
    assert result.exception.exit_code == 3
    assert "pip install edgekit-that-nobody-has" in str(result.exception)


@pytest.mark.usefixtures("_absent")
def test_the_help_page_lists_it_all_the_same() -> None:
    page = CliRunner().invoke(app, ["--help"])
    assert page.exit_code == 0
    assert "Not installed: pip install edgekit-that-nobody-has" in " ".join(page.output.split())
