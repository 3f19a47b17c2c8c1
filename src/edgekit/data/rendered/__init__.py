"""Rendered driving scenes with pixel-exact truth: a data set that needs no download.

Panda3D's software renderer draws every scene offscreen, so the frames are the same
on a laptop, in CI and on a machine with no display.  The picture is drawn at twice the
size and averaged down; other passes draw classes, triangles and the shadows on the ground.
Fog, shadows, lamps and the camera's exposure, blur and noise are then applied in NumPy.

The same settings and index give the same bytes, whatever was drawn before.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekit.core import naming
from edgekit.core.errors import DataError
from edgekit.data import Dataset, NamedConfig, Sample
from edgekit.data.rendered import camera, canvas, classic, varied
from edgekit.data.rendered.canvas import Scene
from edgekit.data.rendered.conditions import NUMBERS, SCENES, VOCABULARY, crowding, describe
from edgekit.data.rendered.renderer import HEIGHT, WIDTH, panda3d, renderer
from edgekit.data.rendered.truths import MIN_PIXELS, MIN_VISIBLE, Lanes, Visibility, in_view, look, mesh_of, truths_of

__all__ = [
    "CLASSES",
    "DRIVABLE",
    "HEIGHT",
    "MIN_PIXELS",
    "MIN_VISIBLE",
    "NUMBERS",
    "OBJECT_CLASSES",
    "OBJECT_MASKS",
    "VOCABULARY",
    "WIDTH",
    "Config",
    "Lanes",
    "RenderedScenes",
    "Visibility",
]

CLASSES: tuple[str, ...] = canvas.CLASSES
OBJECT_CLASSES: tuple[str, ...] = canvas.OBJECT_CLASSES
"""Class ids of the boxes; a cyclist is the rider with the bicycle, a sign the plate without its pole."""
OBJECT_MASKS: tuple[str, ...] = tuple(CLASSES[k] for k in canvas.OBJECT_MASKS)
"""The mask's class of every object class."""
DRIVABLE: tuple[str, ...] = ("road", "lane_marking")
VERSION = 1  # of the classic frames; raise it whenever one changes: fingerprints must change too
NEWER_VERSION = 1  # the same for the other scene sets and for all truths but the mask
HERTZ = 10.0
Scenes = Literal["classic", "varied", "hard"]
Truth = Literal["mask", "boxes", "depth", "lanes", "all"]
_LOCK = threading.Lock()


class Config(NamedConfig):
    """``count`` frames; another ``seed`` gives other scenes."""

    format: Literal["rendered"] = "rendered"
    count: int = Field(gt=0)
    seed: int = Field(default=0, ge=0)
    scenes: Scenes = Field("classic", description="hard is for evaluation only: training on it spoils it")
    truth: Truth = Field(
        "mask", description="all: a mapping of mask, drivable, boxes, visibility, instances, depth, lanes"
    )
    sequence_length: int = Field(1, ge=1, le=50, description="consecutive frames of one scene, at 10 Hz")

    @property
    def evaluation_only(self) -> bool:
        """Whether nothing may be trained or calibrated on these frames."""
        return self.scenes == "hard"

    def open(self) -> RenderedScenes:
        return RenderedScenes(self.count, self.seed, self.scenes, self.truth, self.sequence_length, self.map)


