"""Labels are checked before anything is built, once for the same data and task."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import pytest

from edgekit import pipeline
from edgekit.core.errors import DataError
from edgekit.core.progress import Silent
from edgekit.core.specfile import read_spec
from edgekit.core.workspace import Workspace
from edgekit.stages import labels
from tests.support.projects import SPEC, write_frames


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Frames and a spec, but no model: a build that came so far would fail on it."""
    write_frames(tmp_path / "data", 4)
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    return tmp_path


def spoil(project: Path, value: int) -> None:
    file = project / "data" / "masks" / "f2.png"
    mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    mask[5, 5] = value
    cv2.imwrite(str(file), mask)


def test_a_class_id_outside_the_classes_is_refused_before_the_build(project: Path) -> None:
    spoil(project, 9)
    with pytest.raises(DataError, match=r"data\.evaluation: sample 'f2': truth has the class id 9 in 1 pixels"):
        pipeline.build(project, "cpu")
    assert not list((project / ".edgekit").glob("*"))


def test_checked_once_for_the_same_labels_and_task(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read: list[str] = []
    original = labels.Agreed.check_labels
    monkeypatch.setattr(labels.Agreed, "check_labels", lambda self: (read.append(n) or n for n in original(self)))

    def checked() -> int:
        read.clear()
        with labels.checked(read_spec(project), ("evaluation",), Workspace(project / ".edgekit"), Silent()) as found:
            assert (found["evaluation"].format, found["evaluation"].frames) == ("image_mask", 4)
        return len(read)

    with caplog.at_level(logging.WARNING, "edgekit"):
        assert (checked(), checked()) == (4, 0)
    assert "data.evaluation: the class ids of the data set (image_mask) have no names" in caplog.text
    spoil(project, 1)
    assert (checked(), checked()) == (4, 0)
    (project / "edgekit.yaml").write_text(SPEC.replace("[floor, red, green]", "[floor, red, green, blue]"))
    assert (checked(), checked()) == (4, 0)


@pytest.mark.parametrize("role", ["validation", "training"])
def test_labels_that_a_technique_needs(project: Path, role: str) -> None:
    section = "\n  %s: {format: image_mask, images: data/images, masks: data/masks}\ncompress:"
    text = SPEC.replace("\ncompress:", section % role)
    (project / "edgekit.yaml").write_text(text)
    spec, workspace = read_spec(project), Workspace(project / ".edgekit")
    with labels.checked(spec, (role,), workspace, Silent()) as found:
        assert set(found) == {role}
    spoil(project, 77)
    message = rf"data\.{role}: sample 'f2': truth has the class id 77"
    with pytest.raises(DataError, match=message), labels.checked(spec, (role,), workspace, Silent()):
        pass


def test_what_fails_afterwards_leaves_nothing(project: Path) -> None:
    spec, workspace = read_spec(project), Workspace(project / ".edgekit")
    with pytest.raises(OSError, match="later"), labels.checked(spec, ("evaluation",), workspace, Silent()):
        raise OSError("later")
    assert not (project / ".edgekit").exists()
