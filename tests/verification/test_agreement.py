"""The second check over few frames: it passes up to its limit, and refuses what the frames are enough to refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.core.predictions import ClassScores
from edgekit.tasks import classification
from edgekit.verification import agreement
from edgekit.verification.agreement import judged
from edgekit.verification.limits import limits_of

INT8 = limits_of("int8")


def labels(wrong: int, of: int = 16) -> list[float]:
    """One label a frame."""
    return [1.0] * wrong + [0.0] * (of - wrong)


def test_up_to_the_limit_it_passes() -> None:
    found = judged("frames of another class", labels(3), labels(1), INT8)
    assert (found.verdict, found.disagreement, found.noise, found.limit) == ("pass", 3 / 16, 1 / 16, 0.2)
    assert judged("", labels(5), labels(5), INT8).verdict == "pass"


@pytest.mark.parametrize(("wrong", "changed", "verdict"), [
    (4, 3, "undecided"),   # 25 % over 20 %: of 16 frames that is chance
    (7, 1, "undecided"),
    (8, 1, "fail"),
    (16, 5, "fail"),
    (9, 7, "undecided"),   # INT8 itself changes about as much
])  # fmt: skip
def test_one_label_a_frame_says_little(wrong: int, changed: int, verdict: str) -> None:
    assert judged("", labels(wrong), labels(changed), INT8).verdict == verdict


def test_shares_of_pixels_say_more() -> None:
    steady = [0.24, 0.25, 0.26, 0.25] * 4
    found = judged("", steady, [0.01] * 16, INT8)
    assert found.verdict == "fail"
    assert 0.24 < found.low < 0.25
    assert found.limit_high == 0.2


def test_more_frames_decide() -> None:
    assert judged("", labels(24, 64), labels(4, 64), INT8).verdict == "fail"
    assert judged("", labels(6, 16), labels(1, 16), INT8).verdict == "undecided"


def test_one_frame_is_held_against_the_limit_alone() -> None:
    assert judged("", [0.3], [0.0], INT8).verdict == "fail"
    assert judged("", [0.1], [0.0], INT8).verdict == "pass"


def test_a_negative_limit_refuses_every_engine() -> None:
    assert judged("", [0.0] * 16, [0.0] * 16, replace(INT8, disagreement=-1.0)).verdict == "fail"


def test_frames_on_which_nothing_is_found_prove_nothing() -> None:
    found = judged("boxes without partner", [0.0] * 16, [0.0] * 16, INT8, empty=16)
    assert (found.verdict, found.empty) == ("undecided", 16)
    assert judged("", [0.0] * 16, [0.0] * 16, INT8, empty=15).verdict == "pass"
    assert judged("", [0.9] * 16, [0.0] * 16, INT8, empty=16).verdict == "fail"


def test_an_interval_begins_at_nothing_at_the_earliest() -> None:
    assert judged("", labels(1), labels(0), INT8).low == 0.0


def test_what_cannot_be_read_agrees_with_its_like_alone() -> None:
    task = classification.Config(output="y", classes=("a", "b")).create()
    seen = ClassScores(np.array([0.2, 0.8], np.float32))
    assert agreement._apart(task, "no output", "another reason") == 0.0
    assert agreement._apart(task, "no output", seen) == agreement._apart(task, seen, "no output") == 1.0
    assert agreement._apart(task, seen, seen) == 0.0
