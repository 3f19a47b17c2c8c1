"""The classes of a data set and of a task agree by name, whatever their order, gaps and spelling."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.core.predictions import ClassScores, Detections, LabelMap, Objects
from edgekit.data import Dataset, NamedConfig, Sample, bdd100k, coco, image_folder, kitti, yolo_text
from edgekit.evaluation.class_names import Agreed, agreed
from edgekit.tasks import Task, detection, multitask, segmentation
from edgekit.tasks import classification as classes_
from tests.support.label_files import kitti_line, write_json

SIZE, FRAMES = 64, 4
CAR = (8, 16, 40, 48)  # left, top, right, bottom: the only object of every frame


def frames(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(FRAMES):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8))
    return folder


def detector(*names: str) -> detection.Detection:
    section = {"kind": "detection", "family": "end2end", "output": {"boxes": "b", "scores": "s", "labels": "l"}}
    return detection.Config.model_validate(section | {"classes": names}).create()


def coco_file(root: Path, categories: list[tuple[int, str]], car: int) -> coco.Config:
    """Every frame shows one object, of the category ``car``."""
    images = [{"id": i + 1, "file_name": f"{i}.png", "width": SIZE, "height": SIZE} for i in range(FRAMES)]
    box = [CAR[0], CAR[1], CAR[2] - CAR[0], CAR[3] - CAR[1]]
    objects = [
        {"id": i + 1, "image_id": i + 1, "category_id": car, "bbox": box, "area": 1024, "iscrowd": 0}
        for i in range(FRAMES)
    ]
    table = [{"id": number, "name": name} for number, name in categories]
    path = write_json(root / "labels.json", {"images": images, "annotations": objects, "categories": table})
    return coco.Config(annotations=path, root=frames(root / "frames"))


def found(task: Task, name: str, *others: str) -> Detections:
    """A box of class ``name`` at the car's place; of ``others`` elsewhere."""
    assert task.class_names is not None
    labels = [task.class_names.index(one) for one in (name, *others)]
    boxes = np.float32([CAR, *[(50, 50, 60, 60)] * len(others)])
    return Detections(boxes, np.float32([0.9] + [0.8] * len(others)), np.int64(labels))


def score(one: Agreed, name: str = "car", *others: str) -> dict[str, float]:
    """Metrics of a detector that sees ``name`` where the only object is."""
    total = one.task.accumulator()
    for sample in one.dataset:
        total.update(found(one.task, name, *others), sample.truth, sample.id)
    return total.compute()


