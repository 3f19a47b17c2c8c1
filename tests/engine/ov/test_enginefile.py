"""The file of an engine: whole and of this version, or refused before OpenVINO reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import BundleError
from edgekit.core.tensors import TensorSpec
from edgekit.engine.ov.enginefile import EngineFile, read, write

ENGINE = EngineFile("1.2", "f32", (TensorSpec("x", (None, 3), "uint8"),), (TensorSpec("y", ()),), b"a\nblob")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "e.ov", ENGINE)
    assert read(tmp_path / "e.ov", "1.2") == ENGINE
    content = (tmp_path / "e.ov").read_bytes()
    write(tmp_path / "e.ov", ENGINE)
    assert (tmp_path / "e.ov").read_bytes() == content


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "or only a part of it"),
        (lambda content: content[:-1] + b"B", "not the one that was written"),
        (lambda content: content[:60], "not an engine of OpenVINO, or only a part of one"),
        (lambda content: b"\0" + content, "not an engine of OpenVINO"),
        (lambda content: b"", "not an engine of OpenVINO"),
    ],
)
def test_damage(tmp_path: Path, damage: object, message: str) -> None:
    write(tmp_path / "e.ov", ENGINE)
    (tmp_path / "e.ov").write_bytes(damage((tmp_path / "e.ov").read_bytes()))  # type: ignore[operator]
    with pytest.raises(BundleError, match=rf"e\.ov: .*{message}.*edgekit bundle rebuild"):
        read(tmp_path / "e.ov", "1.2")


def test_another_version(tmp_path: Path) -> None:
    write(tmp_path / "e.ov", ENGINE)
    with pytest.raises(BundleError, match=r"made by OpenVINO 1\.2, and here is 1\.3; make it anew"):
        read(tmp_path / "e.ov", "1.3")
