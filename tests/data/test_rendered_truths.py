"""Rendered scenes: boxes, depth, lanes and instances agree with each other, with geometry and with the picture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.data import Sample, rendered
from edgekit.data.rendered import bodies, conditions

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rendered_classic.json").read_text())
SETS = ("classic", "varied", "hard")
FRAMES = 5
ROAD, MARKING, SKY = (rendered.CLASSES.index(n) for n in ("road", "lane_marking", "sky"))


@pytest.fixture(autouse=True)
def _needs_panda() -> None:
    pytest.importorskip("panda3d")
    pytest.importorskip("cv2")


def opened(scenes: str, **keys: object) -> rendered.RenderedScenes:
    section = {"count": FRAMES, "seed": 6, "scenes": scenes} | keys
    return rendered.Config.model_validate(section).open()


@cache
def frames(scenes: str) -> tuple[Sample, ...]:
    return tuple(opened(scenes, truth="all"))


@cache
def drive() -> tuple[Sample, ...]:
    return tuple(opened("varied", truth="all", sequence_length=6, count=7))


def everything() -> list[Sample]:
    return [sample for scenes in SETS for sample in frames(scenes)]


def picture(sample: Sample) -> str:
    return hashlib.sha256(sample.images["image"].tobytes()).hexdigest()


def test_boxes_and_areas_are_those_of_the_instance_map() -> None:
    for sample in everything():
        boxes, instances = sample.truth["boxes"], sample.truth["instances"]
        assert set(np.unique(instances)) - {0} == set(range(1, len(boxes) + 1))
        for row in range(len(boxes)):
            y, x = np.nonzero(instances == row + 1)
            assert boxes.boxes[row].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert boxes.areas[row] == len(x)


def test_every_instance_has_one_class_in_the_mask() -> None:
    for sample in everything():
        mask, instances = sample.truth["mask"], sample.truth["instances"]
        for row, label in enumerate(sample.truth["boxes"].labels):
            assert {rendered.CLASSES[k] for k in np.unique(mask[instances == row + 1])} == {
                rendered.OBJECT_MASKS[label]
            }
        for name in ("vehicle", "person"):
            assert (instances[mask == rendered.CLASSES.index(name)] > 0).all()


def test_all_object_classes_occur_and_cyclists_only_in_the_newer_sets() -> None:
    seen = {scenes: {int(k) for s in frames(scenes) for k in s.truth["boxes"].labels} for scenes in SETS}
    assert seen["classic"] == set(range(5)) - {rendered.OBJECT_CLASSES.index("cyclist")}
    assert seen["varied"] == seen["hard"] == set(range(5))


def test_occlusion_and_truncation_are_shares() -> None:
    for sample in everything():
        visibility = sample.truth["visibility"]
        for share in (visibility.occluded, visibility.truncated):
            assert share.dtype == np.float32
            assert ((share >= 0) & (share <= 1)).all()
    hidden = np.concatenate([s.truth["visibility"].occluded for s in everything()])
    assert (hidden == 0).mean() > 0.05
    assert (hidden > 0.5).mean() > 0.05


def test_the_amodal_box_holds_the_visible_one_and_equals_it_when_nothing_hides_the_object() -> None:
    free = 0
    for sample in everything():
        boxes, visibility = sample.truth["boxes"], sample.truth["visibility"]
        inside = np.clip(visibility.amodal, 0, (640, 384, 640, 384))
        outward = np.stack([boxes.boxes[:, :2] - inside[:, :2], inside[:, 2:] - boxes.boxes[:, 2:]])
        assert outward.min() > -1.5
        bare = (visibility.occluded == 0) & (visibility.truncated < 1e-3) & (boxes.areas > 60)
        bare &= boxes.labels != rendered.OBJECT_CLASSES.index("cyclist")  # whose spokes are thinner than a pixel
        free += int(bare.sum())
        assert np.abs(outward[:, bare]).max(initial=0) < 1.5
        inner = (boxes.boxes[:, :2] > 1).all(1) & (boxes.boxes[:, 2:] < (639, 383)).all(1)
        assert (visibility.truncated[(visibility.occluded == 0) & inner] < 0.02).all()
    assert free > 10


def test_hardly_visible_objects_count_nowhere() -> None:
    for sample in everything():
        boxes, visibility = sample.truth["boxes"], sample.truth["visibility"]
        small = boxes.areas < rendered.MIN_PIXELS
        assert boxes.crowd[small].all()
        assert not boxes.crowd[~small & (visibility.occluded < 0.89)].any()
        assert boxes.crowd[visibility.occluded > 0.91].all()


def test_depth_on_the_road_is_that_of_a_camera_at_its_height() -> None:
    """A ground pixel's distance follows from height, pitch, roll and focal length alone."""
    v, u = np.mgrid[:384, :640] + 0.5
    for sample in everything():
        height, pitch, roll, focal = (
            float(sample.metadata[k]) for k in ("camera_height_m", "camera_pitch_deg", "camera_roll_deg", "focal_px")
        )
        right, up = (u - 319.75) / focal, (191.75 - v) / focal
        pitch, roll = np.radians([pitch, roll])
        fall = np.cos(pitch) * (np.sin(roll) * right - np.cos(roll) * up) - np.sin(pitch)
        with np.errstate(divide="ignore"):
            expected = height / fall
        depth = sample.truth["depth"]
        road = (sample.truth["mask"] == ROAD) & (depth < 60)
        error = np.abs(depth[road] / expected[road] - 1)
        assert road.sum() > 5000
        assert (error < 0.01).mean() > 0.995
        assert np.median(error) < 1e-3


