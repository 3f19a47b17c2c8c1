"""ONNX Runtime's log of its arena; sizes of real engines are in tests/profiling/test_memory.py."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tests.support.graphs import node, write

from edgekit.engine import ort
from edgekit.engine.ort import arena

HEAD = "2026-11-21 19:47:44.7 [I:onnxruntime:Default, bfc_arena.cc:335 AllocateRawInternal] "


def test_what_is_read() -> None:
    log = [
        "Creating BFCArena for Cpu with following configs: initial_chunk_size_bytes: 1048576",
        "Reserving memory in BFCArena for Cpu size: 1024",
        "Extending BFCArena for Cpu. bin_num:11 (requested) num_bytes: 638976 (actual) rounded_bytes:638976",
        "Extended allocation by 1048576 bytes.",
        "Total allocated bytes: 1049600",
        "Extending BFCArena for Cuda. bin_num:10 (requested) num_bytes: 319488 (actual) rounded_bytes:319488",
        "Total allocated bytes: 2097152",
        "Extending BFCArena for Cpu. bin_num:12 (requested) num_bytes: 1277952 (actual) rounded_bytes:1277952",
        "Total allocated bytes: 3146752",
        "Reserving memory in BFCArena for Cpu size: 1024",
    ]
    found = arena.read("\n".join(HEAD + line for line in log))
    assert found == {"cpu": pytest.approx((3146752 + 1024) / 2**20), "cuda": 2.0}


def test_weights_alone() -> None:
    assert arena.read(HEAD + "Reserving memory in BFCArena for Cpu size: 2097152") == {"cpu": 2.0}


@pytest.mark.parametrize("log", ["", "an error: Total allocated bytes: 5", "Extending an arena"])
def test_other_words_say_nothing(log: str) -> None:
    assert arena.read(log) == {}


def test_standard_error_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        os.write(2, b"within\n")
        raise ValueError("no session")

    with pytest.raises(ValueError, match="no session"):
        arena.arena_mib(onnxruntime, fails)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_of_an_engine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    value = [("x", (64, 1024), "float32")], [("y", (64, 1024), "float32")]
    path = write(tmp_path / "m.onnx", [node("Exp", "x", "a"), node("Log", "a", "y")], *value)
    engine = ort.reference(path)
    assert engine.arena_mib({"x": np.ones((64, 1024), np.float32)})["cpu"] >= 0.25
    assert capfd.readouterr().err == ""
