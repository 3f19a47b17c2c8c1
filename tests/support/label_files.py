"""Small datasets with boxes in every format: the frames of projects.py and their red and green squares."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.support.projects import HEIGHT, WIDTH, write_frames

COUNT = 4
NAMES = ("red", "green")
Box = tuple[int, int, int, int]


def write_pictures(folder: Path, suffix: str = ".png") -> dict[str, dict[str, Box]]:
    """``f0`` ... ``f3`` in ``folder``; returns each frame's boxes (left, top, right, bottom) by class."""
    made = folder.parent / "made"
    write_frames(made, COUNT)
    folder.mkdir(parents=True, exist_ok=True)
    boxes = {}
    for file in sorted((made / "images").iterdir()):
        picture = cv2.imread(str(file))
        cv2.imwrite(str(folder / f"{file.stem}{suffix}"), picture)
        mask = cv2.imread(str(made / "masks" / file.name), cv2.IMREAD_UNCHANGED)
        boxes[file.stem] = {name: _extent(mask == label) for label, name in enumerate(NAMES, start=1)}
    shutil.rmtree(made)
    return boxes


def _extent(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def write_json(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def coco(root: Path) -> dict[str, Any]:
    """Category ids 7 (red) and 3 (green): green comes first."""
    boxes = write_pictures(root / "images")
    document: dict[str, Any] = {"images": [], "annotations": []}
    document["categories"] = [{"id": 7, "name": "red"}, {"id": 3, "name": "green"}]
    for place, (stem, found) in enumerate(boxes.items()):
        image = {"id": 100 + place, "file_name": f"{stem}.png", "height": HEIGHT, "width": WIDTH, "drive": "a"}
        document["images"].append(image)
        for name, (left, top, right, bottom) in found.items():
            entry = {"id": len(document["annotations"]), "image_id": 100 + place, "iscrowd": 0}
            entry |= {"category_id": 7 if name == "red" else 3, "bbox": [left, top, right - left, bottom - top]}
            document["annotations"].append(entry | {"area": (right - left) * (bottom - top) / 2})
    path = write_json(root / "instances.json", document)
    return {"format": "coco", "annotations": str(path), "root": str(root / "images")}


def kitti_line(name: str, box: tuple[float, ...], truncated: float = 0.0, occluded: int = 0) -> str:
    edges = " ".join(f"{value:.2f}" for value in box)
    return f"{name} {truncated:.2f} {occluded} -1.57 {edges} 1.5 1.6 3.9 -2.0 1.6 20.1 -1.6"


def kitti(root: Path) -> dict[str, Any]:
    boxes = write_pictures(root / "image_2")
    (root / "label_2").mkdir()
    for stem, found in boxes.items():
        lines = [kitti_line({"red": "Car", "green": "Pedestrian"}[name], box) for name, box in found.items()]
        (root / "label_2" / f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines))
    return {"format": "kitti", "root": str(root)}


def yolo_text(root: Path) -> dict[str, Any]:
    boxes = write_pictures(root / "images")
    (root / "labels").mkdir()
    for stem, found in boxes.items():
        lines = []
        for label, (left, top, right, bottom) in enumerate(found.values()):
            centre = f"{(left + right) / 2 / WIDTH:.8f} {(top + bottom) / 2 / HEIGHT:.8f}"
            lines.append(f"{label} {centre} {(right - left) / WIDTH:.8f} {(bottom - top) / HEIGHT:.8f}\n")
        (root / "labels" / f"{stem}.txt").write_text("".join(lines))
    folders = {key: str(root / key) for key in ("images", "labels")}
    return {"format": "yolo_text", "names": list(NAMES), **folders}


def bdd100k(root: Path) -> dict[str, Any]:
    boxes = write_pictures(root / "images")
    frames = []
    for stem, found in boxes.items():
        labels = [
            {"id": str(place), "category": {"red": "car", "green": "rider"}[name], "attributes": {"occluded": False}}
            | {"box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
            for place, (name, box) in enumerate(found.items())
        ]
        attributes = {"weather": "rainy", "scene": "city street", "timeofday": "night"}
        frames.append({"name": f"{stem}.png", "attributes": attributes, "timestamp": 10000, "labels": labels})
    path = write_json(root / "det_val.json", frames)
    return {"format": "bdd100k", "annotations": str(path), "root": str(root / "images")}


def nuscenes_tables() -> dict[str, list[dict[str, Any]]]:
    """Two scenes; ``f0`` ... ``f3`` of the front camera, listed backwards, and one of the back camera."""
    scenes = [
        {"token": "s0", "name": "scene-0001", "description": "Parked truck, construction", "log_token": "l0"},
        {"token": "s1", "name": "scene-0002", "description": "Night, heavy rain; trains", "log_token": "l0"},
    ]
    data = [
        {"token": f"d{i}", "sample_token": f"k{i // 2}", "calibrated_sensor_token": "c0", "timestamp": 10 + i}
        | {"filename": f"samples/CAM_FRONT/f{i}.jpg", "height": HEIGHT, "width": WIDTH, "is_key_frame": True}
        for i in reversed(range(COUNT))
    ]
    data.append(data[0] | {"token": "d9", "calibrated_sensor_token": "c1", "filename": "samples/CAM_BACK/b0.jpg"})
    lidar = {"token": "d8", "calibrated_sensor_token": "c2", "filename": "samples/LIDAR_TOP/x.bin", "height": 0}
    data.append(data[0] | lidar | {"width": 0, "fileformat": "pcd"})
    sensors = [("CAM_FRONT", "camera"), ("CAM_BACK", "camera"), ("LIDAR_TOP", "lidar")]
    return {
        "scene": scenes,
        "log": [{"token": "l0", "location": "boston-seaport", "vehicle": "n015"}],
        "sample": [{"token": f"k{i}", "scene_token": f"s{i}"} for i in range(2)],
        "sample_data": data,
        "calibrated_sensor": [{"token": f"c{i}", "sensor_token": f"r{i}"} for i in range(3)],
        "sensor": [{"token": f"r{i}", "channel": c, "modality": m} for i, (c, m) in enumerate(sensors)],
    }


def nuscenes(root: Path) -> dict[str, Any]:
    write_pictures(root / "samples" / "CAM_FRONT", ".jpg")
    (root / "samples" / "CAM_BACK").mkdir()
    shutil.copy(root / "samples/CAM_FRONT/f0.jpg", root / "samples/CAM_BACK/b0.jpg")
    for name, table in nuscenes_tables().items():
        write_json(root / "v1.0-mini" / f"{name}.json", table)
    return {"format": "nuscenes", "root": str(root), "version": "v1.0-mini"}


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    """Motion JPEG of RGB frames."""
    height, width = frames[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def video(root: Path) -> dict[str, Any]:
    write_frames(root / "made", COUNT)
    frames = [cv2.imread(str(file))[..., ::-1] for file in sorted((root / "made/images").iterdir())]
    write_video(root / "clips" / "drive.avi", frames)
    return {"format": "video", "root": str(root / "clips")}


# Writes COUNT frames and gives the section of a spec.
EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "bdd100k": bdd100k,
    "coco": coco,
    "kitti": kitti,
    "nuscenes": nuscenes,
    "video": video,
    "yolo_text": yolo_text,
}
