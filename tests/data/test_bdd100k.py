from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import DataError
from edgekit.data import Sample
from edgekit.data.bdd100k import CATEGORIES, Bdd100k, Config
from tests.support import label_files
from tests.support.projects import HEIGHT, WIDTH

Edit = Callable[[list[dict[str, Any]]], Any]
CAR, RIDER = CATEGORIES.index("car"), CATEGORIES.index("rider")


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    return label_files.bdd100k(tmp_path)


def opened(section: dict[str, Any], edit: Edit | None = None, **keys: Any) -> Bdd100k:
    """The dataset, after ``edit`` of its list of frames."""
    path = Path(section["annotations"])
    frames = json.loads(path.read_text())
    if edit is not None:
        edit(frames)
    path.write_text(json.dumps(frames))
    return Config.model_validate(section | keys).open()


def same(one: Iterable[Sample], other: Iterable[Sample]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.id == b.id and a.metadata == b.metadata and (a.truth.boxes == b.truth.boxes).all() for a, b in pairs)


def test_reads_boxes_and_attributes(section: dict[str, Any]) -> None:
    dataset = opened(section)
    assert dataset.classes == CATEGORIES
    for sample in dataset:
        assert sample.metadata == {"weather": "rainy", "scene": "city street", "timeofday": "night"}
        assert sample.truth.labels.tolist() == [CAR, RIDER]
        left, top, right, bottom = sample.truth.boxes[1].astype(int)
        assert (sample.images["image"][top:bottom, left:right] == (30, 220, 30)).all()


def test_an_object_with_frames_is_the_same(section: dict[str, Any]) -> None:
    plain = list(opened(section))
    frames = json.loads(Path(section["annotations"]).read_text())
    document = {"frames": frames, "config": {"imageSize": {"width": WIDTH, "height": HEIGHT}, "categories": []}}
    label_files.write_json(Path(section["annotations"]), document)
    assert same(plain, Config.model_validate(section).open())
    document["config"]["imageSize"]["width"] = 1280
    label_files.write_json(Path(section["annotations"]), document)
    with pytest.raises(DataError, match=r"f0\.png: the image is 48x32, but .*frame 0 \(f0\.png\) says 1280x32"):
        Config.model_validate(section).open()[0]


def test_one_file_an_image(section: dict[str, Any], tmp_path: Path) -> None:
    plain = list(opened(section))
    (tmp_path / "labels").mkdir()
    for frame in json.loads(Path(section["annotations"]).read_text()):
        label_files.write_json(tmp_path / "labels" / f"{frame['name']}.json", frame)
    later = Config.model_validate(section | {"annotations": str(tmp_path / "labels")}).open()
    assert same(plain, later)
    for frame in json.loads(Path(section["annotations"]).read_text()):
        lane = {"category": "lane/single white", "id": 99, "poly2d": [[1.0, 2.0, "L"]]}
        first = {"name": Path(frame["name"]).stem, "attributes": frame["attributes"]}
        first["frames"] = [{"timestamp": 10000, "objects": [*frame["labels"], lane]}]
        label_files.write_json(tmp_path / "labels" / f"{frame['name']}.json", first)
    for picture in Path(section["root"]).iterdir():
        picture.rename(picture.with_suffix(".jpg"))  # the reader goes by the content
    assert same(plain, Config.model_validate(section | {"annotations": str(tmp_path / "labels")}).open())
    first["frames"].append(first["frames"][0])
    label_files.write_json(tmp_path / "labels" / "f3.png.json", first)
    with pytest.raises(DataError, match=r"f3\.png\.json: has 2 frames; expected 1"):
        Config.model_validate(section | {"annotations": str(tmp_path / "labels")}).open()


