"""Tables of numbers beside images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.image_values import Config, ImageValues


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "in/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 6, 3), np.uint8))
    return tmp_path


def opened(folder: Path, table: str | Any, **keys: Any) -> ImageValues:
    path = folder / ("labels.csv" if isinstance(table, str) else "labels.json")
    path.write_bytes((table if isinstance(table, str) else json.dumps(table)).encode())
    return Config(format="image_values", root=folder, labels=path, **keys).open()


TABLES = [
    "file,yaw,pitch,drive\na.png,1.5,-2,x\nin/b.png,3,4e1,y\n",
    "\ufefffile;yaw;pitch;drive\r\na.png;1.5;-2;x\r\nin/b.png;3;4e1;y\r\n",
    "drive\tpitch\timage\tyaw\nx\t-2\ta.png\t1.5\n\ny\t40\tin/b.png\t3\n",
    [
        {"file": "a.png", "yaw": 1.5, "pitch": -2, "drive": "x"},
        {"file": "in/b.png", "yaw": 3, "pitch": 40, "drive": "y"},
    ],
    {"a.png": {"yaw": 1.5, "pitch": -2, "drive": "x"}, "in/b.png": {"yaw": 3, "pitch": 40, "drive": "y"}},
]


@pytest.mark.parametrize("table", TABLES)
def test_every_form_says_the_same(folder: Path, table: Any) -> None:
    first, second = opened(folder, table)
    assert (first.id, first.truth, first.metadata) == ("a", {"yaw": 1.5, "pitch": -2.0}, {"drive": "x"})
    assert (second.id, second.truth, second.metadata) == ("in_b", {"yaw": 3.0, "pitch": 40.0}, {"drive": "y"})


def test_names_of_numbers_without_any(folder: Path) -> None:
    found = opened(folder, {"a.png": [1, [2, 3]], "in/b.png": [4, [5, 6]]}, names=("p", "q", "r"))
    assert found[1].truth == {"p": 4, "q": 5, "r": 6}
    assert opened(folder, {"a.png": 7}, names=("age",))[0].truth == {"age": 7}


def test_lists_and_points(folder: Path) -> None:
    found = opened(folder, [{"file": "a.png", "mark": [[1, 2], [3, 4]], "param": [5, 6]}])
    assert found[0].truth == {"mark0_x": 1, "mark0_y": 2, "mark1_x": 3, "mark1_y": 4, "param0": 5, "param1": 6}


def test_empty_cells_are_missing_labels(folder: Path) -> None:
    found = opened(folder, "file,yaw,drive\na.png,,x\nin/b.png,2,\n")
    assert np.isnan(found[0].truth["yaw"])
    assert found[1].metadata == {}


def test_numbers_that_are_no_truth(folder: Path) -> None:
    text = "file,yaw,subject\na.png,1,0017\nin/b.png,2,0018\n"
    assert opened(folder, text, metadata=("subject",))[0].metadata == {"subject": "0017"}
    assert opened(folder, text, names=("yaw",))[0].truth == {"yaw": 1}


def test_a_column_of_another_name_holds_the_file(folder: Path) -> None:
    assert opened(folder, "picture,yaw\na.png,1\n", file="picture")[0].truth == {"yaw": 1}


def test_labels_decide_the_fingerprint(folder: Path) -> None:
    before = opened(folder, "file,yaw\na.png,1\n").fingerprint()
    assert opened(folder, "file,yaw\na.png,1\n").fingerprint() == before
    assert opened(folder, "file,yaw\na.png,2\n").fingerprint() != before


def test_on_another_machine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = Config(format="image_values", root=Path("/data/set/images"), labels=Path("/data/set/labels.csv"))
    moved = config.relocated(folder)
    assert (moved.root, moved.labels) == (folder / "images", folder / "labels.csv")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "lists no frame"),
        ("file,yaw\n", "lists no frame"),
        ("photo,yaw\na.png,1\n", r"labels\.csv:1: no column 'file' or .*; set the key 'file': "),
        ("file,yaw,yaw\na.png,1,2\n", "the column 'yaw' is there twice"),
        ("file,yaw\na.png,1,2\n", r"labels\.csv:2: has 3 columns; expected 2: file, yaw"),
        ("file,yaw\n../a.png,1\n", r"labels\.csv:2: the file name is '\.\./a\.png'"),
        ("file,yaw\nc.png,1\n", r"c\.png: no such file, but .*labels\.csv:2 lists it"),
        ("file,yaw\na.png,1\na.png,2\n", r"labels\.csv:3: the frame id 'a' is taken by"),
        ([3], r"labels\.json\[0\]: is 3; expected a JSON object"),
        (3, "expected a list of objects, or an object of file to values"),
        ({"a.png": [1, 2]}, r"labels\.json: a\.png: 2 values without names; give the key 'names' as many, found none"),
        ([{"file": "a.png", "yaw": {"x": 1}}], r"\[0\]: yaw is .*; expected a finite number"),
    ],
)
def test_bad_tables(folder: Path, table: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(folder, table)


def test_names_that_are_not_there(folder: Path) -> None:
    with pytest.raises(DataError, match=r"csv:2: has no 'jaw', which the key 'names' lists; did you mean 'yaw'"):
        opened(folder, "file,yaw\na.png,1\n", names=("jaw",))
    with pytest.raises(DataError, match=r"metadata: no column 'drive'; allowed: yaw"):
        opened(folder, "file,yaw\na.png,1\n", metadata=("drive",))