class RenderedScenes(Dataset):
    """Frames ``image`` ``(384, 640, 3)`` uint8 RGB; the truth is what ``truth`` names.

    ``mask``: ``(384, 640)`` uint8 ids of ``CLASSES``.  ``boxes``: :class:`~edgekit.core.predictions.Objects`
    around the visible pixels, labels of ``OBJECT_CLASSES``, areas in visible pixels.  ``depth``: ``(384, 640)``
    float32, metres along the optical axis, infinity where the sky is.  ``lanes``: :class:`Lanes`.  ``all``: a
    mapping with these four and ``drivable`` (uint8: 1 on road and markings), ``visibility``
    (:class:`Visibility`) and ``instances`` (``(384, 640)`` int32: row of the boxes + 1, 0 elsewhere).
    """

    def __init__(
        self,
        count: int,
        seed: int = 0,
        scenes: Scenes = "classic",
        truth: Truth = "mask",
        sequence_length: int = 1,
        changes: Mapping[str, str | None] | None = None,
    ) -> None:
        if count <= 0 or seed < 0:
            raise DataError(f"rendered scenes: count {count}, seed {seed}; count must be 1 or more, seed 0 or more")
        if sequence_length < 1:
            raise DataError(f"rendered scenes: sequence_length {sequence_length}; it must be 1 or more")
        self.count = count
        self.seed = seed
        self.scenes = scenes
        self.truth = truth
        self.changes = dict(changes or {})
        naming.check_map(self.changes, (*CLASSES, *OBJECT_CLASSES), "rendered scenes")
        self.sequence_length = sequence_length

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            MissingRequirement: Panda3D or OpenCV is not installed.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"rendered scenes: index {index} is not in 0..{self.count - 1}")
        number, step = divmod(index, self.sequence_length)
        frame = draw(self.seed, number, step, self.scenes, self.truth)
        metadata = describe(self.scenes, frame.scene, self.scenes != "classic" or self.sequence_length > 1)
        if "boxes" in frame.truths:
            metadata |= crowding(frame.truths["boxes"], frame.truths["visibility"])
        if self.sequence_length > 1:
            metadata["sequence"] = f"{self.seed:04d}-{number:05d}"
        truth = frame.truths if self.truth == "all" else frame.truths[self.truth]
        return Sample(f"{self.seed:04d}-{index:05d}", {"image": frame.image}, truth, metadata)

    made = True

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        kinds = {"mask": CLASSES, "boxes": OBJECT_CLASSES}.get(part or self.truth)
        return None if kinds is None else {i: naming.renamed(name, self.changes) for i, name in enumerate(kinds)}

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the frames."""
        text = f"rendered {VERSION} panda3d {panda3d().PandaSystem.get_version_string()} {self.seed} {self.count}"
        settings = (self.scenes, self.truth, self.sequence_length)
        if settings != ("classic", "mask", 1):
            text += f" {NEWER_VERSION} {settings}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Frame:
    """A drawn frame: RGB ``image``, its scene, and all truths or the mask alone."""

    image: NDArray[np.uint8]
    scene: Scene
    truths: dict[str, Any]


def draw(seed: int, number: int, step: int = 0, scenes: Scenes = "classic", truth: Truth = "mask") -> Frame:
    """Frame ``step`` of scene ``number``; in classic scenes, what ``truth`` does not need is not drawn."""
    with _LOCK:
        if scenes == "classic":
            return _classic(np.random.default_rng([seed, number, VERSION]), step, truth)
        rng = np.random.default_rng([seed, number, NEWER_VERSION, 1 + SCENES.index(scenes)])
        return _newer(rng, step, scenes == "hard")


def _classic(rng: np.random.Generator, step: int, truth: Truth) -> Frame:
    scene = in_view(classic.compose(rng, step / HERTZ))
    painter = renderer()
    mesh = None if truth == "mask" else mesh_of(scene)
    passes = painter.render(scene, True, mesh.corners if mesh else None)
    image, mask = camera.classic(passes, scene, rng, step)
    truths = {"mask": mask} if mesh is None else truths_of(look(scene, mesh, passes), scene, painter)
    return Frame(image, scene, truths)


def _newer(rng: np.random.Generator, step: int, hard: bool) -> Frame:
    scene = in_view(varied.compose(rng, hard, step / HERTZ))
    painter = renderer()
    mesh = mesh_of(scene)
    passes = painter.render(scene, False, mesh.corners)
    seen = look(scene, mesh, passes)
    image = camera.developed(passes, seen, scene, rng, step)
    return Frame(image, scene, truths_of(seen, scene, painter))
