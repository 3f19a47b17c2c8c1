"""Latencies for pruning from a board: measured there, or refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import EnvironmentFault
from edgekit.core.progress import Silent
from edgekit.core.specfile import read_spec
from edgekit.engine import EngineConfig, RaceTimes, ort, trt
from edgekit.remote import Board
from edgekit.stages import labels, measuring
from edgekit.stages.job import Given, TargetBench
from edgekit.stats.faster import EACH, OPENINGS
from tests.remote.test_remote_build import trt_project
from tests.support import shell
from tests.support.graphs import convnet
from tests.support.loopback import HOST, Loopback

SPEEDUP = "  - prune: {method: channels, speedup: 1.5}\n"


class Drive:
    """One frame, as the tiny network of :func:`convnet` takes it."""

    images: dict[str, Any] = {}  # noqa: RUF012

    def __getitem__(self, index: int) -> Drive:
        return self


def bench(project: Path, folder: Path, target: EngineConfig, monkeypatch: pytest.MonkeyPatch) -> TargetBench:
    spec = read_spec(project)
    found = labels.of(spec, "evaluation")
    made = TargetBench(spec, "cpu", Board(HOST, target), folder / "a.onnx", found, folder, None, Given(spec, folder))
    fed = type("Fed", (), {"feeds": {"x": np.ones((1, 3, 16, 16), np.float32)}})
    monkeypatch.setattr(made, "_validation", Drive())
    monkeypatch.setattr(made, "_preprocess", lambda images: fed)
    return made


def test_a_board_times_the_engines_itself(
    board: Loopback, tiny_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.python()
    model = convnet(tmp_path / "model.onnx").read_bytes()
    asked: list[str] = []
    monkeypatch.setattr(ort.Backend, "engine", lambda *_: pytest.fail("an engine was opened here"))
    made = bench(tiny_project, tmp_path, ort.Config(engine="ort", threads=1), monkeypatch)
    race = Board.race
    monkeypatch.setattr(Board, "race", lambda self, engines, feeds: asked.extend(engines) or race(self, engines, feeds))
    found = made.latency({"own": model, "narrow": model})
    assert asked == ["own", "narrow"]
    assert {name: one.samples for name, one in found.items()} == dict.fromkeys(("own", "narrow"), OPENINGS * EACH)
    assert all(one.p50 > 0 for one in found.values())
    assert board.left() == []


def test_trtexec_gives_medians(
    board: Loopback, tiny_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.trtexec("10.3.0")
    model = convnet(tmp_path / "model.onnx").read_bytes()
    target = trt.Config.model_validate({"engine": "trt", "host": HOST})
    made = bench(tiny_project, tmp_path, target, monkeypatch)
    assert made.latency({"own": model})["own"].p50 == pytest.approx(4.297, abs=0.5)
    monkeypatch.setattr(Board, "race", lambda self, engines, feeds: RaceTimes({}, "trtexec"))
    with pytest.raises(EnvironmentFault, match="trtexec did not time the engines there; install edgekit on it"):
        made.latency({"own": model})


def with_step(project: Path, step: str) -> Path:
    file = trt_project(project) / "edgekit.yaml"
    text = file.read_text().replace("device: orin-agx-64gb", f"device: orin-agx-64gb, host: {HOST}")
    text = text.replace("  - quantize: {method: ptq}\n", step)
    validation = "  validation: {format: image_mask, images: data/images, masks: data/masks}\n  evaluation:"
    file.write_text(text.replace("  evaluation:", validation))
    return project


def test_who_measures(board: Loopback, tiny_project: Path) -> None:
    board.trtexec("10.3.0")
    spec = read_spec(with_step(tiny_project, SPEEDUP))
    assert isinstance(measuring.backend_of(spec, "cpu", Silent()), Board)
    plain = spec.model_copy(update={"compress": ()})
    assert type(measuring.backend_of(plain, "cpu", Silent())) is trt.Backend


def test_a_board_that_does_not_answer_costs_no_work(board: Loopback, tiny_project: Path) -> None:
    before = shell.listing(with_step(tiny_project, SPEEDUP))
    refused = shell.edgekit("compress", tiny_project)
    assert shell.error_of(refused, 3).startswith(f"{HOST}: nothing there can build the engine")
    assert shell.listing(tiny_project) == before


def test_accuracy_is_not_measured_over_ssh(board: Loopback, tiny_project: Path) -> None:
    before = shell.listing(with_step(tiny_project, "  - auto: {max_drop: 0.01}\n"))
    refused = shell.edgekit("compress", tiny_project)
    message = shell.error_of(refused, 3)
    assert "auto (auto) measures the accuracy of engines on target cpu" in message
    assert f"over SSH {HOST} gives latencies only; compress on the target" in message
    assert shell.listing(tiny_project) == before
