"""Masks whose ids or colours have names, and Cityscapes' folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data import camvid, cityscapes, image_mask
from edgekit.data.camvid import CamVid
from edgekit.evaluation.class_names import agreed
from edgekit.tasks import segmentation

IDS = np.uint8([[0, 7, 8], [7, 26, 255]])
COLOURS = {"void": [0, 0, 0], "road": [128, 64, 128], "car": [0, 0, 142]}


def written(root: Path, mask: np.ndarray, name: str = "a.png") -> image_mask.Config:
    for folder, picture in (("images", np.zeros((*mask.shape[:2], 3), np.uint8)), ("masks", mask)):
        (root / folder).mkdir(exist_ok=True)
        file = name if folder == "masks" else "a.png"
        assert cv2.imwrite(str(root / folder / file), picture)
    return image_mask.Config(images=root / "images", masks=root / "masks")


def truth(config: Any, *classes: str, ignore: int | None = 255) -> list[list[int]]:
    task = segmentation.Config(output="o", classes=classes, ignore_index=ignore).create()
    found = agreed(config, task).dataset[0].truth
    assert found.dtype == np.uint8
    return found.tolist()  # type: ignore[no-any-return]


def changed(config: Any, **keys: Any) -> Any:
    return type(config).model_validate(config.model_dump() | keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"names": {0: "floor", 7: "road", 8: "sidewalk", 26: "car"}},
        {"names": {0: "floor", 7: "street", 8: "sidewalk", 26: "van"}, "map": {"street": "road", "van": "car"}},
        {"map": {"0": "floor", "7": "road", "8": "sidewalk", "26": "car"}},
    ],
    ids=["names", "renamed", "ids"],
)
def test_ids_with_names(tmp_path: Path, keys: dict[str, Any]) -> None:
    config = changed(written(tmp_path, IDS), **keys)
    assert truth(config, "car", "floor", "sidewalk", "road") == [[1, 3, 2], [3, 0, 255]]
    assert type(config).model_validate(json.loads(config.model_dump_json())) == config
    plain = written(tmp_path, IDS)
    task = segmentation.Config(output="o", classes=("car", "floor", "road", "sidewalk"), ignore_index=255).create()
    assert agreed(config, task).dataset.fingerprint() != agreed(plain, task).dataset.fingerprint()


def test_ids_become_fewer(tmp_path: Path) -> None:
    table = {"0": None, "7": "drivable", "8": "other", "26": "other"}
    assert truth(changed(written(tmp_path, IDS), map=table), "other", "drivable") == [[255, 1, 0], [1, 0, 255]]
    some = changed(written(tmp_path, IDS), map={"7": "drivable"}, unlisted="drop")
    assert truth(some, "other", "drivable") == [[255, 1, 255], [1, 255, 255]]
    with pytest.raises(DataError, match="class id 0, which has no name"):
        truth(changed(some, unlisted="refuse"), "other", "drivable")
    with pytest.raises(DataError, match=r"map: 'street' is no class id, and the masks .*have no names"):
        truth(changed(some, map={"street": "drivable"}), "other", "drivable")


@pytest.mark.parametrize("kind", ["rgb", "rgba", "palette"])
def test_colours(tmp_path: Path, kind: str) -> None:
    table = np.uint8(list(COLOURS.values()))
    ids = np.uint8([[0, 1, 2], [1, 1, 0]])
    config = written(tmp_path, table[ids][..., ::-1])
    file = tmp_path / "masks" / "a.png"
    if kind == "rgba":
        cv2.imwrite(str(file), np.dstack([table[ids][..., ::-1], np.full((2, 3, 1), 255, np.uint8)]))
    if kind == "palette":
        from PIL import Image

        picture = Image.fromarray(ids, "P")
        picture.putpalette(table.reshape(-1).tolist())
        picture.save(file)
    named = changed(config, colours=COLOURS, map={"void": None})
    assert truth(named, "car", "road") == [[255, 1, 0], [1, 1, 255]]


def test_colours_that_no_class_has(tmp_path: Path) -> None:
    picture = np.uint8([[[142, 0, 0], [3, 2, 1], [3, 2, 1]]])  # blue, green, red
    config = changed(written(tmp_path, picture), colours=COLOURS)
    with pytest.raises(DataError, match=r"2 pixels have the colour \[1, 2, 3\], which no class has, one of 1 such"):
        truth(config, "road", "car")
    assert truth(changed(config, unlisted="drop"), "road", "car") == [[1, 255, 255]]


def test_tables_of_other_tools(tmp_path: Path) -> None:
    (tmp_path / "label_colors.txt").write_text("64 128 64\tAnimal\n192 0 128\t\tArchway of stone\n")
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\n")
    (tmp_path / "colours.json").write_text(json.dumps(COLOURS))
    found = {
        name: image_mask.Config(images=tmp_path, masks=tmp_path, colours=str(tmp_path / name)).colours
        for name in ("label_colors.txt", "labelmap.txt", "colours.json")
    }
    assert found["label_colors.txt"] == {"Animal": (64, 128, 64), "Archway of stone": (192, 0, 128)}
    assert found["labelmap.txt"] == {"background": (0, 0, 0), "road": (128, 64, 128)}
    assert found["colours.json"] == {name: tuple(colour) for name, colour in COLOURS.items()}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"colours": {"a": [1, 2]}}, r"'a' has \[1, 2\]"),
        ({"colours": {"a": [1, 2, 256]}}, r"'a' has \[1, 2, 256\]"),
        ({"colours": {"a": [1, 2, 3], "b": [1, 2, 3]}}, r"'b' and 'a' have one colour, \[1, 2, 3\]"),
        ({"colours": {}}, "of 1 to 255 classes"),
        ({"colours": "absent.json"}, r"absent\.json: expected a JSON file"),
        ({"colours": COLOURS, "names": ["a"]}, "give one of the two"),
    ],
)
def test_bad_tables(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        image_mask.Config(images=tmp_path, masks=tmp_path, **keys)


def test_camvid_to_two_classes(camvid_root: Path) -> None:
    names = camvid.NAMES
    other = {name: "other" for name in names[:-1] if name != "Road"} | {"Road": "drivable"}
    config = camvid.Config(root=camvid_root, split="test", limit=1)
    raw = CamVid(camvid_root, "test", 1)[0].truth
    assert truth(config, *names[:-1], ignore=11) == raw.tolist()
    task = segmentation.Config(output="o", classes=names[:-1], ignore_index=11).create()
    assert agreed(config, task).notes == ()
    turned = truth(config, *reversed(names[:-1]), ignore=11)
    assert turned == np.where(raw == 11, 11, 10 - raw).tolist()
    two = truth(changed(config, map=other), "drivable", "other")
    assert two == np.where(raw == 11, 255, np.where(raw == names.index("Road"), 0, 1)).tolist()


def _city(root: Path, ids: str = "labelIds") -> cityscapes.Config:
    for i, city in enumerate(("ulm", "bonn")):
        stem = f"{city}_000000_00001{i}"
        mask = IDS if ids == "labelIds" else np.uint8([[255, 0, 1], [0, 13, 255]])
        for folder, name, picture in (
            ("leftImg8bit", f"{stem}_leftImg8bit", np.zeros((2, 3, 3), np.uint8)),
            ("gtFine", f"{stem}_gtFine_{ids}", mask),
        ):
            target = root / folder / "val" / city
            target.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target / f"{name}.png"), picture)
            cv2.imwrite(str(target / f"{stem}_gtFine_instanceIds.png"), mask) if folder == "gtFine" else None
    return cityscapes.Config(root=root, ids=ids)


@pytest.mark.parametrize("ids", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path: Path, ids: str) -> None:
    config = _city(tmp_path, ids)
    task = segmentation.Config(output="o", classes=("car", "road", "sidewalk"), ignore_index=255).create()
    one = agreed(config, task)

    assert [sample.id for sample in one.dataset] == ["bonn_000000_000011", "ulm_000000_000010"]
    assert one.dataset[1].metadata == {"city": "ulm", "sequence": "ulm_000000"}
    assert one.dataset[0].truth.tolist() == [[255, 1, 2], [1, 0, 255]]
    nineteen = segmentation.Config(output="o", classes=cityscapes.CLASSES, ignore_index=255).create()
    assert agreed(config, nineteen).dataset[0].truth.tolist() == [[255, 0, 1], [0, 13, 255]]
    (tmp_path / "gtFine" / "val" / "ulm" / f"ulm_000000_000010_gtFine_{ids}.png").unlink()
    with pytest.raises(DataError, match=rf"ulm_000000_000010_gtFine_{ids}\.png: no such file"):
        config.open()


def test_a_class_that_the_benchmark_leaves_out_is_used_where_the_task_has_it(tmp_path: Path) -> None:
    config = _city(tmp_path)
    for mask in tmp_path.rglob("*labelIds.png"):
        cv2.imwrite(str(mask), np.uint8([[9, 7, 8], [9, 7, 29]]))  # parking, caravan
    assert truth(config, "road", "sidewalk", "parking") == [[2, 0, 1], [2, 0, 255]]
    assert truth(config, "road", "sidewalk") == [[255, 0, 1], [255, 0, 255]]
    mapped = changed(config, map={"caravan": "road", "parking": None})
    assert truth(mapped, "road", "sidewalk") == [[255, 0, 1], [255, 0, 0]]
    with pytest.raises(DataError, match=r"'parking'.*count nowhere, and task.ignore_index is not set"):
        truth(config, "road", "sidewalk", ignore=None)