def test_a_folder_without_labels(section: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none: holds no JSON file; point the key 'annotations'"):
        Config.model_validate(section | {"annotations": str(tmp_path / "none")}).open()


def test_frames_without_objects(section: dict[str, Any]) -> None:
    def edit(frames: list[dict[str, Any]]) -> None:
        frames[0]["labels"] = None
        del frames[1]["labels"]
        frames[2]["labels"] = []

    assert [len(sample.truth) for sample in opened(section, edit)] == [0, 0, 0, 2]


def test_lanes_are_left_out_and_crowds_are_marked(section: dict[str, Any]) -> None:
    def edit(frames: list[dict[str, Any]]) -> None:
        frames[0]["labels"].append(
            {"id": "7", "category": "drivable area", "poly2d": [{"vertices": []}], "box2d": None}
        )
        frames[0]["labels"][1]["attributes"]["crowd"] = True

    truth = opened(section, edit)[0].truth
    assert truth.crowd.tolist() == [False, True]


def test_videos(section: dict[str, Any]) -> None:
    root = Path(section["root"])
    (root / "v1").mkdir()
    (root / "f3.png").rename(root / "v1" / "f3.png")

    def edit(frames: list[dict[str, Any]]) -> None:
        for place, frame in enumerate(frames):
            frame.update(videoName="v1" if place else "v2", frameIndex=9 - place)

    dataset = opened(section, edit)
    assert [sample.id for sample in dataset] == ["v1_f3", "f2", "f1", "f0"]  # in the order of the video
    assert [sample.metadata["sequence"] for sample in dataset] == ["v1", "v1", "v1", "v2"]
    assert [len(sample.truth) for sample in dataset] == [2, 2, 2, 2]


def test_old_names_are_mapped(section: dict[str, Any]) -> None:
    def edit(frames: list[dict[str, Any]]) -> None:
        frames[0]["labels"][0]["category"] = "bike"

    with pytest.raises(
        DataError, match=r"frame 0 \(f0\.png\): label 0: the category 'bike' is not in classes; allowed:"
    ):
        opened(section, edit)
    joined = opened(section, classes={"bike": "cycle", "car": "car", "rider": "cycle"})
    assert joined.classes == ("cycle", "car")
    assert joined[0].truth.labels.tolist() == [0, 0]
    assert len(opened(section, unlisted="drop")[0].truth) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box2d": {"x1": 1, "y1": 2, "x2": 3}}, "y2 is None; expected a finite number"),
        ({"box2d": {"x1": "1", "y1": 2, "x2": 3, "y2": 4}}, "x1 is '1'; expected a finite number"),
        ({"box2d": {"x1": 1, "y1": float("nan"), "x2": 3, "y2": 4}}, "y1 is nan; expected a finite number"),
        ({"box2d": [1, 2, 3, 4]}, r"'box2d' is \[1, 2, 3, 4\]; expected a JSON object"),
        ({"box2d": None}, "has no 'box2d'; expected"),
        ({"category": 3}, "'category' is 3; expected a text"),
        ({"id": "0"}, "the label id '0' is there twice"),
        ({"attributes": {"crowd": "yes"}}, "'crowd' is 'yes'; expected 0, 1, true or false"),
        ({"attributes": ["crowd"]}, r"'attributes': is \['crowd'\]; expected a JSON object"),
    ],
)
def test_bad_labels(section: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"det_val\.json: frame 2 \(f2\.png\): label 1: ?.*{message}"):
        opened(section, lambda frames: frames[2]["labels"][1].update(fields))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((5, 5, 5, 9), r"measures 0 x 4 \(width x height\)"),
        ((9, 5, 5, 9), r"measures -4 x 4 \(width x height\)"),
        ((WIDTH, 5, 90, 9), rf"has no part inside its {WIDTH}x{HEIGHT} image"),
    ],
)
def test_boxes_without_size_or_outside(section: dict[str, Any], box: tuple[int, ...], message: str) -> None:
    box2d = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    dataset = opened(section, lambda frames: frames[2]["labels"][1].update(box2d=box2d))
    with pytest.raises(DataError, match=rf"frame 2 \(f2\.png\): label 1: .*{message}.*invalid_boxes: drop"):
        dataset[2]
    assert len(opened(section, invalid_boxes="drop")[2].truth) == 1
    partly = dict(zip(("x1", "y1", "x2", "y2"), (-5, -5, 90, 9), strict=True))
    cut = opened(section, lambda frames: frames[2]["labels"][1].update(box2d=partly))[2].truth
    assert cut.boxes[1].tolist() == [0, 0, WIDTH, 9]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f[1].update(name="f0.png"), r"frame 1 \(f0\.png\): the frame id 'f0' is taken by .*frame 0"),
        (lambda f: f[1].update(name="../f1.png"), r"frame 1 .*: the file name is '\.\./f1\.png'; expected one below"),
        (lambda f: f[1].update(name="gone.png", videoName="../.."), r"the file name is '\.\./\.\./gone\.png'"),
        (lambda f: f[1].update(name="gone.png"), r"gone\.png: no such file, but .*frame 1 \(gone\.png\) lists it"),
        (lambda f: f[1].pop("name"), "frame 1: has no 'name'; expected a text"),
        (lambda f: f[1].update(labels={}), r"frame 1: 'labels' is \{\}; expected a list"),
        (lambda f: f[1].update(labels=[3]), r"frame 1 \(f1\.png\): label 0: is 3; expected a JSON object"),
        (lambda f: f[1].update(attributes=[1]), r"'attributes': is \[1\]; expected a JSON object"),
        (lambda f: f.insert(1, "x"), "frame 1: is 'x'; expected a JSON object"),
        (lambda f: f.clear(), r"det_val\.json: lists no frame"),
    ],
)
def test_bad_frames(section: dict[str, Any], edit: Edit, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(section, edit)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"name": "f0.png", "lab', r"det_val\.json:1:\d+: is not valid JSON"),
        ("7", "holds 7; expected a list of frames, or an object with 'frames'"),
        ('{"frames": 3}', "holds 3; expected a list of frames"),
        ("{}", "frame 0: has no 'name'"),
    ],
)
def test_damaged_json(section: dict[str, Any], content: str, message: str) -> None:
    Path(section["annotations"]).write_text(content)
    with pytest.raises(DataError, match=message):
        Config.model_validate(section).open()


def test_limit_place_and_fingerprint(section: dict[str, Any]) -> None:
    assert [sample.id for sample in opened(section, limit=2)] == ["f0", "f2"]
    moved = Config.model_validate(section).relocated(Path("/new"))
    assert (moved.annotations, moved.root) == (Path("/new/det_val.json"), Path("/new/images"))
    seen = [opened(section).fingerprint(), opened(section, classes=CATEGORIES[::-1]).fingerprint()]
    seen.append(opened(section, lambda frames: frames[3]["attributes"].update(weather="clear")).fingerprint())
    assert len(set(seen)) == 3
