"""Rendered driving scenes with pixel-exact masks: a data set that needs no download.

Panda3D's software renderer draws every scene offscreen, so the frames are the same
on a laptop, in CI and on a machine with no display.  Three passes draw one frame:
the picture at twice the size (averaged down), the labels with the share of light
that fog lets through, and the shadows on the ground.  Fog, shadows and the camera's
exposure, blur and noise are then applied in NumPy.

The same ``(seed, index)`` gives the same bytes, whatever was drawn before.  A label
``k`` is drawn as the red value ``4 * k + 2``: the middle of its bin survives rounding.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekit.core.errors import DataError, MissingRequirement
from edgekit.data import DataConfig, Dataset, Sample, _canvas, _scenes, _streets
from edgekit.data._canvas import Scene

CLASSES: tuple[str, ...] = _canvas.CLASSES
WIDTH, HEIGHT = 640, 384
VERSION = 1  # raise it whenever a frame changes: fingerprints must change too
_SCALE = 2
_GRAIN_SHIFTS = 1 << 18
_GROUND = (_canvas.ROAD, _canvas.MARKING, _canvas.PAVEMENT, _canvas.VEGETATION)
_VERTEX = np.dtype([("point", "<f4", 3), ("colour", "u1", 4), ("uv", "<f4", 2)])
_LOCK = threading.Lock()


class Config(DataConfig):
    """``count`` frames; another ``seed`` gives other scenes."""

    format: Literal["rendered"] = "rendered"
    count: int = Field(gt=0)
    seed: int = Field(default=0, ge=0)

    def open(self) -> RenderedScenes:
        return RenderedScenes(self.count, self.seed)


class RenderedScenes(Dataset):
    """Frames ``image`` ``(384, 640, 3)`` uint8 RGB, truth ``(384, 640)`` uint8 ids of ``CLASSES``."""

    def __init__(self, count: int, seed: int = 0) -> None:
        if count <= 0 or seed < 0:
            raise DataError(f"rendered scenes: count {count}, seed {seed}; count must be 1 or more, seed 0 or more")
        self.count = count
        self.seed = seed

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
        image, mask = draw(self.seed, index)
        return Sample(id=f"{self.seed:04d}-{index:05d}", images={"image": image}, truth=mask)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the frames."""
        text = f"rendered {VERSION} panda3d {_panda().PandaSystem.get_version_string()} {self.seed} {self.count}"
        return hashlib.sha256(text.encode()).hexdigest()


def draw(seed: int, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image ``(384, 640, 3)`` uint8 RGB and mask ``(384, 640)`` uint8 of one scene."""
    rng = np.random.default_rng([seed, index, VERSION])
    scene = _scenes.compose(rng)
    with _LOCK:
        colour, labels, shade = _renderer().render(scene)
    mask = (labels[..., 2] >> 2).astype(np.uint8)
    return _develop(colour, mask, labels[..., 1], shade, scene, rng), mask


def _panda() -> Any:
    try:
        import panda3d.core as panda
    except ImportError as error:
        raise MissingRequirement("panda3d", 'pip install "edgekit[demo]"') from error
    return panda


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingRequirement("opencv", 'pip install "edgekit[demo]"') from error
    return cv2


def _develop(
    colour: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    clear: NDArray[np.uint8],
    shade: NDArray[np.uint8],
    scene: Scene,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Shadows, fog, then what a camera does: exposure, colour cast, contrast, vignette, blur, noise."""
    cv2 = _cv2()
    weather = scene.weather
    pixels = colour.astype(np.float32)
    lit = np.isin(np.arange(256), _GROUND).astype(np.float32) * weather.shadow / 255
    dark = cv2.GaussianBlur(shade, (0, 0), 1.2) * lit[mask]
    seen = clear.astype(np.float32) / 255
    fog = np.float32(255) * weather.horizon[::-1]
    exposure = rng.uniform(0.85, 1.25) * rng.uniform(0.94, 1.06, 3)
    contrast = rng.uniform(0.85, 1.2)
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32) ** 2
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None] ** 2
    seen = seen[..., None]
    pixels = (pixels * (1 - dark[..., None])) * seen + fog * (1 - seen)
    pixels = pixels * (exposure * contrast).astype(np.float32) + np.float32(110 * (1 - contrast))
    pixels *= (1 - np.float32(rng.uniform(0, 0.14)) * (across + down))[..., None]
    blur = rng.uniform(0, 0.85)
    if blur > 0.3:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    start = int(rng.integers(_GRAIN_SHIFTS))
    noise = _grain()[start : start + HEIGHT * WIDTH * 3].reshape(HEIGHT, WIDTH, 3)
    pixels += noise * np.float32(rng.uniform(1.0, 6.0))
    return np.ascontiguousarray(np.clip(pixels[..., ::-1], 0, 255).astype(np.uint8))


@cache
def _grain() -> NDArray[np.float32]:
    """Normal noise; every frame reads it from another place (drawing it anew costs 7 ms)."""
    return np.random.default_rng(21).standard_normal(HEIGHT * WIDTH * 3 + _GRAIN_SHIFTS, dtype=np.float32)


