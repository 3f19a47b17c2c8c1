from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data.camvid import Config


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A made-up root with three frames in the test split."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder / "test").mkdir(parents=True)
    stems = ["Seq05VD_2", "0001TP_1", "0001TP_9"]
    for stem in stems:
        cv2.imwrite(str(tmp_path / "images/test" / f"{stem}.jpg"), rng.integers(0, 256, (12, 16, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "labels/test" / f"{stem}.png"), rng.integers(0, 12, (12, 16), np.uint8))
    (tmp_path / "test.txt").write_text("\n".join(stems) + "\n\n")
    return tmp_path


def test_real_frames(camvid_root: Path) -> None:
    names = json.loads((camvid_root / "classes.json").read_text())["names"]
    road = names.index("Road")
    sky = names.index("Sky")
    for split, count, drives in (
        ("train", 367, {"0001TP", "0006R0", "0016E5"}),
        ("val", 101, {"0016E5"}),
        ("test", 233, {"0001TP", "Seq05VD"}),
    ):
        dataset = Config(root=camvid_root, split=split).open()
        assert len(dataset) == count
        assert {stem.split("_")[0] for stem in dataset.stems} == drives
        sample = dataset[count // 2]
        assert sample.metadata == {"drive": sample.id.split("_")[0]}
        image, mask = sample.images["image"], sample.truth
        assert image.shape == (360, 480, 3)
        assert mask.shape == (360, 480)
        assert (image.dtype, mask.dtype) == (np.uint8, np.uint8)
        assert mask.max() <= 11
        # The picture and its mask belong together: the road is below the sky and darker.
        assert np.nonzero(mask == road)[0].mean() > np.nonzero(mask == sky)[0].mean() + 100
        assert image[mask == road].mean() < image[mask == sky].mean()


def test_limit_spreads_over_the_drives(camvid_root: Path) -> None:
    chosen = Config(root=camvid_root, split="test", limit=8).open()
    whole = Config(root=camvid_root, split="test").open()
    assert chosen.stems == [whole.stems[i * 233 // 8] for i in range(8)]
    assert {sample.metadata["drive"] for sample in chosen} == {"0001TP", "Seq05VD"}
    assert len(Config(root=camvid_root, split="val", limit=500).open()) == 101


def test_keeps_the_order_of_the_list(small: Path) -> None:
    samples = list(Config(root=small, split="test").open())
    assert [s.id for s in samples] == ["Seq05VD_2", "0001TP_1", "0001TP_9"]
    assert [s.metadata["drive"] for s in samples] == ["Seq05VD", "0001TP", "0001TP"]
    with pytest.raises(IndexError, match=r"camvid test: index 3 is not in 0\.\.2"):
        Config(root=small, split="test").open()[3]


def test_fingerprint(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def fingerprint(root: Path = small, **options: int) -> str:
        return Config(root=root, split="test", **options).open().fingerprint()

    first = fingerprint()
    copy = tmp_path_factory.mktemp("copy") / "camvid"
    shutil.copytree(small, copy)
    assert fingerprint(copy) == first
    assert fingerprint(limit=2) != first
    cv2.imwrite(str(copy / "labels/test/0001TP_9.png"), np.zeros((12, 16), np.uint8))
    assert fingerprint(copy) != first
    assert fingerprint(copy, limit=2) == fingerprint(limit=2)  # 0001TP_9 is not among the two


def test_relative_root_is_beside_the_spec(small: Path) -> None:
    data = {"format": "camvid", "root": small.name, "split": "test"}
    assert len(Config.model_validate(data, context={"base": small.parent}).open()) == 3


@pytest.mark.parametrize("options", [{"limit": 0}, {"split": "all"}, {"spilt": "test"}])
def test_refuses_options(small: Path, options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        Config.model_validate({"root": small, "split": "test", **options})


def test_missing_root_list_and_files(small: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder; point the key 'root' to a folder that exists"):
        Config(root=small / "nowhere", split="test").open()
    with pytest.raises(DataError, match=r"train\.txt: no such file; expected the list of the split's frames, one stem"):
        Config(root=small, split="train").open()
    (small / "labels/test/0001TP_1.png").unlink()
    with pytest.raises(
        DataError, match=r"labels/test/0001TP_1\.png: no such file, but test\.txt lists '0001TP_1'; restore it"
    ):
        Config(root=small, split="test").open()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", r"test\.txt: lists no frame; expected one stem a line"),
        (b"0001TP_1\n0001TP_9\n0001TP_1\n", r"test\.txt:3: lists '0001TP_1' again, after line 1; remove it"),
        (b"\xe4\n", r"test\.txt: cannot be read as UTF-8 text"),
    ],
)
def test_bad_lists(small: Path, content: bytes, message: str) -> None:
    (small / "test.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Config(root=small, split="test").open()


def test_truncated_frame_and_wrong_mask(small: Path) -> None:
    dataset = Config(root=small, split="test").open()
    cv2.imwrite(str(small / "labels/test/0001TP_9.png"), np.zeros((12, 15), np.uint8))
    with pytest.raises(DataError, match=r"0001TP_9\.png: the mask is 15x12, but its image 0001TP_9\.jpg is 16x12"):
        dataset[2]
    path = small / "images/test/0001TP_1.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"0001TP_1\.jpg: the image is a truncated JPEG"):
        dataset[1]


def test_truncated_real_frame(camvid_root: Path, small: Path) -> None:
    content = (camvid_root / "images/test/0001TP_008550.jpg").read_bytes()
    (small / "images/test/0001TP_1.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="truncated JPEG: its end marker is missing; copy it again from its source"):
        Config(root=small, split="test").open()[1]
