"""What a training leaves for people to look at: its curve, and TensorBoard event files."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from edgekit.core.reports import TrainingCurve
from edgekit.training import TrainingConfig
from tests.support.tiny_training import Killed, dying, norm_of, run


def scalars(folder: Path) -> Iterator[tuple[int, str, float]]:
    """Step, tag and value of every scalar in a folder's event files that TensorBoard shows, in order."""
    from tensorboardX.proto.event_pb2 import Event

    found: list[tuple[int, str, float]] = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content, at = file.read_bytes(), 0
        while at < len(content):  # a record: length, its checksum, data, their checksum
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            if event.HasField("session_log"):
                found = [one for one in found if one[0] < event.step]
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return iter(found)


def curve(folder: Path, name: str = "train") -> TrainingCurve:
    return TypeAdapter(TrainingCurve).validate_json((folder / f"{name}.json").read_bytes())


class TestCurve:
    def test_it_is_the_history(self, tmp_path: Path) -> None:
        trained = run(validate=norm_of, metric="norm", trace=tmp_path, higher=False, title="fp32 control")
        found = curve(tmp_path, "fp32-control")
        assert found.points == trained.history
        assert (found.title, found.metric, found.higher) == ("fp32 control", "norm", False)
        assert found.best is not None
        assert found.best.metric == trained.metric

    def test_without_validation_there_is_the_loss_alone(self, tmp_path: Path) -> None:
        run(trace=tmp_path)
        found = curve(tmp_path)
        assert (found.metric, found.best) == (None, None)
        assert [point.step for point in found.points] == list(range(13))

    def test_a_run_that_was_killed_has_the_same(self, tmp_path: Path) -> None:
        run(validate=norm_of, trace=tmp_path / "whole")
        with pytest.raises(Killed):
            run(validate=norm_of, trace=tmp_path / "broken", checkpoint=tmp_path / "c", loss=dying(7))
        run(validate=norm_of, trace=tmp_path / "broken", checkpoint=tmp_path / "c")
        assert curve(tmp_path / "whole") == curve(tmp_path / "broken")


class TestEvents:
    def test_every_step_has_loss_rate_and_time_and_validations_the_metric(self, tmp_path: Path) -> None:
        trained = run(validate=norm_of, metric="norm", trace=tmp_path, steps=8)
        found = list(scalars(tmp_path / "train"))
        steps = {tag: [step for step, name, _ in found if name == tag] for _, tag, _ in found}
        assert steps == {
            **{tag: list(range(1, 9)) for tag in ("loss", "learning_rate", "seconds", "frames_per_s")},
            "validation/norm": [4, 8],
        }
        rates = [value for _, tag, value in found if tag == "learning_rate"]
        config = TrainingConfig(steps=8, learning_rate=0.01)
        assert rates == pytest.approx([config.rate(step) for step in range(8)])
        metrics = [value for _, tag, value in found if tag == "validation/norm"]
        assert metrics == pytest.approx([p.metric for p in trained.history[1:] if p.metric is not None])
        losses = [value for _, tag, value in found if tag == "loss"]
        assert losses == pytest.approx([point.loss for point in trained.history[1:]])

    def test_a_killed_run_shows_every_step_once(self, tmp_path: Path) -> None:
        """It was killed at step 7, after the checkpoint of step 5: steps 6 and 7 are done twice."""
        with pytest.raises(Killed):
            run(trace=tmp_path, checkpoint=tmp_path / "c", loss=dying(7))
        run(trace=tmp_path, checkpoint=tmp_path / "c")
        assert [step for step, tag, _ in scalars(tmp_path / "train") if tag == "loss"] == list(range(1, 13))

    def test_without_tensorboardx_the_rest_is_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorboardX", None)
        with caplog.at_level("INFO", "edgekit"):
            run(trace=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["train.json"]
        assert 'pip install "edgekit[tensorboard]"' in caplog.text