def test_only_the_sky_has_no_depth() -> None:
    for sample in everything():
        depth = sample.truth["depth"]
        assert depth.dtype == np.float32
        assert np.array_equal(np.isinf(depth), sample.truth["mask"] == SKY)
        assert depth.min() >= 0.39


def test_nearer_objects_of_one_kind_hide_farther_ones() -> None:
    """Where two vehicles' whole boxes overlap, the nearer one shows."""
    for sample in frames("varied"):
        depth, instances = sample.truth["depth"], sample.truth["instances"]
        boxes, visibility = sample.truth["boxes"], sample.truth["visibility"]
        cars = np.flatnonzero((boxes.labels == 0) & ~boxes.crowd)
        distance = {row: float(np.median(depth[instances == row + 1])) for row in cars}
        nearest = min(cars, key=lambda row: distance[row])
        assert visibility.occluded[nearest] < 0.7


def test_lines_lie_on_their_markings() -> None:
    hits, points = 0, 0
    for sample in everything():
        mask, depth = sample.truth["mask"], sample.truth["depth"]
        lanes = sample.truth["lanes"]
        for line, kind in zip(lanes.points, lanes.kinds, strict=True):
            assert line.dtype == np.float32
            assert line.shape[1] == 2
            assert ((line >= 0) & (line <= (640, 384))).all()
            if kind != "solid":
                continue
            for x, y in np.minimum(line, (639, 383)).astype(int):
                near = mask[max(y - 1, 0) : y + 2, max(x - 3, 0) : x + 4]
                if depth[y, x] < 25 and np.isin(near, (ROAD, MARKING)).all():
                    points += 1
                    hits += bool((near == MARKING).any())
    assert points > 100
    assert hits / points > 0.85  # lines end at side streets


def test_lines_end_where_something_static_hides_the_road_for_good() -> None:
    static = [rendered.CLASSES.index(name) for name in ("sky", "building", "vegetation")]
    ends = []
    for sample in everything():
        for line in sample.truth["lanes"].points:
            x, y = np.minimum(line[-1], (639, 383)).astype(int)
            if 1 < line[-1, 0] < 639:
                ends.append(int(sample.truth["mask"][y, x]))
    assert len(ends) > 20
    assert not set(ends) & set(static)


