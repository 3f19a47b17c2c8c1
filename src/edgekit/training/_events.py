"""TensorBoard event files of a run, written while it goes on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

_log = logging.getLogger("edgekit")


class Events(Protocol):
    """Where numbers of a run go."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by tag, after ``step`` steps."""

    def flush(self) -> None:
        """Everything so far is in the file when this returns."""


class _Nowhere:
    def add(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def flush(self) -> None:
        pass


class _Files:
    def __init__(self, writer: object) -> None:
        self._writer = writer

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)  # type: ignore[attr-defined]

    def flush(self) -> None:
        self._writer.flush()  # type: ignore[attr-defined]


@contextlib.contextmanager
def opened(folder: Path | None, step: int) -> Iterator[Events]:
    """Event files in ``folder``, of a run that goes on after ``step`` steps; None, or no tensorboardX: none.

    What a killed run wrote of later steps is in the folder still; TensorBoard shows the newer values.
    """
    if folder is None:
        yield _Nowhere()
        return
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        _log.info('no TensorBoard files are written; for some: pip install "edgekit[tensorboard]"')
        yield _Nowhere()
        return
    # TensorBoard drops what an earlier file has of this step and of later ones.  Files of the same second need names
    # of their own.
    purge = step + 1 if step else None
    writer = SummaryWriter(str(folder), purge_step=purge, filename_suffix=f".{step:08d}")
    try:
        yield _Files(writer)
    finally:
        writer.close()
