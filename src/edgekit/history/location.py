"""Where a history is: a SQLite file with a folder of documents beside it, or an MLflow server."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edgekit.core.errors import InputError, os_reason

SERVERS = ("http://", "https://", "postgresql://", "postgresql+", "mysql://", "mysql+", "mssql+")
_SQLITE = "sqlite:///"
_HEADER = b"SQLite format 3\0"
_TABLES = {"alembic_version", "experiments", "runs", "metrics", "latest_metrics", "params", "tags"}
_TABLES |= {"registered_models", "registered_model_aliases", "registered_model_tags", "model_versions"}


@dataclass(frozen=True)
class Location:
    """A history's address for MLflow; ``file`` is None for a server."""

    uri: str
    file: Path | None

    @classmethod
    def parse(cls, given: str | Path) -> Location:
        """A path, ``sqlite:///path``, or a server's address.

        Raises:
            InputError: it is neither, or the path is a folder or cannot be part of an address.
        """
        text = str(given)
        if isinstance(given, str) and text.startswith(SERVERS):
            return cls(text, None)
        path = text.removeprefix(_SQLITE) if isinstance(given, str) else text
        if not path or path.startswith(":") or "://" in path:
            raise InputError(
                f"history {shown(text)!r}: expected the path of a file, such as history.db, sqlite:///PATH, or a "
                "server, such as https://HOST"
            )
        if "?" in path or "#" in path or "%" in path:
            raise InputError(f"history {path!r}: a path with ?, # or % cannot be part of an address; rename it")
        file = Path(path).absolute()
        if file.is_dir():
            raise InputError(
                f"history {path!r} is a folder; name the file in it, such as {path.rstrip('/')}/history.db"
            )
        return cls(f"{_SQLITE}{file}", file)

    @property
    def shown(self) -> str:
        """For a message: a path, or an address without its password."""
        return str(self.file) if self.file is not None else shown(self.uri)

    @property
    def documents(self) -> Path:
        """The folder beside the file."""
        assert self.file is not None
        return self.file.with_name(f"{self.file.name}.documents")


def shown(uri: str) -> str:
    """An address without user and password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def check_file(file: Path) -> str:
    """Read an existing history file through without changing it, and return the revision of its schema.

    MLflow would add its tables to whatever database it is given.

    Raises:
        InputError: it is empty, truncated, damaged, no database, or another program's.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_HEADER))
    except OSError as error:
        raise InputError(f"history {file}: cannot be read: {os_reason(error)}") from error
    if not start:
        raise InputError(f"history {file} is empty; put a copy of it back, or delete the file to begin a new history")
    if start != _HEADER:
        raise InputError(f"history {file} is not a SQLite database; name another file, its content is left as it is")
    with _reading(file), contextlib.closing(_connect(file)) as database:
        problem = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        missing = _TABLES - tables
        if missing:
            held = ", ".join(sorted(tables)[:5]) or "none"
            raise InputError(
                f"history {file} is a database of something else, or not whole: it has no table {min(missing)!r} "
                f"(tables: {held}); name another file or put a copy back, this one is left as it is"
            )
        revision = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return revision[0] if revision else ""


def _connect(file: Path) -> sqlite3.Connection:
    # Read and write: SQLite then completes what a killed process left in its journal.
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=20)


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise InputError(
            f"history {file}: SQLite cannot open it ({error}); see that no other program holds it and that its folder "
            "can be written"
        ) from error
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"history {file} is damaged ({error}) and was left as it is; put a copy back, or save what can be read: "
            f"sqlite3 {file} .recover | sqlite3 {file}.recovered"
        ) from error
