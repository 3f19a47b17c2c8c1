"""Rendered scenes: the same bytes every time, and masks that fit the pictures."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError, MissingRequirement
from edgekit.data import Sample, rendered

SKY, ROAD, MARKING, VEGETATION = (rendered.CLASSES.index(n) for n in ("sky", "road", "lane_marking", "vegetation"))


@pytest.fixture(autouse=True)
def _needs_panda() -> None:
    pytest.importorskip("panda3d")
    pytest.importorskip("cv2")


@cache
def scenes() -> tuple[Sample, ...]:
    return tuple(rendered.Config(count=20, seed=4).open())


def digest(sample: Sample) -> str:
    return hashlib.sha256(sample.images["image"].tobytes() + sample.truth.tobytes()).hexdigest()


def luminance(sample: Sample) -> np.ndarray:
    return sample.images["image"].astype(np.float64).mean(axis=2)


def test_shapes_and_ids() -> None:
    sample = scenes()[7]
    assert sample.id == "0004-00007"
    assert sample.images["image"].shape == (384, 640, 3)
    assert sample.images["image"].dtype == sample.truth.dtype == np.uint8
    assert sample.truth.shape == (384, 640)


def test_a_frame_does_not_depend_on_what_was_drawn_before() -> None:
    first = [digest(s) for s in scenes()[:4]]
    fresh = rendered.Config(count=9, seed=4).open()
    rendered.Config(count=3, seed=8).open()[2]
    assert [digest(fresh[i]) for i in (3, 1, 2, 0)] == [first[i] for i in (3, 1, 2, 0)]


def test_another_process_draws_the_same_bytes() -> None:
    program = (
        "import hashlib; from edgekit.data.rendered import Config;"
        "s = Config(count=20, seed=4).open()[3];"
        "print(hashlib.sha256(s.images['image'].tobytes() + s.truth.tobytes()).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == digest(scenes()[3])


def test_importing_the_module_loads_neither_panda3d_nor_opencv() -> None:
    program = "import sys, edgekit.data.rendered; print(sorted({'panda3d', 'cv2', 'torch'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"


def test_masks_hold_all_classes_and_nothing_else() -> None:
    seen = np.unique(np.stack([s.truth for s in scenes()]))
    assert seen.tolist() == list(range(len(rendered.CLASSES)))


def test_nothing_dominates_and_road_and_sky_are_where_they_belong() -> None:
    masks = np.stack([s.truth for s in scenes()])
    assert np.bincount(masks.ravel()).max() < 0.5 * masks.size
    rows = np.broadcast_to(np.arange(384)[:, None], masks.shape[1:])
    for mask in masks:
        assert rows[mask == SKY].mean() < rows[mask == ROAD].mean()


def test_sky_and_markings_are_brighter_than_the_road() -> None:
    sky, marking, road = (
        np.mean([luminance(s)[s.truth == k].mean() for s in scenes() if (s.truth == k).any()])
        for k in (SKY, MARKING, ROAD)
    )
    assert sky > road + 20
    assert marking > road + 20


def test_mask_borders_lie_on_picture_edges() -> None:
    """Moved, mirrored or flipped masks fit the picture's edges worse than the mask itself."""

    def fit(sample: Sample, mask: np.ndarray) -> float:
        step = np.abs(np.diff(luminance(sample), axis=1))
        return float(step[np.diff(mask.astype(int), axis=1) != 0].mean())

    def total(change: str) -> float:
        moves = {
            "none": lambda m: m,
            "right": lambda m: np.roll(m, 3, 1),
            "left": lambda m: np.roll(m, -3, 1),
            "up": lambda m: np.roll(m, -6, 0),
            "down": lambda m: np.roll(m, 6, 0),
            "mirrored": lambda m: m[:, ::-1],
            "flipped": lambda m: m[::-1],
        }
        return sum(fit(s, moves[change](s.truth)) for s in scenes())

    own = total("none")
    for change in ("right", "left", "up", "down", "mirrored", "flipped"):
        assert own > 1.15 * total(change), change


def test_colour_alone_does_not_name_the_class() -> None:
    """The nearest mean colour is wrong for a good share of the pixels."""
    colours = np.concatenate([s.images["image"][::8, ::8].reshape(-1, 3) for s in scenes()]).astype(np.float64)
    truth = np.concatenate([s.truth[::8, ::8].ravel() for s in scenes()])
    means = np.stack([colours[truth == k].mean(axis=0) for k in range(len(rendered.CLASSES))])
    nearest = ((colours[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() < 0.7


def test_seeds_and_indices_differ() -> None:
    other = rendered.Config(count=1, seed=5).open()[0]
    assert len({digest(s) for s in (*scenes(), other)}) == 21


def test_fingerprint_names_seed_and_count() -> None:
    prints = {rendered.Config(count=c, seed=s).open().fingerprint() for c, s in ((5, 0), (6, 0), (5, 1))}
    assert len(prints) == 3
    assert all(len(p) == 64 and int(p, 16) >= 0 for p in prints)
    assert rendered.Config(count=5).open().fingerprint() in prints


@pytest.mark.parametrize("index", [3, 100, -1])
def test_an_index_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=str(index)):
        rendered.Config(count=3).open()[index]


@pytest.mark.parametrize("keys", [{"count": 0}, {"count": -4}, {"count": 3, "seed": -1}, {"count": 3, "size": 4}, {}])
def test_bad_keys_are_refused(keys: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        rendered.Config.model_validate(keys)


def test_the_dataset_refuses_an_empty_count() -> None:
    with pytest.raises(DataError, match="count 0"):
        rendered.RenderedScenes(0)


def test_a_missing_panda3d_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "panda3d.core", None)
    with pytest.raises(MissingRequirement, match=r"edgekit\[demo\]"):
        rendered.RenderedScenes(1).fingerprint()
