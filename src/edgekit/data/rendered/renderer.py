"""Panda3D's software renderer, drawing a scene offscreen in several passes.

Besides the picture, its fog and its shadows, a pass can draw the number of the nearest triangle in
every pixel.  Numbers are written in red, green and blue with six bits each: ``k`` is drawn as
``4 * k + 2``, the middle of its bin, which survives rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import MissingRequirement
from edgekit.data.rendered import textures
from edgekit.data.rendered.canvas import Batch, Scene, View
from edgekit.data.rendered.shapes import Floats

WIDTH, HEIGHT = 640, 384
SAMPLE = 0.75
"""Where in a pixel the renderer looks, right of its left and below its upper border (measured)."""
NEAR_M, FAR_M = 0.4, 700.0
_SCALE = 2
_VERTEX = np.dtype([("point", "<f4", 3), ("colour", "u1", 4), ("uv", "<f4", 2)])


@dataclass(frozen=True)
class Passes:
    """``colour`` BGR, ``shade`` 0 or 255, both uint8; the others only when asked for.

    Without ``labels``, nothing hides the shadows: they are drawn where the ground would be.
    ``labels`` ``(H, W, 3)`` uint8 holds the class in red and the light that fog lets through in
    green; ``triangles`` ``(H, W)`` int32 the nearest triangle's number from 1, 0 for the sky.
    """

    colour: NDArray[np.uint8]
    shade: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    triangles: NDArray[np.int32] | None


def panda3d() -> Any:
    try:
        import panda3d.core as panda
    except ImportError as error:
        raise MissingRequirement("panda3d", 'pip install "edgekit[demo]"') from error
    return panda


def solid(scene: Scene) -> list[Batch]:
    """Everything but the sky, in the order in which triangles are numbered."""
    return [batch for batch in scene.batches if batch.texture != "clouds"]


def tall_deg(view: View) -> float:
    """The vertical field of view."""
    return float(np.degrees(2 * np.arctan(np.tan(np.radians(view.fov_deg) / 2) * HEIGHT / WIDTH)))


@dataclass(frozen=True)
class _Target:
    """One offscreen buffer, its scene root, camera and lens, and the texture read back."""

    buffer: Any
    root: Any
    camera: Any
    lens: Any
    frame: Any
    size: tuple[int, int]

    def read(self) -> NDArray[np.uint8]:
        width, height = self.size
        data = np.frombuffer(memoryview(self.frame.get_ram_image()), np.uint8)
        return data.reshape(height, width, -1)[::-1]


class Renderer:
    """The process's one renderer; every scene is built from nothing and dropped again."""

    def __init__(self) -> None:
        panda = panda3d()
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
        self.numbers = self._target("numbers", (WIDTH, HEIGHT), (2, 2, 2))
        self.black = self.shadows.root.attach_new_node("black")
        self.black.set_color((0, 0, 0, 1), 1)
        self.textures = {name: self._texture(pixels) for name, pixels in textures.pool().items()}

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
        lens.set_near_far(NEAR_M, FAR_M)
        camera = root.attach_new_node(panda.Camera(name, lens))
        buffer.make_display_region().set_camera(camera)
        return _Target(buffer, root, camera, lens, frame, size)

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

    def render(self, scene: Scene, labels: bool, corners: Floats | None) -> Passes:
        """The passes of one scene; triangles are numbered when their ``corners`` ``(t, 3, 3)`` are given."""
        self._look(scene.view)
        nodes: list[Any] = []
        for batch in scene.batches:
            nodes += self._batch(batch, scene, labels)
        dark = np.zeros(len(scene.shadows), _VERTEX)
        dark["point"], dark["colour"] = scene.shadows, 255
        nodes.append(self.shadows.root.attach_new_node(self._geometry(dark, scene.shadow_triangles)))
        if corners is not None:
            nodes.append(self._numbered(corners, np.arange(1, len(corners) + 1)))
        for order, node in enumerate(nodes):
            node.set_bin("fixed", order)  # Panda3D sorts by address: equal depths would be drawn in any order
        wanted = {"labels": labels, "numbers": corners is not None, "shadows": scene.weather.shadow > 0}
        for target in (self.picture, self.labels, self.shadows, self.numbers):
            target.buffer.set_active(wanted.get(target.buffer.get_name(), True))
        self.engine.render_frame()
        for node in nodes:
            node.remove_node()
        cv2 = textures.opencv()
        small = cv2.resize(self.picture.read()[::-1], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return Passes(
            small[::-1, :, :3],
            self.shadows.read()[..., 0].copy() if scene.weather.shadow > 0 else np.zeros((HEIGHT, WIDTH), np.uint8),
            self.labels.read()[..., :3].copy() if labels else None,
            self._read_numbers() if corners is not None else None,
        )

    def _batch(self, batch: Batch, scene: Scene, labels: bool) -> Iterator[Any]:
        """The nodes of one batch: in the picture, and in the passes in which it hides other things."""
        vertices = np.zeros(len(batch.points), _VERTEX)
        vertices["point"], vertices["uv"] = batch.points, batch.uv
        vertices["colour"][:, :3] = np.rint(batch.colours * 255)
        vertices["colour"][:, 3] = 255
        picture = self.picture.root.attach_new_node(self._geometry(vertices, batch.triangles))
        if batch.texture != "plain":
            picture.set_texture(self.textures[batch.texture])
        yield picture
        if batch.texture == "clouds" or not labels:
            return
        vertices["colour"][:, 0] = batch.labels * 4 + 2
        vertices["colour"][:, 1] = _clearness(batch.points, scene)
        vertices["colour"][:, 2] = 0
        label = self._geometry(vertices, batch.triangles)
        yield self.labels.root.attach_new_node(label)
        yield self.black.attach_new_node(label)

    def alone(self, view: View, groups: Sequence[tuple[Floats, NDArray[np.int64]]]) -> Iterator[NDArray[np.int32]]:
        """Maps ``(H, W)`` of numbers, one for each group of triangles ``(t, 3, 3)`` with numbers ``(t,)`` above 0.

        Nothing but the group is drawn, so nothing else hides it.
        """
        self._look(view)
        for target in (self.picture, self.labels, self.shadows, self.numbers):
            target.buffer.set_active(target is self.numbers)
        for corners, numbers in groups:
            node = self._numbered(corners, numbers)
            self.engine.render_frame()
            node.remove_node()
            yield self._read_numbers()

    def _numbered(self, corners: Floats, numbers: NDArray[np.int64]) -> Any:
        vertices = np.zeros(3 * len(corners), _VERTEX)
        vertices["point"] = corners.reshape(-1, 3)
        repeated = np.repeat(numbers, 3)
        for channel in range(3):
            vertices["colour"][:, channel] = ((repeated >> (6 * channel)) & 63) * 4 + 2
        vertices["colour"][:, 3] = 255
        triangles = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
        return self.numbers.root.attach_new_node(self._geometry(vertices, triangles))

    def _read_numbers(self) -> NDArray[np.int32]:
        bgra = self.numbers.read()[::-1].view("<i4")[::-1, :, 0]
        read: NDArray[np.int32] = (bgra >> 18 & 63) | (bgra >> 4 & 63 << 6) | (bgra << 10 & 63 << 12)
        return read

    def _look(self, view: View) -> None:
        for target in (self.picture, self.labels, self.shadows, self.numbers):
            target.lens.set_fov(view.fov_deg, tall_deg(view))
            target.camera.set_pos(view.x, view.y, view.height_m)
            target.camera.set_hpr(view.heading_deg, view.pitch_deg, view.roll_deg)


def _clearness(points: Floats, scene: Scene) -> NDArray[np.uint8]:
    far = np.hypot(points[:, 0] - scene.view.x, np.maximum(points[:, 1] - scene.view.y, 0))
    clear: NDArray[np.uint8] = np.rint(255 * np.exp(-scene.weather.fog_per_m * far)).astype(np.uint8)
    return clear


@cache
def renderer() -> Renderer:
    return Renderer()
