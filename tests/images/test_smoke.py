"""What the health check says of a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.images.smoke import main


def test_a_sound_bundle_is_healthy(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tiny_bundle)]) == 0
    assert capsys.readouterr().out.startswith("healthy: ")


def test_an_empty_folder_is_told_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "mount a bundle there" in capsys.readouterr().out


def test_a_changed_file_is_unhealthy(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (engine,) = (tiny_bundle / "engines").glob("int8*")
    engine.write_bytes(engine.read_bytes()[:-1])
    assert main([str(tiny_bundle)]) == 2
    assert capsys.readouterr().out.startswith("unhealthy: ")
