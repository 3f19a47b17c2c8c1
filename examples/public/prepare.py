"""Frames and labels of the examples, made by the reference code of the checkouts; prints the reference's own figures.

python prepare.py faces CHECKOUT OUT                   the boxes that the detector's own demo finds
python prepare.py lanes CHECKOUT CAMVID OUT            masks of CamVid's road, and the network's own lanes
python prepare.py headpose CHECKOUT FACES OUT          crops of the faces in FACES (a checkout of the detector), angles
python prepare.py plates CHECKOUT FRAMES               reads FRAMES (named after their plates), prints what is right
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch

THRESHOLD = 0.7


def code(checkout: str, module: str, folder: str = "") -> ModuleType:
    """A module of a checkout, imported as its own scripts do."""
    root = str((Path(checkout) / folder).resolve())
    if root not in sys.path:
        sys.path.insert(0, root)
    return importlib.import_module(module)


def detector(checkout: str) -> Callable[[np.ndarray], np.ndarray]:
    """An RGB image to boxes and scores ``(N, 5)``, by the demo's own predictor."""
    code(checkout, "vision.ssd.config.fd_config").define_img_size(320)
    made = code(checkout, "vision.ssd.mb_tiny_fd")
    network = made.create_mb_tiny_fd(2, is_test=True, device="cpu")
    network.load(str(Path(checkout) / "models/pretrained/version-slim-320.pth"))
    predictor = made.create_mb_tiny_fd_predictor(network, candidate_size=1500, device="cpu")

    def detect(image: np.ndarray) -> np.ndarray:
        boxes, _, scores = predictor.predict(image, 750, THRESHOLD)
        return np.column_stack([boxes.numpy(), scores.numpy()]) if len(boxes) else np.empty((0, 5), np.float32)

    return detect


