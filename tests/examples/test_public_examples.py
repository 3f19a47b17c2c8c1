"""The public networks: each spec with a stand-in checkout, small networks of the same modules, names and shapes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit.core.reports import EvaluateReport

EXAMPLES = Path(__file__).parents[2] / "examples" / "public"

FACES = {
    "vision/ssd/config/fd_config.py": """
        size = None


        def define_img_size(given):
            global size
            size = given
    """,
    "vision/ssd/mb_tiny_fd.py": """
        import torch
        from torch import nn
        from vision.ssd.config import fd_config

        assert fd_config.size == 320, "the size decides the prior boxes"


        class Detector(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 8, 3, 8, 1)
                self.down = nn.ModuleList(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3))
                self.heads = nn.ModuleList(nn.Conv2d(8, 6 * n, 1) for n in (3, 2, 2, 3))

            def forward(self, image):
                maps = [torch.relu(self.stem(image))]
                for layer in self.down:
                    maps.append(torch.relu(layer(maps[-1])))
                rows = [h(m).permute(0, 2, 3, 1).reshape(1, -1, 6) for h, m in zip(self.heads, maps)]
                row = torch.cat(rows, 1)
                centre, size = torch.sigmoid(row[..., 2:4]), torch.sigmoid(row[..., 4:]) * 0.2 + 0.05
                return torch.softmax(row[..., :2], 2), torch.cat([centre - size, centre + size], 2)


        def create_mb_tiny_fd(classes, is_test=False, device="cuda"):
            assert (classes, is_test, device) == (2, True, "cpu")
            return Detector()
    """,
}
LANES = {
    "model/TwinLite.py": """
        from torch import nn


        class TwinLiteNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU())
                self.area, self.lanes = (nn.ConvTranspose2d(8, 2, 8, 8) for _ in range(2))

            def forward(self, image):
                x = self.stem(image)
                return self.area(x), self.lanes(x)
    """,
}
HEADPOSE = {
    "models/mobilenet_v1.py": """
        from torch import nn


        def mobilenet(num_classes, widen_factor):
            body = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Conv2d(8, 8, 3, 4), nn.ReLU())
            made = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
            made.add_module("fc", nn.Linear(8, num_classes))
            return made
    """,
}
PLATES = {
    "LPRNet/model/STN.py": """
        import torch
        from torch import nn
        from torch.nn import functional


        class STNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.local = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(4), nn.ReLU())
                self.matrix = nn.Linear(4 * 5 * 23, 6)
                nn.init.normal_(self.matrix.weight, 0, 0.01)
                self.matrix.bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

            def forward(self, plate):
                matrix = self.matrix(self.local(plate).flatten(1)).view(-1, 2, 3)
                grid = functional.affine_grid(matrix, plate.size(), align_corners=False)
                return functional.grid_sample(plate, grid, align_corners=False)
    """,
    "LPRNet/model/LPRNET.py": """
        from torch import nn


        class LPRNet(nn.Module):
            def __init__(self, class_num, dropout_rate):
                super().__init__()
                self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool3d((1, 3, 3), (2, 2, 2)))
                self.head = nn.Sequential(nn.Dropout(dropout_rate), nn.Conv2d(4, class_num, (10, 11), (1, 2)))

            def forward(self, plate):
                return self.head(self.body(plate)).mean(2)
    """,
}


def checkout(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


def network(example: str, *args: str) -> nn.Module:
    spec = importlib.util.spec_from_file_location(f"network_of_{example}", EXAMPLES / example / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: nn.Module = module.build(*args)
    return made


def frames(folder: Path, size: tuple[int, int], count: int = 4) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        paths.append(folder / f"f{i}.png")
        cv2.imwrite(str(paths[-1]), cv2.resize(coarse, size[::-1]))
    return paths


def state(path: Path, module: nn.Module, prefix: str = "", key: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {prefix + name: value for name, value in module.state_dict().items()}
    torch.save(values if key is None else {key: values}, path)


@pytest.fixture(autouse=True)
def _imports() -> Iterator[None]:
    """Checkouts have modules of the same names, and models that other tests loaded into this process may as well."""
    paths, before = list(sys.path), _taken()
    for name in before:
        del sys.modules[name]
    yield
    sys.path[:] = paths
    for name in _taken():
        del sys.modules[name]
    sys.modules.update(before)


def _taken() -> dict[str, ModuleType]:
    return {n: m for n, m in sys.modules.items() if n.partition(".")[0] in ("vision", "model", "models")}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvaluateReport]:
    """Builds an example's spec with the variables that it wants, and evaluates it."""

    def build(example: str, **variables: Path) -> EvaluateReport:
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        folder = Path(shutil.copytree(EXAMPLES / example, tmp_path / "project"))
        return edgekit.evaluate(edgekit.build(folder, "cpu"))

    return build


