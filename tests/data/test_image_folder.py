from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import DataError
from edgekit.core.spec import DataSection
from edgekit.data.image_folder import Config, ImageFolder


def write(root: Path, **folders: int) -> Path:
    """So many images in each folder, each of another grey."""
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture = np.full((8, 10, 3), len(list(root.rglob("*.png"))) * 10, np.uint8)
            assert cv2.imwrite(str(root / folder / f"{i:02}.png"), picture)
    return root


def opened(root: Path, **options: Any) -> ImageFolder:
    return Config(root=root, **options).open()


def test_truth_is_the_folder_without_classes(tmp_path: Path) -> None:
    samples = list(opened(write(tmp_path, b=1, a=2)))
    assert [(s.id, s.truth, dict(s.metadata)) for s in samples] == [
        ("a_00", "a", {"class": "a"}),
        ("a_01", "a", {"class": "a"}),
        ("b_00", "b", {"class": "b"}),
    ]
    assert [int(s.images["image"][0, 0, 0]) for s in samples] == [10, 20, 0]
    assert samples[0].images["image"].shape == (8, 10, 3)


def test_truth_is_an_id_with_classes(tmp_path: Path) -> None:
    dataset = opened(write(tmp_path, b=1, a=2), classes=["b", "unseen", "a"])
    assert [s.truth for s in dataset] == [2, 2, 0]
    assert all(type(s.truth) is int for s in dataset)
    assert dataset[0].metadata == {"class": "a"}


def test_classes_of_a_file_end_up_in_the_bundle(tmp_path: Path) -> None:
    write(tmp_path / "frames", a=1, b=1)
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["b", "a"]}))
    section = {"format": "image_folder", "root": "frames", "classes": "classes.json"}
    config = TypeAdapter(DataSection).validate_python(section, context={"base": tmp_path})
    assert config.classes == ("b", "a")
    assert [s.truth for s in config.open()] == [1, 0]
    for bad in (["a"], ["a", "a"], 3):
        with pytest.raises(ValidationError, match="classes"):
            Config.model_validate({"root": tmp_path, "classes": bad})


def test_limit_takes_from_every_folder(tmp_path: Path) -> None:
    write(tmp_path, a=6, b=6, c=6)
    assert [s.id for s in opened(tmp_path, limit=6)] == ["a_00", "a_03", "b_00", "b_03", "c_00", "c_03"]
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Config(root=tmp_path, limit=0)


def test_other_files_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, a=1, b=1)
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "a" / "notes.txt").write_text("about")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "a" / ".thumbs").mkdir()
    assert [s.id for s in opened(tmp_path)] == ["a_00", "b_00"]


def test_fingerprint_follows_folders_and_classes(tmp_path: Path) -> None:
    root = write(tmp_path / "data", a=2, b=2)
    found = [opened(root).fingerprint()]
    assert opened(root).fingerprint() == found[0]
    found += [opened(root, classes=names).fingerprint() for names in (["a", "b"], ["b", "a"])]
    found.append(opened(root, limit=2).fingerprint())
    (root / "b").rename(root / "c")
    found.append(opened(root).fingerprint())
    (root / "a" / "01.png").rename(root / "c" / "02.png")
    found.append(opened(root).fingerprint())
    assert len(set(found)) == 6
    moved = root.rename(tmp_path / "moved")
    assert opened(moved).fingerprint() == found[-1]


def test_index_outside_the_dataset(tmp_path: Path) -> None:
    dataset = opened(write(tmp_path, a=1, b=1))
    assert len(dataset) == 2
    for index in (-1, 2):
        with pytest.raises(IndexError, match=rf"image_folder: index {index} is not in 0\.\.1"):
            dataset[index]


def test_a_folder_that_is_no_class(tmp_path: Path) -> None:
    write(tmp_path, drowsy=1, awake=1)
    message = "drowsy: 'drowsy' is none of the classes; did you mean 'drowzy'. allowed: awake, drowzy"
    with pytest.raises(DataError, match=message):
        opened(tmp_path, classes=["awake", "drowzy"])


def test_two_images_with_one_id(tmp_path: Path) -> None:
    write(tmp_path, a=1, a_b=1)
    (tmp_path / "a" / "00.png").rename(tmp_path / "a" / "b_00.png")
    with pytest.raises(DataError, match=r"00\.png: gets the id 'a_b_00' of .*b_00\.png; rename one of the two"):
        opened(tmp_path)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such folder; point the key 'root'"):
        opened(tmp_path / "none")
    with pytest.raises(DataError, match=f"^{tmp_path}: holds no folder; expected one for each class"):
        opened(tmp_path)
    write(tmp_path, a=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no image; expected files that end in \.png"):
        opened(tmp_path)
    write(tmp_path, empty=1)
    write(tmp_path / "a", deeper=1)
    with pytest.raises(DataError, match=r"deeper: is a folder in a folder; images lie directly in .*a: move them up"):
        opened(tmp_path)
    (tmp_path / "a" / "deeper" / "00.png").rename(tmp_path / "loose.png")
    (tmp_path / "a" / "deeper").rmdir()
    with pytest.raises(DataError, match=r"loose\.png: lies beside the folders and so belongs to none"):
        opened(tmp_path)