def test_the_own_lane_is_between_its_boundaries() -> None:
    found = 0
    for sample in everything():
        lanes = sample.truth["lanes"]
        left, right = lanes.ego
        if left < 0 or right < 0:
            continue
        found += 1
        assert right == left + 1
        level = min(max(lanes.points[i][:, 1].min() for i in (left, right)) + 5, 380)
        x = [float(np.interp(level, p[::-1, 1], p[::-1, 0])) for p in (lanes.points[left], lanes.points[right])]
        assert x[0] < x[1]
    assert found >= 12


def test_drivable_is_road_and_markings() -> None:
    sample = frames("hard")[0]
    ids = [rendered.CLASSES.index(name) for name in rendered.DRIVABLE]
    assert np.array_equal(sample.truth["drivable"], np.isin(sample.truth["mask"], ids))


@pytest.mark.parametrize("scenes", SETS)
def test_metadata_speaks_the_documented_words(scenes: str) -> None:
    for sample in frames(scenes):
        assert set(sample.metadata) == set(rendered.VOCABULARY) | set(rendered.NUMBERS)
        for key, words in rendered.VOCABULARY.items():
            assert sample.metadata[key] in words
        assert all(np.isfinite(float(sample.metadata[key])) for key in rendered.NUMBERS)
        assert int(sample.metadata["objects"]) == (~sample.truth["boxes"].crowd).sum()
        assert sample.metadata["scenes"] == scenes


def test_the_sets_are_drawn_from_their_own_conditions() -> None:
    rng = np.random.default_rng(3)
    for span, densest in ((conditions.VARIED, 0.02), (conditions.HARD, 0.05)):
        drawn = [conditions.conditions(rng, span, "town") for _ in range(120)]
        assert {odd.light for _, odd in drawn} == {"day", "dusk", "night"}
        assert {odd.rain for _, odd in drawn} == {True, False}
        fog = max(weather.fog_per_m for weather, _ in drawn)
        assert densest / 2 < fog < densest
    assert {s.metadata["light"] for s in frames("classic")} == {"day"}


def test_nothing_in_the_hard_pools_is_in_the_varied_ones() -> None:
    for usual, rare in (
        (bodies.people(), bodies.rare_people()),
        (bodies.cyclists(), bodies.rare_cyclists()),
        ([b.shape for b in bodies.vehicles()], [b.shape for b in bodies.rare_vehicles()]),
    ):
        assert not {shape.points.tobytes() for shape in usual} & {shape.points.tobytes() for shape in rare}
        assert len({shape.points.tobytes() for shape in usual}) == len(usual)


def test_night_is_darker_than_day() -> None:
    shots = list(opened("varied", count=16, seed=9))
    mean = {w: [s.images["image"].mean() for s in shots if s.metadata["light"] == w] for w in ("day", "night")}
    assert all(len(found) > 1 for found in mean.values())
    assert np.median(mean["night"]) < 0.85 * np.median(mean["day"])


def test_the_sets_show_other_pictures() -> None:
    assert len({picture(s) for s in everything()}) == len(SETS) * FRAMES


@pytest.mark.parametrize("scenes", ["classic", "hard"])
def test_frames_do_not_depend_on_what_was_drawn_before_nor_on_the_truth(scenes: str) -> None:
    opened("varied", seed=1, truth="boxes")[2]
    for index in (3, 0):
        known = frames(scenes)[index]
        for truth in ("mask", "boxes", "depth", "lanes"):
            sample = opened(scenes, truth=truth)[index]
            assert picture(sample) == picture(known)
            if truth == "boxes":
                assert isinstance(sample.truth, Objects)
                assert np.array_equal(sample.truth.boxes, known.truth["boxes"].boxes)
            elif truth == "lanes":
                assert sample.truth.kinds == known.truth["lanes"].kinds
            else:
                assert np.array_equal(sample.truth, known.truth[truth])


