"""Soft labels in a folder: made once, refused where they are not those of the step, and several teachers as one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.core.errors import DataError, SpecError
from edgekit.distill import logits
from edgekit.distill._panel import Panel
from edgekit.distill._teacher import Teacher
from edgekit.technique import Job
from edgekit.training import Vary
from tests.support import tiny_distill as tiny
from tests.support.tiny_segmentation import Frames


class Dense(nn.Module):
    """The class scores alone, and how often they were asked for."""

    def __init__(self, network: nn.Module, calls: list[int]) -> None:
        super().__init__()
        self.network, self.calls = network, calls

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        self.calls.append(len(image))
        return (self.network(image)[0],)


@dataclass
class Setting:
    job: Job
    calls: list[int]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A job of one dense output whose teacher is counted."""
    return made(tmp_path)


def made(folder: Path) -> Setting:
    calls: list[int] = []
    job = tiny.job(folder, tiny.Unlabelled())
    assert job.own is not None
    job.source.write_bytes(b"the teacher")
    own = replace(job.own, network=lambda: Dense(tiny.teacher(), calls).eval())
    return Setting(replace(job, outputs=("logits",), own=own, network=lambda: Dense(tiny.student(), []).eval()), calls)


def config(**keys: Any) -> logits.Config:
    return logits.Config.model_validate({"training": tiny.QUICK, "offline": {"stride": 2}} | keys)


def refused(job: Job, folder: Path, **keys: Any) -> str:
    with pytest.raises(DataError) as error:
        logits.apply(job, config(offline={"folder": folder, "stride": 2} | keys))
    assert error.value.exit_code == 2
    return str(error.value)


def test_the_teacher_runs_once_over_the_frames(setting: Setting, tmp_path: Path) -> None:
    done = logits.apply(setting.job, config(training=tiny.QUICK | {"steps": 40}))
    assert setting.calls == [1] * (2 + 16 + 16)  # two looks at the outputs, the frames, and the error of rounding
    offline = done.change.record["offline"]
    assert json.loads(json.dumps(offline)) == offline
    assert offline["frames"] == 16
    assert offline["share_of_float32"] < 0.1
    assert offline["error"]["logits"]["divergence"] < 0.1
    assert offline["error"]["logits"]["other_class"] < 0.05
    student = logits.rebuild(Dense(tiny.student(), []), replace(done.change, config=config()))
    before, after = (tiny.apart(tiny.teacher(), network) for network in (tiny.student(), student))
    assert after < 0.7 * before
    assert (tmp_path / "scratch" / "soft-labels" / "labels.json").is_file()


@pytest.mark.parametrize("title", ["soft labels", "distill logits"])
def test_killed_and_started_again_ends_with_the_same_bits(tmp_path: Path, title: str) -> None:
    whole, broken = (made(_folder(tmp_path / name)) for name in ("whole", "broken"))
    expected = logits.apply(whole.job, config())
    with pytest.raises(tiny.Killed):
        logits.apply(replace(broken.job, progress=tiny.Dying(title, 4)), config())
    before = len(broken.calls)
    again = logits.apply(broken.job, config())
    assert again.change.weights == expected.change.weights
    assert again.change.record["offline"] == expected.change.record["offline"]
    done = 4 if title == "soft labels" else 16
    assert len(broken.calls) - before == 2 + (16 - done) + 16


def test_a_folder_is_used_again(setting: Setting, tmp_path: Path) -> None:
    soft = {"folder": tmp_path / "soft"}
    first = logits.apply(setting.job, config(offline=soft))
    setting.calls.clear()
    (tmp_path / "scratch" / "distill-logits.checkpoint").unlink()
    second = logits.apply(setting.job, config(offline=soft))
    assert len(setting.calls) == 2 + 16
    assert second.change.weights == first.change.weights


def test_labels_of_others_are_refused(setting: Setting, tmp_path: Path) -> None:
    folder, job = tmp_path / "soft", setting.job
    logits.apply(job, config(offline={"folder": folder, "stride": 2}))
    assert "of another data set than data.training is; name another folder" in refused(
        replace(job, examples_hash=lambda: "other"), folder
    )
    assert job.own is not None
    other = {"image": {"kind": "image", "resize": [16, 24], "scale": 0.5}}
    elsewhere = replace(job, own=replace(job.own, preprocess=other))
    assert "sees the frames in another way (preprocess)" in refused(elsewhere, folder)
    assert "rounded in another way" in refused(job, folder, stride=1)
    assert "of another number of frames" in refused(replace(job, examples=tiny.Unlabelled(Frames(0, 5))), folder)
    with pytest.raises(DataError, match="made with another flip"):
        logits.apply(job, config(offline={"folder": folder, "stride": 2}, flip=True))
    assert "rounded in another way" in refused(job, folder, top=2)
    job.own.model.write_bytes(b"another teacher")
    assert "of another teacher: its spec, code or weights" in refused(job, folder)