@dataclass(frozen=True)
class _Target:
    """One offscreen buffer, its scene root, camera and lens, and the texture read back."""

    root: Any
    camera: Any
    lens: Any
    frame: Any
    size: tuple[int, int]

    def read(self) -> NDArray[np.uint8]:
        width, height = self.size
        data = np.frombuffer(memoryview(self.frame.get_ram_image()), np.uint8)
        return data.reshape(height, width, -1)


class _Renderer:
    """The process's one renderer; every scene is built from nothing and dropped again."""

    def __init__(self) -> None:
        panda = _panda()
        settings = "load-display p3tinydisplay\naux-display\naudio-library-name null\nnotify-level-display fatal\n"
        panda.load_prc_file_data("edgekit", settings)
        self.panda = panda
        self.engine = panda.GraphicsEngine()
        self.pipe = panda.GraphicsPipeSelection.get_global_ptr().make_module_pipe("p3tinydisplay")
        if self.pipe is None:
            raise MissingRequirement("panda3d's p3tinydisplay renderer", 'pip install "edgekit[demo]"')
        self.picture = self._target("picture", (WIDTH * _SCALE, HEIGHT * _SCALE), (0, 0, 0))
        self.labels = self._target("labels", (WIDTH, HEIGHT), (2, 255, 0))
        self.shadows = self._target("shadows", (WIDTH, HEIGHT), (0, 0, 0))
        self.black = self.shadows.root.attach_new_node("black")
        self.black.set_color((0, 0, 0, 1), 1)
        self.textures = {name: self._texture(pixels) for name, pixels in _pool().items()}

    def _target(self, name: str, size: tuple[int, int], clear: tuple[int, int, int]) -> _Target:
        panda = self.panda
        properties = panda.FrameBufferProperties()
        properties.set_rgba_bits(8, 8, 8, 8)
        properties.set_depth_bits(24)
        window = panda.WindowProperties.size(*size)
        buffer = self.engine.make_output(self.pipe, name, 0, properties, window, panda.GraphicsPipe.BF_refuse_window)
        buffer.set_clear_color((*(c / 255 for c in clear), 1))
        frame = panda.Texture(name)
        buffer.add_render_texture(frame, panda.GraphicsOutput.RTM_copy_ram)
        root = panda.NodePath(name)
        root.set_two_sided(True)
        lens = panda.PerspectiveLens()
        lens.set_near_far(0.4, 700)
        camera = root.attach_new_node(panda.Camera(name, lens))
        buffer.make_display_region().set_camera(camera)
        return _Target(root, camera, lens, frame, size)

    def _texture(self, pixels: NDArray[np.uint8]) -> Any:
        panda = self.panda
        texture = panda.Texture()
        height, width = pixels.shape[:2]
        texture.setup_2d_texture(width, height, panda.Texture.T_unsigned_byte, panda.Texture.F_rgb)
        texture.set_ram_image(np.ascontiguousarray(pixels[..., ::-1]).tobytes())
        texture.set_minfilter(panda.SamplerState.FT_linear_mipmap_linear)
        texture.set_magfilter(panda.SamplerState.FT_linear)
        return texture

    def _geometry(self, vertices: NDArray[np.void], triangles: NDArray[np.int32]) -> Any:
        panda = self.panda
        data = panda.GeomVertexData("", panda.GeomVertexFormat.get_v3c4t2(), panda.Geom.UH_static)
        data.unclean_set_num_rows(len(vertices))
        data.modify_array_handle(0).copy_data_from(vertices.tobytes())
        primitive = panda.GeomTriangles(panda.Geom.UH_static)
        primitive.set_index_type(panda.Geom.NT_uint32)
        array = primitive.modify_vertices()
        array.unclean_set_num_rows(triangles.size)
        array.modify_handle().copy_data_from(triangles.astype(np.uint32).tobytes())
        geometry = panda.Geom(data)
        geometry.add_primitive(primitive)
        node = panda.GeomNode("")
        node.add_geom(geometry)
        return node

    def render(self, scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """BGR picture, labels (red) with clearness (green), shadows ``(H, W)`` 0 or 255."""
        self._look(scene)
        nodes: list[Any] = []
        for batch in scene.batches:
            vertices = np.zeros(len(batch.points), _VERTEX)
            vertices["point"], vertices["uv"] = batch.points, batch.uv
            vertices["colour"][:, :3] = np.rint(batch.colours * 255)
            vertices["colour"][:, 3] = 255
            picture = self.picture.root.attach_new_node(self._geometry(vertices, batch.triangles))
            if batch.texture != "plain":
                picture.set_texture(self.textures[batch.texture])
            nodes.append(picture)
            if batch.texture == "clouds":
                continue
            vertices["colour"][:, 0] = batch.labels * 4 + 2
            vertices["colour"][:, 1] = self._clearness(batch.points, scene)
            vertices["colour"][:, 2] = 0
            label = self._geometry(vertices, batch.triangles)
            nodes.append(self.labels.root.attach_new_node(label))
            nodes.append(self.black.attach_new_node(label))
        dark = np.zeros(len(scene.shadows), _VERTEX)
        dark["point"], dark["colour"] = scene.shadows + np.array([0, 0, 0.14], np.float32), 255
        nodes.append(self.shadows.root.attach_new_node(self._geometry(dark, scene.shadow_triangles)))
        for order, node in enumerate(nodes):
            node.set_bin("fixed", order)  # Panda3D sorts by address: equal depths would be drawn in any order
        self.engine.render_frame()
        for node in nodes:
            node.remove_node()
        small = _cv2().resize(self.picture.read(), (WIDTH, HEIGHT), interpolation=_cv2().INTER_AREA)
        labels, shadows = self.labels.read(), self.shadows.read()
        return small[::-1, :, :3], labels[::-1, :, :3].copy(), shadows[::-1, :, 0].copy()

    def _look(self, scene: Scene) -> None:
        view = scene.view
        tall = np.degrees(2 * np.arctan(np.tan(np.radians(view.fov_deg) / 2) * HEIGHT / WIDTH))
        for target in (self.picture, self.labels, self.shadows):
            target.lens.set_fov(view.fov_deg, float(tall))
            target.camera.set_pos(view.x, 0, view.height_m)
            target.camera.set_hpr(view.heading_deg, view.pitch_deg, view.roll_deg)

    @staticmethod
    def _clearness(points: NDArray[np.float32], scene: Scene) -> NDArray[np.uint8]:
        far = np.hypot(points[:, 0] - scene.view.x, np.maximum(points[:, 1], 0))
        clear: NDArray[np.uint8] = np.rint(255 * np.exp(-scene.weather.fog_per_m * far)).astype(np.uint8)
        return clear


@cache
def _renderer() -> _Renderer:
    return _Renderer()


def _noise(rng: np.random.Generator, size: int, octaves: tuple[int, ...]) -> NDArray[np.float32]:
    """Tileable noise ``(size, size)`` about 0, one octave for each grid size."""
    cv2 = _cv2()
    total = np.zeros((size, size), np.float32)
    for grid in octaves:
        coarse = np.pad(rng.uniform(-1, 1, (grid, grid)).astype(np.float32), 2, mode="wrap")
        step = size // grid
        fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
        total += fine[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return (total / len(octaves)).astype(np.float32)


def _pool() -> dict[str, NDArray[np.uint8]]:
    """Tileable RGB textures; the mean is bright because vertex colours are multiplied in."""
    rng = np.random.default_rng(20)
    maps = {
        "asphalt": 0.88 + 0.16 * _noise(rng, 128, (4, 32, 128)),
        "worn": 0.9 + 0.22 * _noise(rng, 128, (8, 64)),
        "paving": 0.9 + 0.12 * _noise(rng, 128, (8, 128)),
        "grass": 0.82 + 0.4 * _noise(rng, 128, (8, 32, 128)),
        "leaves": 0.74 + 0.62 * _noise(rng, 128, (8, 16, 64)),
        "tiles": 0.86 + 0.14 * _noise(rng, 128, (16, 128)),
        "clouds": 0.97 + 0.05 * _noise(rng, 128, (2, 4, 16)),
    }
    maps["paving"][::32] *= 0.78
    maps["paving"][:, ::32] *= 0.78
    maps["tiles"][::8] *= 0.72
    pool = {name: np.repeat(grey[..., None], 3, axis=2) for name, grey in maps.items()}
    for i in range(_streets.FACADES):
        pool[f"facade{i}"] = _facade(rng, i)
    pool["shop"] = _facade(rng, -1)
    return {name: np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8) for name, rgb in pool.items()}


def _facade(rng: np.random.Generator, style: int) -> NDArray[np.float32]:
    """Four bays by four floors of windows ``(256, 256, 3)``; ``style`` -1 is a row of shops."""
    wall = np.repeat((0.92 + 0.1 * _noise(rng, 256, (8, 128)))[..., None], 3, axis=2)
    if style in (1, 5):
        wall[::4] *= 0.86  # brick courses
    wide, tall = (26, 36) if style >= 0 else (58, 44)
    if style >= 0:
        wide, tall = int(rng.integers(20, 48)), int(rng.integers(28, 44))
        if style in (3, 6):
            wide = 64  # ribbon windows
    for row in range(4):
        for column in range(4):
            top, left = row * 64 + (64 - tall) // 2, column * 64 + (64 - wide) // 2
            glass = rng.uniform(0.12, 0.5) * np.array([0.85, 0.97, 1.15])
            if rng.random() < 0.12:
                glass = np.array([0.85, 0.75, 0.5])
            wall[top - 3 : top + tall + 3, max(left - 2, 0) : left + wide + 2] *= rng.uniform(0.95, 1.15)
            pane = np.linspace(1.15, 0.8, tall)[:, None, None] * glass
            wall[top : top + tall, left : left + wide] = pane
            wall[top : top + tall, left + wide // 2 - 1 : left + wide // 2 + 1] = 0.8
        if style in (2, 4):
            wall[row * 64 + 60 : row * 64 + 64] *= 0.7  # ledges
    return wall.astype(np.float32)
