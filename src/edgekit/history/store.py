"""MLflow as a store: opened quietly and offline, its failures translated."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import require_writable, translated_writes
from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement, OutputError
from edgekit.core.locks import locked
from edgekit.history.drift import INSTALL
from edgekit.history.location import Location, check_file

_UNWRITABLE = ("readonly database", "disk is full", "disk I/O error", "unable to open database file")

PAGE = 1000
"""Rows of one request to MLflow."""


def require() -> None:
    """Raise :class:`MissingRequirement` unless MLflow and what its SQLite store needs are installed.

    Importing MLflow here settles, before it reads them, that it sends no telemetry and is silent.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    # A server that is down is reported after half a minute, not after ten.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    try:
        for needed in ("mlflow.tracking", "sqlalchemy", "alembic"):
            importlib.import_module(needed)
    except ImportError as error:
        raise MissingRequirement(f"{error.name or 'mlflow'}, which keeps the history,", INSTALL) from error
    # Failures are reported once, by edgekit's own error.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def connect(location: Location, writing: bool) -> Any:
    """An ``MlflowClient`` of the history; None: it is a file that is not there yet.

    Raises:
        InputError: the file is not a history, or one of another MLflow.
        EnvironmentFault: the server does not answer, MLflow is missing, or the file's folder is read-only.
    """
    require()
    if location.file is not None:
        if writing:
            with written():
                require_writable(location.file.parent)
        if not location.file.exists():
            return None
        _check_revision(location.file, check_file(location.file))
        if writing and not os.access(location.file, os.W_OK):
            raise OutputError(f"cannot write {location.file}: it is read-only; choose another file with --history")
    client = _client(location.uri)
    if location.file is None:
        with translated(location):
            client.search_experiments(max_results=1)
    return client


def create(location: Location) -> Any:
    """As :func:`connect`, but a history that is not there is made, whole or not at all."""
    assert location.file is not None
    with translated_writes(location.file), alone_with(location):
        if not location.file.exists():
            handle, name = tempfile.mkstemp(
                dir=location.file.parent, prefix=f".{location.file.name}.", suffix=".partial"
            )
            os.close(handle)
            made = Path(name)
            try:
                with translated(location):
                    _client(f"sqlite:///{made}")
                made.chmod(0o644)
                os.rename(made, location.file)
            finally:
                made.unlink(missing_ok=True)  # nothing is left of it once it was renamed
    return connect(location, writing=True)


@contextlib.contextmanager
def alone_with(location: Location) -> Iterator[None]:
    """Keep other writers of the same file waiting; a server has transactions of its own."""
    if location.file is None:
        yield
        return
    with translated_writes(location.documents):
        location.documents.mkdir(parents=True, exist_ok=True)
    with locked(location.documents):
        yield


@contextlib.contextmanager
def translated(location: Location) -> Iterator[None]:
    """MLflow's and SQLAlchemy's failures as one line that says what to do."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().splitlines()[0][:300]
        if location.file is None:
            raise EnvironmentFault(
                f"the history server {location.shown} failed: {reason}; see that it runs and that this machine "
                "reaches it"
            ) from error
        if any(words in str(error) for words in _UNWRITABLE):
            raise OutputError(
                f"cannot write {location.shown}: {reason}; free space or choose another file with --history"
            ) from error
        raise InputError(
            f"history {location.shown}: {reason}; nothing was lost of the runs before; put a copy back if it is damaged"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingRequirement(
            f"{error.name}, which MLflow needs for this address,", f"pip install {error.name}"
        ) from error


@contextlib.contextmanager
def written() -> Iterator[None]:
    """A refusal to write that names the option of the history."""
    try:
        yield
    except OutputError as error:
        raise OutputError(str(error).replace("another place", "another file with --history")) from error


def pages(request: Callable[[str | None], Any], limit: int | None = None) -> list[Any]:
    """The rows of a request for as many pages as there are, or until there are ``limit``."""
    rows: list[Any] = []
    token = None
    while limit is None or len(rows) < limit:
        page = request(token)
        rows += page
        token = page.token
        if not token:
            break
    return rows[:limit]


def _client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _check_revision(file: Path, found: str) -> None:
    """Raise :class:`InputError` unless this MLflow's schema is the file's; MLflow upgrades some without a copy."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if found in scripts.get_heads():
        return
    older = any(script.revision == found for script in scripts.walk_revisions())
    if older:
        raise InputError(
            f"history {file} was made by an older MLflow than {mlflow.__version__} (schema {found}); copy it, then "
            f"bring it up to date: cp {file} {file}.bak && mlflow db upgrade sqlite:///{file}"
        )
    raise InputError(
        f"history {file} has schema {found!r}, which MLflow {mlflow.__version__} does not know; use the newer "
        f"MLflow that made it: {INSTALL.replace('install', 'install -U')}"
    )
