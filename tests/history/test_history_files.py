"""A history that cannot be used is refused in one line, and left as it is."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import EdgekitError, EnvironmentFault, InputError, MissingRequirement, OutputError
from edgekit.history import History
from edgekit.history.location import Location
from tests.support.nights import evaluation, gate, profile
from tests.support.shell import listing


def refused(file: str | Path, kind: type[EdgekitError] = InputError, writing: bool = True) -> str:
    """The message of a refusal that changes nothing."""
    folder = Path(file).parent
    before = listing(folder)
    with pytest.raises(kind) as caught:
        History.open(file, writing=writing)
    assert listing(folder) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(file: Path, *statements: str) -> None:
    with sqlite3.connect(file) as database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(history_file: Path, share: float) -> None:
    content = history_file.read_bytes()
    history_file.write_bytes(content[: int(len(content) * share)])
    message = refused(history_file)
    assert message.startswith(f"history {history_file} is damaged (")
    assert message.endswith(
        f"and was left as it is; put a copy back, or save what can be read: sqlite3 {history_file} .recover | "
        f"sqlite3 {history_file}.recovered"
    )


def test_a_file_with_a_hole(history_file: Path) -> None:
    content = bytearray(history_file.read_bytes())
    content[4096 * 3 : 4096 * 20] = bytes(4096 * 17)
    history_file.write_bytes(content)
    assert " is damaged (" in refused(history_file)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "h.db").touch()
    assert refused(tmp_path / "h.db") == (
        f"history {tmp_path}/h.db is empty; put a copy of it back, or delete the file to begin a new history"
    )


def test_no_database(tmp_path: Path) -> None:
    (tmp_path / "h.db").write_text("runs: []\n" * 10)
    assert "is not a SQLite database; name another file, its content is left as it is" in refused(tmp_path / "h.db")


def test_the_database_of_something_else(tmp_path: Path) -> None:
    edit(tmp_path / "h.db", "CREATE TABLE photos (a)", "CREATE TABLE albums (a)")
    message = refused(tmp_path / "h.db")
    assert "is a database of something else, or not whole: it has no table 'alembic_version' " in message
    assert "(tables: albums, photos); name another file or put a copy back, this one is left as it is" in message


def test_an_older_schema_is_not_upgraded_behind_ones_back(history_file: Path) -> None:
    edit(history_file, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    message = refused(history_file)
    assert "was made by an older MLflow than " in message
    assert f"cp {history_file} {history_file}.bak && mlflow db upgrade sqlite:///{history_file}" in message


@pytest.mark.parametrize("statement", ["UPDATE alembic_version SET version_num = 'f00'", "DELETE FROM alembic_version"])
def test_a_newer_schema(history_file: Path, statement: str) -> None:
    edit(history_file, statement)
    assert refused(history_file).endswith('MLflow that made it: pip install -U "edgekit[history]"')


def test_a_table_that_is_gone(history_file: Path) -> None:
    edit(history_file, "DROP TABLE tags")
    assert "or not whole: it has no table 'tags' (tables: " in refused(history_file)


def test_a_column_that_is_gone(history_file: Path) -> None:
    edit(history_file, "ALTER TABLE runs RENAME COLUMN status TO state")
    before = history_file.read_bytes()
    with pytest.raises(InputError, match=r"history .*no such column.*; nothing was lost of the runs before") as caught:
        History.open(history_file).entries()
    assert "\n" not in str(caught.value)
    assert history_file.read_bytes() == before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs; unmounted after the test."""
    folder = tmp_path / "disk"

    def make(options: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a file system")
        return folder

    yield make
    if folder.is_mount():  # MLflow keeps its connection open
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_read_only_disk(history_file: Path, disk: Callable[[str], Path]) -> None:
    folder = disk("size=8m")
    shutil.copytree(history_file.parent, folder, dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for file in (folder / "history.db", folder / "sub" / "new.db"):
        message = refused(file, OutputError)
        assert message.endswith(f"{folder} is read-only; choose another file with --history")
    assert History.open(folder / "history.db").find("last-good").evaluation == evaluation()  # to be read, it will do


def test_a_full_disk_loses_nothing(history_file: Path, disk: Callable[[str], Path], tmp_path: Path) -> None:
    folder = disk("size=1536k")
    shutil.copytree(history_file.parent, folder, dirs_exist_ok=True)
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    history = History.open(folder / "history.db", writing=True)

    def record(**artifacts: Path) -> str:
        return history.record(evaluation(), profile(), gate(), "camvid-seg", "cpu", "0", None, artifacts)

    with pytest.raises(
        OutputError, match=r"no space left on device; free space there, or choose another file with --history"
    ):
        record(engine=tmp_path / "large")
    assert len(History.open(folder / "history.db").entries()) == 2
    assert history.find("last-good").entry.id == sorted(history.entries(), key=lambda e: e.time_ms)[-1].id
    run = record()
    assert history.find("last-good").entry.id == run


def test_reading_makes_no_file(tmp_path: Path) -> None:
    history = History.open(tmp_path / "none.db")
    assert history.entries() == ()
    with pytest.raises(InputError, match="no run of anything is recorded; record one with edgekit gate"):
        history.find("last-good")
    with pytest.raises(InputError, match="'c0ffee': no finished run is recorded"):
        history.find("c0ffee")
    with pytest.raises(InputError, match=r"history .*none\.db: no run is recorded"):
        history.series("miou")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "expected the path of a file"),
        ("sqlite:///:memory:", "expected the path of a file"),
        ("s3://bucket/history.db", "expected the path of a file"),
        ("databricks://me:secret@host", "history 'databricks://host': expected"),
        ("a?b.db", "a path with ?, # or % cannot be part of an address"),
    ],
)
def test_an_address_that_is_none(uri: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Location.parse(uri)
    assert words in str(caught.value)


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Location.parse("h.db") == Location.parse("sqlite:///h.db") == Location.parse(tmp_path / "h.db")
    assert Location.parse(f"sqlite:///{tmp_path}/h.db").uri == f"sqlite:///{tmp_path}/h.db"
    server = Location.parse("https://me:secret@host:5000")
    assert (server.uri, server.file, server.shown) == ("https://me:secret@host:5000", None, "https://host:5000")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"is a folder; name the file in it, such as folder/history\.db"):
        Location.parse("folder/")


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(EnvironmentFault) as caught:
        History.open("http://me:secret@127.0.0.1:1")
    assert str(caught.value).startswith("the history server http://127.0.0.1:1 failed: ")
    assert str(caught.value).endswith("; see that it runs and that this machine reaches it")


@pytest.mark.parametrize("missing", ["mlflow.tracking", "alembic"])
def test_without_mlflow(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == missing:
            raise ModuleNotFoundError(name, name=name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingRequirement) as caught:
        History.open(tmp_path / "h.db")
    assert str(caught.value).startswith(f"{missing}, which keeps the history, is not available on this machine")
    assert str(caught.value).endswith('install it with: pip install "edgekit[history]"')
