"""The comparison table's arithmetic, and pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.core.reports import ControlProfile, EvaluateReport, GateReport, Latency, ProfileReport
from edgekit.reporting import comparison, write_picture

INT8 = Latency(10.0, 11.0, 12.0, 10.5, 100)
CONTROL = ControlProfile("c", Latency(20.0, 22.0, 30.0, 21.0, 100), 8.0, {"peak_rss": 120.0})


def profile(control: ControlProfile | None) -> ProfileReport:
    stages = dict.fromkeys(("pre", "infer", "post", "total"), INT8)
    return ProfileReport("b", "e", INT8, stages, {"peak_rss": 60.0, "imports": 50.0, "engine": 10.0}, 2.0, control, 2.0)


def test_table_with_control() -> None:
    evaluation = EvaluateReport("b", "e", "d", 3, {"miou": 0.70}, {"miou": 0.72})
    rows = comparison(evaluation, profile(CONTROL), GateReport("b", "cpu", "pass", ()), ("miou",))
    assert rows == [
        ("miou", "0.7200", "0.7000", "-0.0200"),
        ("latency p50 (ms)", "20.00", "10.00", "2.00x"),
        ("latency p90 (ms)", "22.00", "11.00", "2.00x"),
        ("latency p99 (ms)", "30.00", "12.00", "2.50x"),
        ("engine size (MiB)", "8.00", "2.00", "4.00x"),
        ("peak memory (MiB)", "120", "60", "2.00x"),
        ("gate", "", "PASS", "0 KPIs"),
    ]


def test_table_without_control() -> None:
    evaluation = EvaluateReport("b", "e", "d", 3, {"miou": 0.70}, None)
    rows = comparison(evaluation, profile(None), None, ("miou", "not measured"))
    assert rows[0] == ("miou", "-", "0.7000", "")
    assert [row[0] for row in rows][-1] == "peak memory (MiB)"


def test_picture(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 200  # red
    write_picture(tmp_path / "new" / "p.png", picture)
    assert (cv2.imread(str(tmp_path / "new" / "p.png"))[..., ::-1] == picture).all()


def test_picture_of_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be encoded as '.xyz'; use .png or .jpg"):
        write_picture(tmp_path / "p.xyz", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
