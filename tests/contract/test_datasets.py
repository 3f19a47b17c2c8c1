"""What every dataset format promises, run over each on a few frames."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core import plugins
from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.spec import DataSection
from edgekit.data import DataConfig, Dataset, Sample
from edgekit.ros2_node.bags.convert import Conversion, convert
from tests.support.label_files import EXAMPLES as LABELLED
from tests.support.projects import write_frames

COUNT = 4


def _camvid(root: Path) -> dict[str, Any]:
    write_frames(root / "made", COUNT)
    for made, folder in (("images", "images/test"), ("masks", "labels/test")):
        (root / folder).mkdir(parents=True)
        for file in sorted((root / "made" / made).iterdir()):
            suffix = ".jpg" if made == "images" else ".png"
            cv2.imwrite(str(root / folder / f"{file.stem}{suffix}"), cv2.imread(str(file), cv2.IMREAD_UNCHANGED))
    (root / "test.txt").write_text("".join(f"f{i}\n" for i in range(COUNT)))
    return {"format": "camvid", "root": str(root), "split": "test"}


def _cityscapes(root: Path) -> dict[str, Any]:
    write_frames(root / "made", COUNT)
    for i in range(COUNT):
        for made, folder, ending in (("images", "leftImg8bit", ""), ("masks", "gtFine", "_gtFine_labelIds")):
            target = root / folder / "val" / "bonn" / f"f{i}{ending}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / "made" / made / f"f{i}.png").rename(target)
    return {"format": "cityscapes", "root": str(root)}


def _image_mask(root: Path) -> dict[str, Any]:
    write_frames(root, COUNT)
    return {"format": "image_mask", "images": str(root / "images"), "masks": str(root / "masks")}


def _images(root: Path) -> dict[str, Any]:
    write_frames(root, COUNT)
    return {"format": "images", "root": str(root / "images")}


def _rendered(root: Path) -> dict[str, Any]:
    if importlib.util.find_spec("panda3d") is None:
        pytest.skip("panda3d is not installed")
    return {"format": "rendered", "count": COUNT, "seed": 3}


def _image_folder(root: Path) -> dict[str, Any]:
    """Frames 0 and 1 in one folder, 2 and 3 in the next."""
    write_frames(root / "made", COUNT)
    for i in range(COUNT):
        folder = root / "images" / f"kind-{i // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (root / "made" / "images" / f"f{i}.png").rename(folder / f"f{i}.png")
    return {"format": "image_folder", "root": str(root / "images"), "classes": ["kind-0", "kind-1"]}


def _image_values(root: Path) -> dict[str, Any]:
    write_frames(root, COUNT)
    lines = ["file;yaw;pitch;weather", *(f"images/f{i}.png;{i * 10};{-i / 4};fog" for i in range(COUNT))]
    (root / "angles.csv").write_text("\n".join(lines))
    return {"format": "image_values", "root": str(root), "labels": str(root / "angles.csv")}


def _joined(root: Path) -> dict[str, Any]:
    write_frames(root, COUNT)
    write_frames(root / "spare", COUNT)
    frames = {"format": "images", "root": str(root / "images")}
    beside = {"right": {"files": str(root / "spare" / "images")}, "last": {"before": 1, "sequence": None}}
    return {"format": "joined", "frames": frames, "beside": beside}


def _arrays(root: Path) -> dict[str, Any]:
    (root / "arrays").mkdir(parents=True)
    for i in range(COUNT):
        np.savez(root / "arrays" / f"f{i}.npz", points=np.full((3, 4), i, np.float32))
    return {"format": "arrays", "root": str(root / "arrays")}


def _mcap(root: Path) -> dict[str, Any]:
    write_frames(root, COUNT)
    convert(root / "images", root / "bag", Conversion())
    return {"format": "mcap", "root": str(root / "bag")}


def _noise(root: Path) -> dict[str, Any]:
    return {"format": "noise", "count": COUNT, "size": [32, 48]}


# Writes COUNT frames and gives the section of a spec; a new format adds a line.
EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "arrays": _arrays,
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "image_folder": _image_folder,
    "image_mask": _image_mask,
    "image_values": _image_values,
    "images": _images,
    "joined": _joined,
    "mcap": _mcap,
    "noise": _noise,
    "rendered": _rendered,
    **LABELLED,
}
PICTURES = (".png", ".jpg")
SPARE = {"made", "masks", "labels", "spare"}
STREAMS = {"mcap", "video"}  # several frames share one file: test_mcap.py and test_video.py of tests/data
NO_IMAGES = {"arrays"}  # tests/data/test_arrays.py
# Formats whose frames are files below the root, so that a test can change one.
GENERATED = {"noise": {"seed": 4}, "rendered": {"seed": 4}}


@pytest.fixture(scope="module", params=plugins.names("data"))
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in EXAMPLES:
        pytest.fail(f"the format {request.param!r} has no example; add one to EXAMPLES in {__file__}")
    return str(request.param)


@pytest.fixture(scope="module")
def module(name: str) -> ModuleType:
    return plugins.load("data", name)


@pytest.fixture(scope="module")
def root(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def section(name: str, root: Path) -> dict[str, Any]:
    return EXAMPLES[name](root)


@pytest.fixture(scope="module")
def dataset(module: ModuleType, section: dict[str, Any]) -> Dataset:
    opened = module.Config.model_validate(section).open()
    assert isinstance(opened, Dataset)
    return opened


def equal(one: Sample, other: Sample) -> bool:
    pictures = one.images.keys() == other.images.keys() and all(
        np.array_equal(one.images[k], other.images[k]) for k in one.images
    )
    return pictures and one.id == other.id and _same(one.truth, other.truth)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Objects) and isinstance(other, Objects):
        return all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))
    return np.array_equal(one, other)  # None equals None


class TestConfig:
    def test_contract(self, name: str, module: ModuleType, section: dict[str, Any]) -> None:
        assert issubclass(module.Config, DataConfig)
        field = module.Config.model_fields["format"].annotation
        assert get_origin(field) is Literal
        assert get_args(field) == (name,)
        config = module.Config.model_validate(section)
        with pytest.raises(ValidationError, match="frozen"):
            config.format = "other"
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            module.Config.model_validate(section | {"no_such_key": 1})

    def test_survives_the_bundle(self, module: ModuleType, section: dict[str, Any], dataset: Dataset) -> None:
        config = module.Config.model_validate(section)
        again = TypeAdapter(DataSection).validate_python(json.loads(json.dumps(config.model_dump(mode="json"))))
        assert again == config
        assert again.open().fingerprint() == dataset.fingerprint()


class TestFrames:
    def test_length(self, dataset: Dataset) -> None:
        assert len(dataset) == COUNT

    def test_images_are_rgb_uint8(self, name: str, dataset: Dataset) -> None:
        if name in NO_IMAGES:
            pytest.skip("the frames are no images")
        for sample in dataset:
            assert sample.images
            for image in sample.images.values():
                assert image.dtype == np.uint8
                assert image.ndim == 3
                assert image.shape[2] == 3
                assert image.flags.c_contiguous

    def test_colours_are_in_the_order_red_green_blue(self, name: str, dataset: Dataset) -> None:
        """The red squares of tests/support/projects.py are red."""
        if name in GENERATED or name in NO_IMAGES:
            pytest.skip("the frames hold no red square")
        for sample in dataset:
            image = sample.images["image"].astype(int)
            over_blue = image[..., 0] - image[..., 2]
            assert over_blue.max() > 75
            assert over_blue.min() > -75

    def test_truth_fits_the_image(self, dataset: Dataset) -> None:
        for sample in dataset:
            if isinstance(sample.truth, np.ndarray):
                assert sample.truth.dtype == np.uint8
                assert sample.truth.shape == next(iter(sample.images.values())).shape[:2]
            if isinstance(sample.truth, Objects):
                height, width = next(iter(sample.images.values())).shape[:2]
                boxes = sample.truth.boxes
                assert ((boxes >= 0) & (boxes <= [width, height, width, height])).all()
                assert (boxes[:, 2:] > boxes[:, :2]).all()
                assert set(sample.truth.labels.tolist()) <= set(range(len(dataset.classes)))  # type: ignore[attr-defined]

    def test_ids_are_distinct(self, dataset: Dataset) -> None:
        ids = [sample.id for sample in dataset]
        assert len(set(ids)) == COUNT
        assert all(isinstance(i, str) and i and "/" not in i for i in ids)

    def test_iteration_equals_indexing(self, dataset: Dataset) -> None:
        iterated = list(dataset)
        assert len(iterated) == COUNT
        for index in (2, 0, 3, 1):  # in any order, and twice
            assert equal(dataset[index], iterated[index])
        assert not equal(iterated[0], iterated[1])

    @pytest.mark.parametrize("index", [COUNT, COUNT + 100, -1])
    def test_out_of_range(self, dataset: Dataset, index: int) -> None:
        with pytest.raises(IndexError, match=re.escape(str(index))):
            dataset[index]


class TestFingerprint:
    def test_stable(self, module: ModuleType, section: dict[str, Any], dataset: Dataset) -> None:
        assert re.fullmatch(r"[0-9a-f]{64}", dataset.fingerprint())
        assert module.Config.model_validate(section).open().fingerprint() == dataset.fingerprint()

    def test_follows_the_content(self, name: str, module: ModuleType, tmp_path: Path) -> None:
        if name in STREAMS | NO_IMAGES:
            pytest.skip("the frames are no image files of their own")
        section = EXAMPLES[name](tmp_path / "data")
        before = module.Config.model_validate(section).open().fingerprint()
        if name in GENERATED:
            changed = module.Config.model_validate(section | GENERATED[name]).open()
            assert changed.fingerprint() != before
            return
        used = [p for p in (tmp_path / "data").rglob("f1.*") if p.suffix in PICTURES and "made" not in p.parts]
        if name in ("images", "joined"):
            used = [p for p in used if "masks" not in p.parts]
        assert used
        for file in used:
            content = file.read_bytes()
            picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            picture[-1] = 0
            cv2.imwrite(str(file), picture)
            if file.read_bytes() == content:
                continue
            assert module.Config.model_validate(section).open().fingerprint() != before, file
            file.write_bytes(content)
        assert module.Config.model_validate(section).open().fingerprint() == before

    def test_follows_the_number_of_frames(self, name: str, module: ModuleType, section: dict[str, Any]) -> None:
        fewer = {"count": 2} if name in GENERATED else {"limit": 2}
        half = module.Config.model_validate(section | fewer).open()
        assert len(half) == 2
        assert half.fingerprint() != module.Config.model_validate(section).open().fingerprint()


class TestMistakes:
    def test_a_folder_that_is_not_there(self, name: str, module: ModuleType, section: dict[str, Any]) -> None:
        if name in GENERATED:
            pytest.skip("the format reads no folder")
        for key in {"root", "images", "masks", "labels", "annotations"} & set(section):
            with pytest.raises(DataError, match="absent"):
                module.Config.model_validate(section | {key: "/absent/folder"}).open()

    def test_a_damaged_frame_is_named_and_the_others_are_read(
        self, name: str, module: ModuleType, tmp_path: Path
    ) -> None:
        if name in GENERATED:
            pytest.skip("the format reads no file")
        if name in STREAMS | NO_IMAGES:
            pytest.skip("the frames are no image files of their own")
        section = EXAMPLES[name](tmp_path / "data")
        (file,) = [p for p in (tmp_path / "data").rglob("f2.*") if p.suffix in PICTURES and not SPARE & set(p.parts)]
        file.write_bytes(file.read_bytes()[:100])
        opened = module.Config.model_validate(section).open()
        with pytest.raises(DataError, match=r"f2\."):
            opened[2]
        assert opened[1].id.endswith("f1")
