"""A training run that is killed ends with the bits of one that was not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.core.errors import ModelError
from edgekit.training import TrainingConfig, train
from tests.support.shell import ENVIRONMENT
from tests.support.tiny_training import QUICK, Blobs, Killed, Pictures, dying, net, norm_of, run, same, squared


class TestResume:
    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    @pytest.mark.parametrize("at", [0, 3, 4, 5, 7, 10, 11])
    def test_a_run_that_died_ends_as_one_that_did_not(self, at: int, precision: str, tmp_path: Path) -> None:
        settings: dict[str, Any] = {"validate": norm_of, "precision": precision, "patience": 3}
        with pytest.raises(Killed):
            run(loss=dying(at), checkpoint=tmp_path / "c", **settings)
        assert same(run(checkpoint=tmp_path / "c", **settings), run(**settings))

    @pytest.mark.parametrize("at", [4, 15, 22])  # 15: the second batch of a step
    def test_frames_are_augmented_and_gradients_accumulated_as_before(self, at: int, tmp_path: Path) -> None:
        augment = {"flip": 0.5, "crop": 0.5, "hue": 0.2, "noise": 0.1}
        settings: dict[str, Any] = {"validate": norm_of, "accumulate": 2, "augment": augment}
        whole = run(examples=Pictures(), **settings)
        with pytest.raises(Killed):
            run(examples=Pictures(), loss=dying(at), checkpoint=tmp_path / "c", **settings)
        assert same(run(examples=Pictures(), checkpoint=tmp_path / "c", **settings), whole)
        assert not same(run(examples=Pictures(), validate=norm_of, accumulate=2), whole)

    def test_a_finished_run_is_not_run_again(self, tmp_path: Path) -> None:
        first = run(checkpoint=tmp_path / "c", validate=norm_of)
        again = run(checkpoint=tmp_path / "c", loss=dying(0), validate=dying(0))
        assert same(first, again)
        assert again.seconds == first.seconds

    def test_an_early_stop_is_remembered(self, tmp_path: Path) -> None:
        settings = {"steps": 50, "patience": 1, "checkpoint": tmp_path / "c"}
        first = run(validate=lambda network: 0.5, **settings)
        assert (first.steps, first.stopped) == (4, True)
        assert same(first, run(loss=dying(0), validate=dying(0), **settings))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"learning_rate": 0.02}, "its setting learning_rate is 0.01, now 0.02"),
            ({"title": "control"}, "its run is 'train', now 'control'"),
            ({"network": nn.Linear(8, 1)}, "its tensor weight is absent, now"),
            ({"examples": type("Nine", (Blobs,), {"__len__": lambda self: 9})()}, "its examples is 7, now 9"),
        ],
    )
    def test_a_checkpoint_of_another_run_is_refused(self, change: Any, words: str, tmp_path: Path) -> None:
        run(checkpoint=tmp_path / "c")
        with pytest.raises(ModelError, match="of another run") as caught:
            run(checkpoint=tmp_path / "c", **change)
        assert words in str(caught.value)
        assert "delete it to start again" in str(caught.value)

    def test_a_checkpoint_from_other_weights_is_refused(self, tmp_path: Path) -> None:
        run(checkpoint=tmp_path / "c")
        other = net()
        with torch.no_grad():
            other.conv.bias[0] += 1e-6
        with pytest.raises(ModelError, match="started from other weights"):
            run(other, checkpoint=tmp_path / "c")

    def test_the_beat_of_checkpoints_may_change(self, tmp_path: Path) -> None:
        with pytest.raises(Killed):
            run(loss=dying(7), checkpoint=tmp_path / "c")
        assert same(run(checkpoint=tmp_path / "c", checkpoint_every=1), run())

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04broken"])
    def test_something_else_is_no_checkpoint(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(ModelError, match="is not a training checkpoint; delete it"):
            run(checkpoint=tmp_path / "c")

    def test_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        torch.save({"identity": Killed, "state": {}}, tmp_path / "c")
        with pytest.raises(ModelError, match="is not a training checkpoint"):
            run(checkpoint=tmp_path / "c")


CHILD = """
import signal
import sys
import time
from pathlib import Path
import torch
from tests.support.tiny_training import norm_of, run, squared
torch.set_num_threads(1)
out = Path(sys.argv[1])
began = []

def loss(*given):
    if not began:  # the first step: PyTorch is loaded and warm
        began.append(time.process_time())
        # SIGPROF ends a process as SIGKILL does, at once, wherever it is; the timer counts its own CPU seconds.
        signal.setitimer(signal.ITIMER_PROF, float(sys.argv[2]))
    return squared(*given)

found = run(loss=loss, steps=600, checkpoint_every=7, validate_every=50, validate=norm_of,
            checkpoint=out / "checkpoint")
torch.save(dict(found.state), out / "state.part")
(out / "state.part").rename(out / "state")
print(time.process_time() - began[0])
"""


def child(folder: Path, killed_after_s: float = 0) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, which is killed after so many CPU seconds of training; 0: it is left alone."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(root)])}
    command = [sys.executable, "-c", CHILD, str(folder), str(killed_after_s)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """A process really killed, three times, ends with the bits of one that was left alone."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    alone = child(whole)
    assert alone.returncode == 0
    for share in (0.2, 0.1, 0.3):  # of all the training: it cannot end before
        assert child(broken, share * float(alone.stdout)).returncode == -signal.SIGPROF
        assert not (broken / "state").exists()
    assert (broken / "checkpoint").exists()
    assert child(broken).returncode == 0
    first, second = (torch.load(folder / "state", weights_only=True) for folder in (whole, broken))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Counting:
    """A progress display that counts."""

    def __init__(self) -> None:
        self.total, self.count = 0, 0

    def track(self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0) -> Any:
        self.total, self.title, self.count, self.frames = total or 0, title, done, frames

        def advance() -> None:
            self.count += 1

        return contextlib.nullcontext(advance)


def test_progress_counts_steps_of_a_resumed_run_too(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(loss=dying(8), checkpoint=tmp_path / "c")
    shown = Counting()
    config = TrainingConfig(**QUICK)
    names = {"inputs": ("image",), "outputs": ("y",)}
    train(net(), Blobs(noisy=True), squared, config, **names, checkpoint=tmp_path / "c", progress=shown)
    assert (shown.title, shown.total, shown.count, shown.frames) == ("train", 12, 12, 3)
