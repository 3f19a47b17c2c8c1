"""The anti-spoofing pair loads the published checkpoints and gives the published verdicts, in FP32 and in INT8."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import edgekit
from edgekit.bundle import open_bundle

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "examples" / "minifasnet"
WEIGHTS = REPO.parent / "shared" / "data" / "weights"
# Printed on the published result images: the mean of both networks' probabilities, of the class that wins.
PUBLISHED = {"image_F1": (2, 0.73), "image_F2": (2, 0.82), "image_T1": (1, 0.99)}
LIVE = 1


@pytest.fixture(scope="module")
def published() -> Path:
    """The folder of the two checkpoints and the samples."""
    if not (WEIGHTS / "2.7_80x80_MiniFASNetV2.pth").is_file():
        pytest.skip(f"the MiniFASNet checkpoints are not in {WEIGHTS}")
    return WEIGHTS


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    """The example's script, which imports its neighbour by the name ``model``."""
    before = {name: sys.modules.pop(name, None) for name in ("prepare", "model")}
    sys.path.insert(0, str(EXAMPLE))
    try:
        return importlib.import_module("prepare")
    finally:
        sys.path.remove(str(EXAMPLE))
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


@pytest.fixture(scope="module")
def project(published: Path, prepare: ModuleType, camvid_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder with what prepare.py makes."""
    folder = tmp_path_factory.mktemp("minifasnet")
    for name in ("edgekit.yaml", "model.py"):
        shutil.copy(EXAMPLE / name, folder)
    prepare.write_weights(published, folder / "data" / "weights.pth")
    prepare.write_faces(published / "samples" / "antispoof", folder / "data", 0)
    prepare.write_streets(camvid_root, folder / "data", 68)
    return folder


def test_fp32_gives_the_published_scores(published: Path, prepare: ModuleType) -> None:
    pair = prepare.load(*(published / name for name in prepare.FILES))
    for name, face in json.loads((EXAMPLE / "faces.json").read_text()).items():
        picture = prepare.pair(prepare.read(published / "samples" / "antispoof" / name), face["box"])
        with torch.no_grad():
            outputs = pair(torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32)))
        found = torch.stack([o.softmax(1)[0] for o in outputs]).mean(0)
        label, score = PUBLISHED[Path(name).stem]
        assert int(found.argmax()) == label
        assert (label == LIVE) == (face["kind"] == "bona_fide")
        assert float(found.max()) == pytest.approx(score, abs=0.03)  # a box is known to a pixel


@pytest.mark.slow
def test_both_engines_give_the_published_verdicts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIFASNET", raising=False)
    edgekit.build(project / "edgekit.yaml", "cpu")
    bundle = open_bundle(project / "artifacts" / "minifasnet-cpu")
    preprocess, task = bundle.preprocess(), bundle.task()
    frames = list(bundle.contents.evaluation.open())
    assert {frame.truth for frame in frames} == {"bona_fide", "print", "screen"}
    assert bundle.contents.control is not None
    for engine in (bundle.contents.control, bundle.contents.candidate):
        with bundle.engine(engine) as running:
            for frame in frames:
                prepared = preprocess(frame.images)
                found = task.decode(running.infer(prepared.feeds), prepared.geometry)
                assert (int(found.probabilities.argmax()) == LIVE) == (frame.truth == "bona_fide")
                assert task.is_bona_fide(found) == (frame.truth == "bona_fide")


def test_a_box_that_does_not_fit_is_shrunk_and_shifted_inside(prepare: ModuleType) -> None:
    assert prepare.enlarged((40, 40, 20, 20), 2.0, 200, 100) == (30, 70, 30, 70)
    left, right, top, bottom = prepare.enlarged((0, 10, 60, 80), 4.0, 200, 100)
    assert (left, top) == (0, 0)
    assert right < 200
    assert bottom < 100