def test_faces(tmp_path: Path, built: Callable[..., EvaluateReport]) -> None:
    root = checkout(tmp_path / "checkout", FACES)
    torch.manual_seed(0)
    state(root / "models/pretrained/version-slim-320.pth", network("faces", str(root)))
    pictures = frames(root / "imgs", (240, 320))
    document = {
        "images": [{"id": i, "file_name": p.name, "height": 240, "width": 320} for i, p in enumerate(pictures)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [50, 60, 80, 90], "area": 7200, "iscrowd": 0}
            for i in range(len(pictures))
        ],
        "categories": [{"id": 1, "name": "face"}],
    }
    (tmp_path / "faces.json").write_text(json.dumps(document))
    report = built("faces", FACES=root, FACE_FRAMES=tmp_path)
    assert set(report.metrics) >= {"map", "ap50", "ap/face"}
    assert report.frames == 4


def test_lanes(tmp_path: Path, built: Callable[..., EvaluateReport]) -> None:
    root = checkout(tmp_path / "checkout", LANES)
    torch.manual_seed(0)
    state(root / "pretrained/best.pth", network("lanes", str(root)), "module.")
    made = frames(tmp_path / "made/images", (60, 80))
    (tmp_path / "made/road").mkdir()
    for path in made:
        mask = np.zeros((60, 80), np.uint8)
        mask[30:] = 1
        cv2.imwrite(str(tmp_path / "made/road" / path.name), mask)
    camvid = tmp_path / "camvid"
    (camvid / "labels/train").mkdir(parents=True)
    for path in frames(camvid / "images/train", (60, 80)):
        cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))
        cv2.imwrite(str(camvid / "labels/train" / path.name), np.zeros((60, 80), np.uint8))
    (camvid / "train.txt").write_text("".join(f"f{i}\n" for i in range(4)))
    report = built("lanes", LANES=root, LANE_FRAMES=tmp_path / "made", CAMVID=camvid)
    assert {"area/iou/drivable", "lanes/rel_l2"} <= set(report.metrics)
    assert 0 < report.metrics["lanes/rel_l2"] < 0.1


def test_lanes_against_the_reference_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``lanes.yaml``: the second output of the same network, which the network's own masks judge."""
    root = checkout(tmp_path / "checkout", LANES)
    torch.manual_seed(0)
    made = network("lanes", str(root)).eval()
    state(root / "pretrained/best.pth", made, "module.")
    camvid, judged = tmp_path / "camvid", tmp_path / "made"
    for folder in (camvid / "labels/train", judged / "lanes"):
        folder.mkdir(parents=True)
    for path in frames(camvid / "images/train", (360, 640)):
        cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))
        cv2.imwrite(str(camvid / "labels/train" / path.name), np.zeros((360, 640), np.uint8))
    (camvid / "train.txt").write_text("".join(f"f{i}\n" for i in range(4)))
    for path in frames(judged / "resized", (360, 640)):
        pixels = np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1].transpose(2, 0, 1)[None])
        with torch.no_grad():
            lanes = made(torch.from_numpy(pixels).float() / 255)[1][0].argmax(0)
        cv2.imwrite(str(judged / "lanes" / path.name), lanes.byte().numpy())
    for name, value in {"LANES": root, "LANE_FRAMES": judged, "CAMVID": camvid}.items():
        monkeypatch.setenv(name, str(value))
    folder = Path(shutil.copytree(EXAMPLES / "lanes", tmp_path / "project"))
    report = edgekit.evaluate(edgekit.build(folder / "lanes.yaml", "cpu"))
    assert report.control is not None
    assert report.control["iou/lane"] > 0.999  # FP32 makes the masks that PyTorch makes
    assert 0.5 < report.metrics["iou/lane"] < 1


