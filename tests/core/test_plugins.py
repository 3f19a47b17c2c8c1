"""Plugins: the modules of a package, and users' own through entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.core import plugins, suggest
from edgekit.core.errors import InputError, MissingRequirement, SpecError
from edgekit.core.specfile import read_spec
from tests.support.projects import SPEC

BLANK_FRAMES = '''
"""A user's dataset: blank frames."""
from typing import Literal

import numpy as np

from edgekit.data import DataConfig, Dataset, Sample


class Config(DataConfig):
    format: Literal["blank"] = "blank"
    count: int

    def open(self):
        return Blank(self.count)


class Blank(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return Sample(str(index), {"image": np.zeros((4, 4, 3), np.uint8)})

    def fingerprint(self):
        return f"blank {self.count}"
'''


@pytest.fixture
def user_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that adds the data format ``blank``."""
    site = tmp_path / "site"
    info = site / "acme_frames-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_frames.py").write_text(BLANK_FRAMES)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-frames\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.data]\nblank = acme_frames\n")
    monkeypatch.syspath_prepend(str(site))
    plugins.forget()
    yield
    sys.modules.pop("acme_frames", None)
    plugins.forget()


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("tasks", {"segmentation"}),
        ("data", {"camvid", "image_mask", "images", "rendered"}),
        ("quantize", {"ptq"}),
        ("engine", {"ort"}),
    ],
)
def test_names_are_the_files_of_the_package(kind: str, some: set[str]) -> None:
    names = plugins.names(kind)
    assert some <= set(names)
    assert list(names) == sorted(names)
    assert not any(name.startswith("_") for name in names)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in plugins.KINDS for n in plugins.names(k)])
def test_every_plugin_has_a_frozen_config_that_refuses_unknown_keys(kind: str, name: str) -> None:
    module = plugins.load(kind, name)
    assert module.__name__ == f"edgekit.{kind}.{name}"
    assert module.Config.model_config["frozen"] is True
    assert module.Config.model_config["extra"] == "forbid"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        plugins.load("engine", "ortt")
    assert str(caught.value).startswith("engine: no plugin named 'ortt'; did you mean 'ort'? allowed: ")


@pytest.mark.skipif("native" in plugins.names("engine"), reason="edgekit-native is installed")
def test_a_plugin_of_another_distribution_says_where_it_is() -> None:
    with pytest.raises(MissingRequirement, match=r"engine 'native' is not available .* distribution edgekit-native, "):
        plugins.load("engine", "native")


@pytest.mark.skipif("native" in plugins.names("engine"), reason="edgekit-native is installed")
def test_a_spec_that_names_it_is_right_but_for_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "edgekit.yaml"
    path.write_text(SPEC.replace("engine: ort", "engine: native"))
    with pytest.raises(MissingRequirement, match="edgekit-native"):
        read_spec(path)


def test_helpers_are_no_plugins() -> None:
    with pytest.raises(InputError, match="data: no plugin named '_files'"):
        plugins.load("data", "_files")


def test_allowed_suggests_only_what_is_near() -> None:
    assert suggest.allowed("zzz", ("ptq", "qat")) == "allowed: ptq, qat"
    assert suggest.allowed("ptqq", ("ptq", "qat")) == "did you mean 'ptq'? allowed: ptq, qat"
    assert suggest.allowed("", ("ptq", "qat")) == "allowed: ptq, qat"


@pytest.mark.parametrize(
    ("value", "known", "near"),
    [
        ("mIoU", ("miou", "pixel_accuracy"), "miou"),
        ("car", ("truck", "Car"), "Car"),
        ("tensorrt", ("ort", "trt"), "trt"),
        ("orin", ("xavier-agx", "orin-agx-64gb"), "orin-agx-64gb"),
        ("PercentileCalibrator", ("minmax", "percentile"), "percentile"),
        ("onnx", ("ort", "trt"), None),
        ("x", ("max", "x86"), None),
    ],
)
def test_near_are_other_cases_parts_and_what_is_abbreviated(
    value: str, known: tuple[str, ...], near: str | None
) -> None:
    assert suggest.nearest(value, known) == near


def test_many_names_are_not_listed() -> None:
    many = ("miou", *(f"iou/{i}" for i in range(38)))
    assert suggest.allowed("mIoU", many) == "did you mean 'miou'? (one of 39)"
    assert suggest.allowed("zzz", many) == f"allowed: {', '.join(many[:12])} and 27 more"
    assert suggest.allowed("zzz", many[:12]) == f"allowed: {', '.join(many[:12])}"


@pytest.mark.usefixtures("user_plugin")
def test_a_users_plugin_works_in_a_spec(tmp_path: Path) -> None:
    assert "blank" in plugins.names("data")
    text = SPEC.replace(
        "evaluation: {format: image_mask, images: data/images, masks: data/masks}", "evaluation: {FORM}"
    )
    path = tmp_path / "edgekit.yaml"
    path.write_text(text.replace("{FORM}", "{format: blank, count: 3}"))
    dataset = read_spec(path).data.evaluation.open()
    assert (len(dataset), dataset.fingerprint(), [s.id for s in dataset]) == (3, "blank 3", ["0", "1", "2"])
    path.write_text(text.replace("{FORM}", "{format: blank, cuont: 3}"))
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    assert any(
        problem.endswith(
            "edgekit.yaml:12: data.evaluation.cuont: unknown key 'cuont'; did you mean 'count'? allowed: format, count"
        )
        for problem in caught.value.problems
    )


@pytest.mark.usefixtures("user_plugin")
def test_an_unknown_format_lists_the_users_plugin_too(tmp_path: Path) -> None:
    (tmp_path / "edgekit.yaml").write_text(SPEC.replace("evaluation: {format: image_mask", "evaluation: {format: blnk"))
    with pytest.raises(SpecError, match=r"'blnk' is unknown; did you mean 'blank'\? \(one of \d+\)"):
        read_spec(tmp_path)


def test_without_it_the_name_is_unknown() -> None:
    assert "blank" not in plugins.names("data")