def pictures(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    for path in sorted(folder.iterdir()):
        if (image := cv2.imread(str(path))) is not None:
            yield path, image


def faces(checkout: str, out: str) -> None:
    detect = detector(checkout)
    images, annotations = [], []
    for path, image in pictures(Path(checkout) / "imgs"):
        entry = {"id": len(images), "file_name": path.name, "height": image.shape[0], "width": image.shape[1]}
        images.append(entry)
        for left, top, right, bottom, _ in detect(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).tolist():
            box = [left, top, right - left, bottom - top]
            annotations.append(
                {"id": len(annotations), "image_id": entry["id"], "category_id": 1, "bbox": box, "iscrowd": 0}
                | {"area": box[2] * box[3]}
            )
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    Path(out).mkdir(parents=True, exist_ok=True)
    (Path(out) / "faces.json").write_text(json.dumps(document))
    print(f"{len(annotations)} faces in {len(images)} images")


@torch.no_grad()
def lanes(checkout: str, camvid: str, out: str) -> None:
    network = torch.nn.DataParallel(code(checkout, "model.TwinLite").TwinLiteNet())
    network.load_state_dict(torch.load(Path(checkout) / "pretrained/best.pth", map_location="cpu", weights_only=True))
    network.eval()
    names = json.loads((Path(camvid) / "classes.json").read_text())
    road = [name.lower() for name in names["names"]].index("road")
    target = Path(out)
    for folder in ("images", "road", "resized", "lanes"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    counts = np.zeros(3, np.int64)  # right, predicted, true
    for stem in (Path(camvid) / "test.txt").read_text().split():
        image = cv2.imread(str(Path(camvid) / f"images/test/{stem}.jpg"))
        labels = cv2.imread(str(Path(camvid) / f"labels/test/{stem}.png"), cv2.IMREAD_UNCHANGED)
        truth = np.where(labels == 11, 255, labels == road).astype(np.uint8)
        resized = cv2.resize(image, (640, 360))
        pixels = torch.from_numpy(np.ascontiguousarray(resized[:, :, ::-1].transpose(2, 0, 1))[None]).float() / 255.0
        area, lane = (torch.max(output, 1)[1][0].byte().numpy() for output in network(pixels))
        for folder, picture in (("images", image), ("road", truth), ("resized", resized), ("lanes", lane)):
            cv2.imwrite(str(target / folder / f"{stem}.png"), picture)
        found = cv2.resize(area, truth.shape[::-1], interpolation=cv2.INTER_NEAREST)
        known = truth != 255
        counts += np.array([one[known].sum(dtype=np.int64) for one in (found & truth, found, truth)])
    print(f"reference code: IoU of the road {counts[0] / (counts[1] + counts[2] - counts[0]):.4f}")


@torch.no_grad()
def headpose(checkout: str, faces_checkout: str, out: str) -> None:
    detect = detector(faces_checkout)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("utils", "models")]:
        del sys.modules[name]
    network = code(checkout, "models.mobilenet_v1").mobilenet(num_classes=62, widen_factor=0.5)
    tools, angles, crops = (code(checkout, f"utils.{name}") for name in ("tddfa_util", "pose", "functions"))
    network = tools.load_model(network, str(Path(checkout) / "weights/mb05_120x120.pth")).eval()
    with (Path(checkout) / "configs/param_mean_std_62d_120x120.pkl").open("rb") as file:
        scaling = pickle.load(file)
    target = Path(out)
    (target / "calibration").mkdir(parents=True, exist_ok=True)
    (target / "scaling.json").write_text(json.dumps({key: value.tolist() for key, value in scaling.items()}))
    rows = ["file,yaw,pitch,roll"]
    for path, image in pictures(Path(faces_checkout) / "imgs"):
        for i, box in enumerate(detect(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))):
            crop = crops.crop_img(image, crops.parse_roi_box_from_bbox(box))
            if min(crop.shape[:2]) < 40:
                continue  # too small to have a pose
            face = cv2.resize(crop, (120, 120), interpolation=cv2.INTER_LINEAR)
            tensor = torch.from_numpy(face.transpose(2, 0, 1)).float().sub_(127.5).div_(128)[None]
            param = network(tensor).squeeze().numpy() * scaling["std"] + scaling["mean"]
            _, pose = angles.calc_pose(param)
            name = f"{path.stem}_{i}.png"
            cv2.imwrite(str(target / name), face)
            if len(rows) % 2:  # every other one calibrates too: the set is small
                cv2.imwrite(str(target / "calibration" / name), face)
            rows.append(",".join([name, *(f"{value:.6f}" for value in pose)]))
    (target / "labels.csv").write_text("\n".join(rows) + "\n")
    print(f"{len(rows) - 1} faces")


@torch.no_grad()
def plates(checkout: str, frames: str, limit: int = 500) -> None:
    os.chdir(Path(checkout) / "LPRNet")
    script = code(".", "LPRNet_Test")
    reader = script.LPRNet(class_num=len(script.CHARS), dropout_rate=0)
    reader.load_state_dict(torch.load("weights/Final_LPRNet_model.pth", map_location="cpu", weights_only=True))
    transformer = script.STNet()
    transformer.load_state_dict(torch.load("weights/Final_STN_model.pth", map_location="cpu", weights_only=True))
    reader.eval(), transformer.eval()
    right, total = 0, 0
    for path, image in list(pictures(Path(frames)))[:: max(1, len(list(Path(frames).iterdir())) // limit)]:
        resized = np.float32(cv2.resize(image, (94, 24), interpolation=cv2.INTER_CUBIC)).transpose(2, 0, 1)
        tensor = torch.from_numpy((resized - 127.5) * 0.0078125)[None]
        texts, _ = script.decode(reader(transformer(tensor)).numpy(), script.CHARS)
        right, total = right + (texts[0] == path.stem), total + 1
    print(f"reference code: {right} of {total} plates right")


if __name__ == "__main__":
    commands: dict[str, Callable[..., Any]] = {"faces": faces, "lanes": lanes, "headpose": headpose, "plates": plates}
    commands[sys.argv[1]](*sys.argv[2:])