def pycocotools(path: Path, name: str) -> float:
    """mAP of the same boxes by the reference, categories joined by name."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        used = {entry["category_id"] for entry in truth.dataset["annotations"]}
        same = [entry["id"] for entry in truth.dataset["categories"] if entry["name"] == name]
        category = next((number for number in same if number in used), same[0])
        box = [CAR[0], CAR[1], CAR[2] - CAR[0], CAR[3] - CAR[1]]
        made = [{"image_id": i, "category_id": category, "bbox": box, "score": 0.9} for i in truth.getImgIds()]
        scores = COCOeval(truth, truth.loadRes(made), "bbox")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    return float(scores.stats[0])


TABLES = {
    "the same order": ([(1, "person"), (2, "car")], 2),
    "one class only": ([(3, "car")], 3),
    "another order": ([(1, "car"), (2, "person")], 1),
    "gaps, and not in order": ([(90, "person"), (7, "car")], 7),
    "a dummy category": ([(0, "traffic"), (1, "person"), (2, "car")], 2),
    "a dummy that is called like a class": ([(0, "car"), (1, "person"), (2, "car")], 2),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("order", [("person", "car"), ("car", "person")])
def test_coco_categories_agree_as_in_pycocotools(case: str, order: tuple[str, str], tmp_path: Path) -> None:
    config = coco_file(tmp_path, *TABLES[case])
    one = agreed(config, detector(*order))
    assert score(one)["map"] == pytest.approx(pycocotools(config.annotations, "car"), abs=1e-12)
    assert score(one)["ap/car"] == 1
    assert "ap/person" not in score(one)
    if case != "one class only":
        assert score(one, "person")["map"] == pytest.approx(pycocotools(config.annotations, "person"), abs=1e-12) == 0


def test_every_format_with_boxes_agrees_by_name(tmp_path: Path) -> None:
    pictures = frames(tmp_path / "kitti" / "image_2")
    for folder, line in {
        "kitti/label_2": kitti_line("Car", CAR),
        "yolo": f"1 {24 / 64} {32 / 64} {32 / 64} {32 / 64}",
    }.items():
        (tmp_path / folder).mkdir()
        for i in range(FRAMES):
            (tmp_path / folder / f"{i}.txt").write_text(f"{line}\n")
    box = dict(zip(("x1", "y1", "x2", "y2"), CAR, strict=True))
    scalabel = [{"name": f"{i}.png", "labels": [{"id": "0", "category": "car", "box2d": box}]} for i in range(FRAMES)]
    bdd = write_json(tmp_path / "bdd.json", scalabel)
    configs = [
        kitti.Config(root=tmp_path / "kitti"),
        yolo_text.Config(images=pictures, labels=tmp_path / "yolo", names=("person", "car")),
        bdd100k.Config(annotations=bdd, root=pictures),
    ]
    for config in configs:
        for order in (("truck", "car", "person"), ("car",), ("Person", "CAR")):
            name = next(one for one in order if one.lower() == "car")
            one = agreed(config, detector(*order))
            assert score(one, name)[f"ap/{name}"] == 1, (config.format, order)
            assert score(one, name)["map"] == 1


def test_a_truth_that_one_side_names_otherwise_is_mapped_many_to_one(tmp_path: Path) -> None:
    config = coco_file(tmp_path, [(1, "van"), (2, "pedestrian"), (3, "bench")], 1)
    with pytest.raises(DataError, match=r"none of the data set's classes is one of the task's; .*'van', 'pedestrian'"):
        agreed(config, detector("person", "car"))
    mapped = config.model_copy(update={"map": {"van": "car", "pedestrian": "person", "bench": None}})
    one = agreed(mapped, detector("person", "car"))
    assert score(one)["map"] == 1
    assert one.notes == ()
    assert one.dataset.fingerprint() != config.open().fingerprint()
    for wrong, message in (
        ({"vann": "car"}, "map: the data set has no class 'vann'; did you mean 'van'"),
        ({"van": "kar"}, "map: 'van' becomes 'kar', which is no class of the task; did you mean 'car'"),
    ):
        with pytest.raises(DataError, match=message):
            agreed(config.model_copy(update={"map": wrong}), detector("person", "car"))


def test_an_object_of_a_class_that_the_task_lacks_is_refused_or_dropped(tmp_path: Path) -> None:
    config = coco_file(tmp_path, [(1, "truck"), (2, "car")], 1)
    one = agreed(config, detector("person", "car"))
    assert any("no classes of the task" in note and "'truck'" in note for note in one.notes)
    with pytest.raises(DataError, match=r"frame '0': an object is a 'truck'; .*map: \{truck: \.\.\.\}.*unlisted: drop"):
        list(one.check_labels())
    dropped = agreed(config.model_copy(update={"unlisted": "drop"}), detector("person", "car"))
    assert [len(sample.truth) for sample in dropped.dataset] == [0] * FRAMES
    assert any("left out" in note and "'truck'" in note for note in dropped.notes)


def test_a_model_of_many_classes_on_data_that_label_few(tmp_path: Path) -> None:
    config = coco_file(tmp_path, [(1, "person"), (2, "car")], 2)
    task = detector("person", "car", "truck", "bus")
    one = agreed(config, task)
    assert any("labels 2 of the task's 4 classes: not 'truck', 'bus'" in note for note in one.notes)
    assert any("ignored (unlabelled_classes: ignore)" in note for note in one.notes)
    assert score(one, "car", "truck")["map"] == 1
    counted = agreed(config.model_copy(update={"unlabelled_classes": "count"}), task)
    assert any("counted as mistakes (unlabelled_classes: count)" in note for note in counted.notes)
    assert score(counted, "car", "truck") | {"map": 0.5, "ap/car": 1, "ap/truck": 0} == score(counted, "car", "truck")
    assert score(counted)["map"] == 1  # what is not detected is no mistake
    assert counted.dataset.fingerprint() != one.dataset.fingerprint() == config.open().fingerprint()
    total = counted.task.accumulator()
    for place, sample in enumerate(counted.dataset):
        total.update(found(task, "car", *["truck"] * (place == 0)), sample.truth, sample.id)
    assert total.alone("map").tolist() == [0.5, 1, 1, 1]


def test_crowds_of_a_class_that_the_task_lacks_hide_nothing(tmp_path: Path) -> None:
    pictures = frames(tmp_path / "image_2")
    (tmp_path / "label_2").mkdir()
    for i in range(FRAMES):
        text = f"{kitti_line('Car', CAR)}\n{kitti_line('DontCare', (50, 50, 60, 60))}\n"
        (tmp_path / "label_2" / f"{i}.txt").write_text(text)
    assert pictures.name == "image_2"
    one = agreed(kitti.Config(root=tmp_path), detector("pedestrian", "car"))
    truth = one.dataset[0].truth
    assert truth.labels.tolist() == [1, 1, 0]
    assert truth.crowd.tolist() == [False, True, True]


def test_folders_are_classes_by_name(tmp_path: Path) -> None:
    for name in ("fog", "clear"):
        frames(tmp_path / name)
    task = classes_.Config(output="o", classes=("night", "clear", "fog")).create()
    for config in (
        image_folder.Config(root=tmp_path),
        image_folder.Config(root=tmp_path, classes=("fog", "clear")),
        image_folder.Config(root=tmp_path, map={"fog": "Fog"}),
    ):
        one = agreed(config, task)
        assert {sample.id.split("_")[0]: sample.truth for sample in one.dataset} == {"clear": 1, "fog": 2}
        assert list(one.check_labels()) == [sample.id for sample in one.dataset]
    only = agreed(image_folder.Config(root=tmp_path, map={"fog": None}), task)
    assert {sample.truth for sample in only.dataset} == {1}
    small = classes_.Config(output="o", classes=("night", "clear")).create()
    with pytest.raises(DataError, match=r"frame 'fog_0' is a 'fog'; .*unlisted: drop"):
        list(agreed(image_folder.Config(root=tmp_path), small).check_labels())
    dropped = agreed(image_folder.Config(root=tmp_path, unlisted="drop"), small).dataset
    assert [sample.id for sample in dropped] == [f"clear_{i}" for i in range(FRAMES)]
    with pytest.raises(IndexError):
        dropped[FRAMES]


def test_classes_without_frames_have_no_part_in_a_mean(tmp_path: Path) -> None:
    for name in ("fog", "clear"):
        frames(tmp_path / name)
    task = classes_.Config(output="o", classes=("night", "clear", "fog")).create()
    values = {}
    for how in ("ignore", "count"):
        one = agreed(image_folder.Config(root=tmp_path, unlabelled_classes=how), task)
        total = one.task.accumulator()
        for i, sample in enumerate(one.dataset):  # one in eight is taken for night
            label = 0 if i == 0 else sample.truth
            total.update(ClassScores(np.eye(3, dtype=np.float32)[label]), sample.truth, sample.id)
        values[how] = total.compute()
    assert values["ignore"]["top1"] == values["count"]["top1"] == 7 / 8
    clear = 2 * 3 / (4 + 3)
    assert values["ignore"]["macro_f1"] == pytest.approx((clear + 1) / 2)
    assert values["count"]["macro_f1"] == pytest.approx((clear + 1 + 0) / 3)
    assert "precision/night" not in values["ignore"]
    assert values["count"]["precision/night"] == 0


class Made(Dataset):
    """Masks, boxes and keypoints as a user's own format may give them."""

    def __init__(
        self, truth: Any, names: dict[int, str | None] | None, keypoints: tuple[str, ...] | None = None
    ) -> None:
        self.truth, self.table, self.keypoints = truth, names, keypoints

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return Sample("f0", {"image": np.zeros((2, 3, 3), np.uint8)}, self.truth)

    def fingerprint(self) -> str:
        return "made"

    def class_names(self, part: str = "") -> dict[int, str | None] | None:
        return self.table