def test_a_folder_with_other_files(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    assert "holds files and no labels.json; name a folder of its own" in refused(setting.job, tmp_path / "photos")


def test_what_is_mirrored_must_be_known(tmp_path: Path) -> None:
    job = tiny.job(tmp_path)
    with pytest.raises(SpecError, match=r"flip: output 'gate' holds no class scores"):
        logits.apply(job, config(flip=True, offline=None))
    logits.apply(job, config(flip=True, offline=None, logits=("logits", "gate")))


def test_scores_are_averaged_as_probabilities_over_teachers_and_mirror_images() -> None:
    image = torch.from_numpy(tiny.FRAMES[0][0]["image"])
    networks = [Dense(network, []).eval() for network in (tiny.teacher(), tiny.student())]
    members = tuple(Teacher(n, ("image",), ("logits",), tiny.SECTIONS, None, (), "one") for n in networks)
    found = Panel(members, frozenset({"logits"}), flip=True)({"image": image}, {})["logits"]
    with torch.no_grad():
        each = [n(image)[0].softmax(1) for n in networks] + [n(image.flip(3))[0].flip(3).softmax(1) for n in networks]
    np.testing.assert_allclose(found.exp().numpy(), torch.stack(each).mean(0).numpy(), atol=1e-5)
    plain = Panel(members[:1], frozenset({"logits"}))({"image": image}, {})["logits"]
    with torch.no_grad():
        torch.testing.assert_close(plain, networks[0](image)[0])


def test_images_whose_channels_are_last_are_mirrored_too() -> None:
    class Last(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            return (image.movedim(3, 1),)

    sections = {"image": {"kind": "image", "resize": [2, 3], "layout": "nhwc"}}
    image = torch.rand(1, 2, 3, 3)
    member = Teacher(Last(), ("image",), ("logits",), sections, None, (), "one")
    found = Panel((member,), frozenset({"logits"}), flip=True)({"image": image}, {})["logits"]
    torch.testing.assert_close(found.exp(), image.movedim(3, 1).softmax(1))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_labels_do_not_follow_what_moves_a_frame() -> None:
    with pytest.raises(ValueError, match="flip and crop move what the soft labels are of"):
        config(training=tiny.QUICK | {"augment": {"flip": 0.5}})


def test_colours_change_under_the_same_labels(setting: Setting) -> None:
    class Coloured(tiny.Unlabelled):
        def varied(self, index: int, vary: Vary) -> tuple[dict[str, np.ndarray], None]:
            return {"image": self[index][0]["image"] * np.float32(1.5)}, None

    training = tiny.QUICK | {"augment": {"brightness": 0.5}}
    plain = logits.apply(replace(setting.job, scratch=None), config())
    found = logits.apply(replace(setting.job, examples=Coloured(), scratch=None), config(training=training))
    assert found.change.record["offline"] == plain.change.record["offline"]
    assert found.change.weights != plain.change.weights


def test_neighbours_in_time_are_part_of_what_is_kept(setting: Setting, tmp_path: Path) -> None:
    drives = replace(setting.job, sequence=lambda index: f"drive {index // 8}")
    folder = tmp_path / "soft"
    asked = {"folder": folder, "stride": 2, "neighbours": True}
    with pytest.raises(DataError, match=r"no two frames of data\.training are said to follow each other"):
        logits.apply(setting.job, config(offline=asked))
    assert not folder.exists()
    done = logits.apply(drives, config(offline=asked))
    kept = done.change.record["offline"]
    assert kept["neighbours"]["frames"] == 1
    assert 0 <= kept["neighbours"]["places"] <= 1
    assert "made with another neighbours" in refused(drives, folder)


class Many(nn.Module):
    """Forty classes of a head that is three wide."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Conv2d(3, 40, 1)
        with torch.no_grad():
            self.head.weight *= 8

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.head(image),)


def test_many_classes_are_kept_as_few_maps_and_a_killed_run_keeps_what_it_chose(tmp_path: Path) -> None:
    job = replace(made(tmp_path).job, network=lambda: Many().eval(), distance=None, class_scores=("logits",))
    assert job.own is not None
    job = replace(job, own=replace(job.own, network=lambda: Many().eval()))
    folder = tmp_path / "soft"
    asked = config(offline={"folder": folder}, logits=("logits",), training=tiny.QUICK | {"steps": 1})
    with pytest.raises(tiny.Killed):
        logits.apply(replace(job, progress=tiny.Dying("soft labels", 4)), asked)
    begun = json.loads((folder / "labels.json").read_text())
    offline = logits.apply(job, asked).change.record["offline"]
    plain, *others = offline["kept_as"]["logits"]
    best = min(others, key=lambda one: one["share_of_float32"])
    assert (plain["kept_as"], best["kept_as"].split(" of ")[0]) == ("all classes", "4 maps")
    assert best["share_of_float32"] < plain["share_of_float32"]
    assert best["divergence"] <= plain["divergence"]
    assert offline["share_of_float32"] < plain["share_of_float32"]
    assert json.loads((folder / "labels.json").read_text()) == begun
    assert begun["chosen"]["logits"]["coding"]["rank"] == 4
    few = logits.apply(job, asked.model_copy(update={"offline": logits.Offline(folder=tmp_path / "few", top=2)}))
    assert "kept_as" not in few.change.record["offline"]
