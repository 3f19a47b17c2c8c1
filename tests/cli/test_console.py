"""Tables: as wide as they need in a log, and names that do not break on a terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest

from edgekit.cli.console import print_table

HEADER = ("metric", "engine", "95 % interval")
NAME = "iou/traffic_light_with_an_arrow"
INTERVAL = "[0.7712, 0.7811] of 2,000 resamples by drive"
ROWS = [(NAME, "0.7761", INTERVAL), ("pixel_accuracy", "0.9412", INTERVAL)]


class Terminal(io.StringIO):
    """What looks like a terminal to a program that asks."""

    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, columns: int | None, stream: io.StringIO) -> list[str]:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", stream)
    print_table("title", HEADER, ROWS, HEADER[-1])
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()


def test_a_log_is_as_wide_as_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, None, io.StringIO())
    assert len(lines) == 1 + 3 + len(ROWS) + 1
    assert all(any(row[0] in line and INTERVAL in line for line in lines) for row in ROWS)
    assert max(map(len, lines)) > 80


@pytest.mark.parametrize("columns", [20, 80])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_names_are_whole_where_the_width_is_known(
    columns: int, stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(monkeypatch, columns, stream())
    assert sum(NAME in line for line in lines) == 1
    assert sum("pixel_accuracy" in line for line in lines) == 1
    shown = " ".join(line.split("│")[3] for line in lines if "│" in line)
    assert set(INTERVAL.split()) <= set(shown.split())
    assert columns < 80 or max(map(len, lines)) <= columns