def test_another_process_draws_the_same_hard_frame() -> None:
    program = (
        "import hashlib; from edgekit.data.rendered import Config;"
        "s = Config(count=5, seed=6, scenes='hard', truth='all').open()[3];"
        "b = s.truth['boxes'].boxes.tobytes() + s.truth['depth'].tobytes();"
        "print(hashlib.sha256(s.images['image'].tobytes() + b).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    own = frames("hard")[3]
    content = own.images["image"].tobytes() + own.truth["boxes"].boxes.tobytes() + own.truth["depth"].tobytes()
    assert run.stdout.strip() == hashlib.sha256(content).hexdigest()


def test_the_classic_frames_of_the_demo_stay_as_they_are() -> None:
    """Its weights are trained on them.  Rounding may differ a little between machines."""
    for expected in GOLDEN["frames"]:
        sample = rendered.Config(count=100, seed=expected["seed"]).open()[expected["index"]]
        counts = np.bincount(sample.truth.ravel(), minlength=len(rendered.CLASSES))
        assert np.abs(counts - expected["pixels"]).max() <= GOLDEN["tolerance_pixels"]
        assert sample.images["image"].mean() == pytest.approx(expected["mean"], abs=GOLDEN["tolerance_mean"])


def test_a_sequence_begins_like_the_single_frame_and_names_itself() -> None:
    moving = opened("classic", sequence_length=3, count=7)
    assert picture(moving[3]) == picture(frames("classic")[1])
    assert [s.metadata["sequence"] for s in moving] == ["0006-00000"] * 3 + ["0006-00001"] * 3 + ["0006-00002"]
    assert "sequence" not in frames("classic")[0].metadata


def test_sequences_move_and_move_smoothly() -> None:
    shots = drive()[:6]
    assert drive()[6].metadata["sequence"] != shots[0].metadata["sequence"]
    assert len({picture(s) for s in shots}) == 6
    paths: dict[int, list[np.ndarray]] = {}
    for sample in shots:
        visibility = sample.truth["visibility"]
        for track, box, cut in zip(visibility.tracks, visibility.amodal, visibility.truncated, strict=True):
            if cut < 1e-3:
                paths.setdefault(int(track), []).append((box[:2] + box[2:]) / 2)
    whole = [np.array(p) for p in paths.values() if len(p) == 6]
    assert len(whole) > 8
    assert max(np.abs(p[-1] - p[0]).max() for p in whole) > 4
    for path in whole:
        speed = np.diff(path, axis=0)
        assert np.abs(np.diff(speed, axis=0)).max() < 2 + 0.25 * np.abs(speed).max()


def test_classes_of_a_track_stay() -> None:
    for one, other in pairwise(drive()[:6]):
        first = dict(zip(one.truth["visibility"].tracks.tolist(), one.truth["boxes"].labels.tolist(), strict=True))
        second = dict(zip(other.truth["visibility"].tracks.tolist(), other.truth["boxes"].labels.tolist(), strict=True))
        both = first.keys() & second.keys()
        assert len(both) > 5
        assert all(first[k] == second[k] for k in both)


def test_the_fingerprint_follows_every_key() -> None:
    changes: list[dict[str, object]] = [{}, {"scenes": "varied"}, {"scenes": "hard"}, {"sequence_length": 2}]
    changes += [{"truth": truth} for truth in ("boxes", "depth", "lanes", "all")]
    prints = {rendered.Config.model_validate({"count": 5} | change).open().fingerprint() for change in changes}
    assert len(prints) == len(changes)


def test_only_hard_scenes_are_kept_for_evaluation() -> None:
    assert [rendered.Config(count=1, scenes=scenes).evaluation_only for scenes in SETS] == [False, False, True]


@pytest.mark.parametrize(
    "keys", [{"scenes": "easy"}, {"truth": "masks"}, {"sequence_length": 0}, {"sequence_length": 51}]
)
def test_bad_keys_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rendered.Config.model_validate({"count": 3} | keys)


def test_the_dataset_refuses_a_sequence_of_nothing() -> None:
    with pytest.raises(DataError, match="sequence_length 0"):
        rendered.RenderedScenes(3, sequence_length=0)