class MadeConfig(NamedConfig):
    format: str = "made"
    made: Any = None

    def open(self) -> Dataset:
        return self.made  # type: ignore[no-any-return]


MASK = np.uint8([[7, 8, 9], [255, 8, 7]])


def segmenter(*names: str, ignore: int | None = 255) -> segmentation.Segmentation:
    return segmentation.Config(output="o", classes=names, ignore_index=ignore).create()


def test_masks_agree_by_name() -> None:
    data = Made(MASK, {7: "road", 8: "sidewalk", 9: "car"})
    one = agreed(MadeConfig(made=data), segmenter("car", "road", "sidewalk"))
    assert one.dataset[0].truth.tolist() == [[1, 2, 0], [255, 2, 1]]
    assert one.dataset[0].truth.dtype == np.uint8
    assert one.notes == ()


def test_mask_ids_that_lead_nowhere() -> None:
    names = {7: "road", 8: "sidewalk", 9: "car"}
    with pytest.raises(DataError, match=r"frame 'f0': the mask has pixels of 'car' \(id 9\); .*map: \{car: "):
        agreed(MadeConfig(made=Made(MASK, names)), segmenter("sidewalk", "road")).dataset[0]
    dropped = agreed(MadeConfig(made=Made(MASK, names), unlisted="drop"), segmenter("sidewalk", "road"))
    assert dropped.dataset[0].truth.tolist() == [[1, 0, 255], [255, 0, 1]]
    null: dict[int, str | None] = {7: "road", 8: "sidewalk", 9: None}
    assert agreed(MadeConfig(made=Made(MASK, null)), segmenter("sidewalk", "road")).dataset[0].truth[0, 2] == 255
    with pytest.raises(DataError, match=r"class id 255, which has no name; .*task.ignore_index"):
        agreed(MadeConfig(made=Made(MASK, names)), segmenter("car", "sidewalk", "road", ignore=None)).dataset[0]
    clean = np.where(MASK == 255, 9, MASK).astype(np.uint8)
    with pytest.raises(DataError, match=r"which count nowhere, and task.ignore_index is not set"):
        agreed(MadeConfig(made=Made(clean, null)), segmenter("sidewalk", "road", ignore=None)).dataset[0]


