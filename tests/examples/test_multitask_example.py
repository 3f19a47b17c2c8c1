"""The multi-task example: weights and spec fit each other, and what it learns is what edgekit decodes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import edgekit
from edgekit.core.predictions import Geometry, Objects
from edgekit.core.spec import Spec
from edgekit.data import Sample
from edgekit.model.load import load_model
from edgekit.preprocess import Preprocess

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "multitask"
SIZE = (288, 480)
WHOLE = Geometry(SIZE, SIZE, (0, 0, *SIZE))


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The example's train.py, which imports its neighbour by the name ``model``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        for name in ("train", "model"):
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module("train")
        for name in ("train", "model"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def spec() -> Spec:
    return edgekit.read_spec(EXAMPLE / "edgekit.yaml")


def rows_of(*found: tuple[float, float, float, float, int, int]) -> torch.Tensor:
    rows = torch.full((8, 6), -1.0)
    rows[: len(found)] = torch.tensor(found).reshape(-1, 6)
    return rows


def perfect(script: ModuleType, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs of a network that has learnt its targets for one frame exactly."""
    owner = script.owners(rows)
    own = rows[owner.clamp(min=0)]
    xy, stride = script.CELLS[:, :2], script.CELLS[:, 2:]
    reach = torch.cat([xy - own[:, :2], own[:, 2:4] - xy], 1) / stride
    kind = torch.full((len(owner), 5), -20.0)
    kind[owner >= 0, own[owner >= 0, 4].long()] = 20.0
    outputs = {}
    for size in (8, 16, 32):
        grid = (1, -1, SIZE[0] // size, SIZE[1] // size)
        for part, values in (("reach", reach), ("kind", kind)):
            outputs[f"{part}{size}"] = values[script.CELLS[:, 2] == size].T.reshape(grid)
    return outputs


def test_the_weights_fit_strictly_and_one_frame_goes_through(spec: Spec) -> None:
    pytest.importorskip("panda3d")
    sample = spec.data.evaluation.open()[0]
    prepared = Preprocess(spec.preprocess)(sample.images)
    outputs = load_model(spec.model).run(prepared.feeds)
    task = spec.task.create()
    total = task.accumulator()
    total.update(task.decode(outputs, prepared.geometry), sample.truth, sample.id)
    found = total.compute()
    assert set(spec.kpis) - {"speedup_p50"} <= set(found)
    assert found["area/miou"] > 0.9
    assert found["scene/pixel_accuracy"] > 0.8
    assert found["objects/ap50"] > 0.15


def test_the_spec_names_the_outputs_and_classes_of_the_model(script: ModuleType, spec: Spec) -> None:
    from edgekit.data.rendered import CLASSES, OBJECT_CLASSES

    assert spec.model.outputs == script.OUTPUTS
    assert spec.model.inputs["image"].shape == (1, 3, *script.SIZE)
    assert tuple(spec.task.tasks["objects"].classes) == OBJECT_CLASSES
    assert tuple(spec.task.tasks["scene"].classes) == CLASSES


def test_objects_of_every_size_are_decoded_from_their_targets(script: ModuleType, spec: Spec) -> None:
    objects = [(20, 30, 50, 60, 0, 0), (101, 99, 104, 104, 3, 0), (200, 60, 290, 150, 2, 0), (10, 80, 330, 280, 0, 0)]
    outputs = {name: value.numpy() for name, value in perfect(script, rows_of(*objects)).items()}
    found = spec.task.tasks["objects"].create().decode(outputs, WHOLE)
    order = np.lexsort(found.boxes.T)
    wanted = np.array(objects, np.float32)
    assert found.boxes[order] == pytest.approx(wanted[np.lexsort(wanted[:, :4].T), :4], abs=1e-3)
    assert found.labels[order].tolist() == wanted[np.lexsort(wanted[:, :4].T), 4].tolist()


def test_the_loss_of_perfect_outputs_is_nothing_and_of_moved_boxes_is_not(script: ModuleType) -> None:
    rows = rows_of((20, 30, 50, 60, 0, 0), (200, 60, 290, 150, 2, 0))
    outputs = perfect(script, rows)
    assert float(script.object_loss(outputs, rows[None])) == pytest.approx(0, abs=1e-4)
    moved = {name: value + 1 if name.startswith("reach") else value for name, value in outputs.items()}
    assert float(script.object_loss(moved, rows[None])) > 0.3
    empty = rows_of()
    assert float(script.object_loss(perfect(script, empty), empty[None])) == pytest.approx(0, abs=1e-4)


def test_nothing_is_learnt_inside_a_crowd(script: ModuleType) -> None:
    owner = script.owners(rows_of((100, 100, 200, 200, 1, 1), (104, 104, 124, 124, 1, 0)))
    xy = script.CELLS[:, :2]
    inside = ((xy > 100) & (xy < 200)).all(1)
    assert set(owner[inside].tolist()) == {-2, 1}
    assert set(owner[~inside].tolist()) == {-1}


def test_a_window_shows_boxes_and_masks_where_the_picture_does(script: ModuleType) -> None:
    image, mask = np.zeros((384, 640, 3), np.uint8), np.zeros((384, 640), np.uint8)
    image[150:230, 240:400], mask[150:230, 240:400] = 255, 6
    box = np.array([[240, 150, 400, 230]], np.float32)
    objects = Objects(box, np.array([0]), np.array([False]), np.array([12800], np.float32))
    windows = script.Windows([Sample("0", {"image": image}, {"mask": mask, "drivable": mask, "boxes": objects}, {})])
    np.random.seed(0)
    for _ in range(20):
        feeds, truth = windows[0]
        assert feeds["image"].shape == (1, 3, *SIZE)
        bright = feeds["image"][0].mean(0) > 0.5
        rows, columns = np.nonzero(bright)
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert truth["objects"][0, :4] == pytest.approx(np.array(edges), abs=2)
        assert (truth["objects"][1:, 4] == -1).all()
        assert (bright[::2, ::2] == (truth["scene"] == 6)).mean() > 0.99
