"""Text files as editors leave them: byte order marks and line ends, wherever edgekit reads a file that people write."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from edgekit.core.classes import ClassNames
from edgekit.core.errors import DataError, SpecError
from edgekit.core.specfile import read_spec
from edgekit.core.textfile import read_text
from edgekit.data import _records
from edgekit.data.camvid import CamVid
from edgekit.evaluation.slicing import read_table

SAVED: dict[str, Callable[[str], bytes]] = {
    "unix": lambda text: text.encode(),
    "windows": lambda text: text.replace("\n", "\r\n").encode(),
    "notepad": lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    "powershell": lambda text: codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
    "big endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "old mac": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.fixture(params=SAVED)
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(SAVED[request.param](text))
        return tmp_path / name

    return write


Save = Callable[[str, str], Path]


def test_text_is_the_same_however_it_was_saved(save: Save) -> None:
    assert read_text(save("a.txt", "größer\nzwei\n")) == "größer\nzwei\n"


def test_class_names(save: Save) -> None:
    path = save("classes.json", json.dumps(["road", "Straße"], ensure_ascii=False))
    assert TypeAdapter(ClassNames).validate_python(str(path)) == ("road", "Straße")


def test_labels(save: Save) -> None:
    assert _records.read_json(save("a.json", '{"a":\n [1]}'), "annotations") == {"a": [1]}
    assert _records.read_lines(save("a.txt", "0 1\n\n2 3"), "labels") == [(1, "0 1"), (3, "2 3")]


def test_table_of_metadata(save: Save) -> None:
    assert read_table(save("a.csv", "id,weather\nf0,rain\n")) == {"f0": {"weather": "rain"}}


def test_list_of_a_split(save: Save, tmp_path: Path) -> None:
    for part, suffix in (("images", "jpg"), ("labels", "png")):
        (tmp_path / part / "train").mkdir(parents=True)
        for stem in ("a", "b"):
            (tmp_path / part / "train" / f"{stem}.{suffix}").touch()
    save("train.txt", "a\nb\n")
    assert CamVid(tmp_path, "train").stems == ["a", "b"]


def test_spec(save: Save) -> None:
    with pytest.raises(SpecError, match="targets: this key is missing"):
        read_spec(
            save(
                "a.yaml",
                "name: a\nmodel: {onnx: a.onnx, inputs: {x: {shape: [1, 3, 4, 4]}}, outputs: [y]}\n"
                "preprocess: {x: {resize: 4}}\ntask: {kind: segmentation, output: y, classes: [a, b]}\ndata: {}\n",
            )
        )


def test_what_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\n\xe4\n")
    with pytest.raises(DataError, match=re.escape("a.txt: is no UTF-8 text: ") + ".* at byte 2; save it as UTF-8"):
        _records.read_lines(tmp_path / "a.txt", "labels")


def test_no_other_module_knows_of_byte_order_marks() -> None:
    source = Path(read_text.__code__.co_filename).parents[1]
    knows = [path.name for path in source.rglob("*.py") if re.search("utf-8-sig|BOM_", path.read_text("utf-8"))]
    assert knows == ["textfile.py"]