def test_masks_without_names_go_by_position_and_say_so() -> None:
    one = agreed(MadeConfig(made=Made(MASK % 3, None)), segmenter("a", "b", "c"))
    assert one.dataset[0].truth.tolist() == (MASK % 3).tolist()
    assert any("have no names: they are taken in the order of task.classes" in note for note in one.notes)
    with pytest.raises(DataError, match=r"truth has the class id 7 in 2 pixels; allowed: 0\.\.2"):
        list(agreed(MadeConfig(made=Made(MASK, None)), segmenter("a", "b", "c")).check_labels())


def test_classes_that_masks_lack_have_no_part_in_the_mean() -> None:
    data = Made(np.uint8([[0, 0, 1, 1]]), {0: "road", 1: "car"})
    values = {}
    for how in ("ignore", "count"):
        one = agreed(MadeConfig(made=data, unlabelled_classes=how), segmenter("road", "car", "truck"))
        total = one.task.accumulator()
        total.update(LabelMap(np.uint8([[0, 0, 1, 2]])), one.dataset[0].truth, "f0")
        values[how] = total.compute()
    assert values["ignore"]["miou"] == pytest.approx((1 + 0.5) / 2)
    assert "iou/truck" not in values["ignore"]
    assert values["count"]["miou"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert values["ignore"]["pixel_accuracy"] == values["count"]["pixel_accuracy"] == 0.75


def test_several_tasks_read_one_part_each_with_its_own_classes() -> None:
    boxes = np.float32([[0, 0, 2, 2], [1, 0, 3, 2]])
    objects = Objects(boxes, np.int64([0, 1]), np.zeros(2, bool), np.float32([4, 4]))

    class Parts(Made):
        def class_names(self, part: str = "") -> dict[int, str | None] | None:
            return {"boxes": {0: "van", 1: "person"}, "mask": None}[part]  # type: ignore[dict-item]

    section: dict[str, Any] = {"kind": "detection", "family": "end2end"}
    section["output"] = {"boxes": "b", "scores": "s", "labels": "l"}
    tasks = {"people": section | {"classes": ["person"]}, "vans": section | {"classes": ["car", "van"]}}
    tasks["area"] = {"kind": "segmentation", "output": "o", "classes": ["x", "y"]}
    truth = {"people": "boxes", "vans": "boxes", "area": "mask"}
    task = multitask.Config.model_validate({"kind": "multitask", "tasks": tasks, "truth": truth}).create()
    parts = {"boxes": objects, "mask": np.uint8([[0, 1]]), "depth": None}
    one = agreed(MadeConfig(made=Parts(parts, None), unlisted="drop"), task)
    made = one.dataset[0].truth
    assert made["people"].labels.tolist() == [0]
    assert made["vans"].labels.tolist() == [1]
    assert made["area"].tolist() == [[0, 1]]
    assert list(one.check_labels()) == ["f0"]
    del parts["mask"]
    with pytest.raises(DataError, match="sample 'f0': truth has no part 'mask'"):
        one.dataset[0]


def test_keypoints_agree_by_name() -> None:
    points = np.float32([[[1, 2, 2], [3, 4, 1]]])
    objects = Objects(np.float32([[0, 0, 2, 2]]), np.int64([1]), np.zeros(1, bool), np.float32([4]), points)

    class Pose(detection.Detection):
        keypoint_names = ("right eye", "nose", "left_eye")

    task = Pose(detector("car", "person").config)
    one = agreed(MadeConfig(made=Made(objects, {0: "car", 1: "person"}, ("left_eye", "right_eye"))), task)
    assert one.dataset[0].truth.keypoints.tolist() == [[[3, 4, 1], [0, 0, 0], [1, 2, 2]]]
    assert any("no keypoints 'nose'" in note for note in one.notes)
    with pytest.raises(DataError, match="none of the data set's keypoints is one of the task's"):
        agreed(MadeConfig(made=Made(objects, {1: "person"}, ("a", "b"))), task)


def test_names_that_are_alike() -> None:
    data = Made(MASK, {7: "Traffic_Light", 8: "side-walk", 9: "CAR"})
    one = agreed(MadeConfig(made=data), segmenter("car", "traffic light", "side walk"))
    assert one.dataset[0].truth.tolist() == [[1, 2, 0], [255, 2, 1]]
    assert any("'Traffic_Light' for 'traffic light'" in note for note in one.notes)
    both = agreed(MadeConfig(made=Made(MASK, {7: "car", 8: "Car", 9: "road"})), segmenter("Car", "car", "road"))
    assert both.dataset[0].truth.tolist() == [[1, 0, 2], [255, 0, 1]]


def test_the_map_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"n0144": "car", "n0148": None}))
    config = image_folder.Config(root=tmp_path, map=str(tmp_path / "map.json"))
    assert config.map == {"n0144": "car", "n0148": None}
    with pytest.raises(ValueError, match="'n0144' becomes 3: write a text, in quotes if need be, or null"):
        image_folder.Config(root=tmp_path, map={"n0144": 3})