def test_headpose(tmp_path: Path, built: Callable[..., EvaluateReport]) -> None:
    root = checkout(tmp_path / "checkout", HEADPOSE)
    made = tmp_path / "made"
    frames(made / "calibration", (120, 120))
    pictures = frames(made, (120, 120))
    rng = np.random.default_rng(0)
    mean = np.tile([0.5, -0.2, 0.1, 60], 3) + rng.normal(0, 0.1, 12)
    scaling = {"mean": [*mean.tolist(), *[0.0] * 50], "std": [0.3] * 62}
    (made / "scaling.json").write_text(json.dumps(scaling))
    torch.manual_seed(0)
    backbone = network("headpose", str(root), str(made / "scaling.json")).get_submodule("backbone")
    named = {name.replace("fc.", "fc_param."): value for name, value in backbone.state_dict().items()}
    (root / "weights").mkdir()
    torch.save({"state_dict": {f"module.{k}": v for k, v in named.items()}}, root / "weights/mb05_120x120.pth")
    reference = network(
        "headpose", str(root), str(made / "scaling.json"), str(root / "weights/mb05_120x120.pth")
    ).eval()
    lines = ["file,yaw,pitch,roll"]
    for path in pictures:
        pixels = (cv2.imread(str(path)).astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 128
        angles = reference(torch.from_numpy(pixels)).detach().numpy()[0]
        lines.append(",".join([path.name, *map(str, angles.tolist())]))
    (made / "labels.csv").write_text("\n".join(lines))
    report = built("headpose", HEADPOSE=root, HEADPOSE_FRAMES=made)
    assert report.control is not None
    assert report.control["mae"] == pytest.approx(0, abs=0.01)  # degrees
    assert report.metrics["mae"] < 10


def test_plates(tmp_path: Path, built: Callable[..., EvaluateReport]) -> None:
    root = checkout(tmp_path / "checkout", PLATES)
    torch.manual_seed(0)
    made = network("plates", str(root))
    state(root / "LPRNet/weights/Final_STN_model.pth", made.get_submodule("transformer"))
    state(root / "LPRNet/weights/Final_LPRNet_model.pth", made.get_submodule("reader"))
    frames(tmp_path / "plates", (24, 94))
    report = built("plates", PLATES=root, PLATE_FRAMES=tmp_path / "plates")
    assert 0 < report.metrics["rel_l2"] < 0.1
    assert report.metrics["cosine"] > 0.99


def test_angles_are_those_of_a_rotation(tmp_path: Path) -> None:
    """The wrapper's arithmetic, against SciPy: intrinsic rotations about x, y and z."""
    from scipy.spatial.transform import Rotation

    root = checkout(tmp_path / "checkout", HEADPOSE)
    rotations = Rotation.random(20, random_state=0)
    (tmp_path / "scaling.json").write_text(json.dumps({"mean": [0.0] * 62, "std": [1.0] * 62}))
    made = network("headpose", str(root), str(tmp_path / "scaling.json"))
    matrices = np.concatenate([rotations.as_matrix() * 2.5, np.ones((20, 3, 1))], axis=2).reshape(20, 12)
    made.backbone = nn.Identity()
    found = made(torch.from_numpy(matrices).float()).detach().numpy()
    rebuilt = Rotation.from_euler("xyz", np.stack([found[:, 1], -found[:, 0], found[:, 2]], 1), degrees=True)
    assert (rebuilt * rotations.inv()).magnitude().max() < 1e-3
