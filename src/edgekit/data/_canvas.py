"""Where the parts of a rendered scene are collected, placed along the road and lit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.data import _shapes as shapes
from edgekit.data._shapes import Floats, Shape

CLASSES = ("sky", "road", "lane_marking", "pavement", "building", "vegetation", "vehicle", "person", "pole")
SKY, ROAD, MARKING, PAVEMENT, BUILDING, VEGETATION, VEHICLE, PERSON, POLE = range(9)
Colour = Sequence[float] | Floats


@dataclass(frozen=True)
class Weather:
    """Light, air and lens; colours are RGB 0..1, ``sun`` is the unit vector towards the sun."""

    sun: Floats
    sun_colour: Floats
    ambient: Floats
    zenith: Floats
    horizon: Floats
    fog_per_m: float
    shadow: float
    cloud: float


@dataclass(frozen=True)
class View:
    """Where the camera is and how it looks; it looks along +y when the angles are 0."""

    x: float
    height_m: float
    heading_deg: float
    pitch_deg: float
    roll_deg: float
    fov_deg: float


@dataclass(frozen=True)
class Batch:
    """Triangles of one texture: points ``(n, 3)``, colours ``(n, 3)`` 0..1, uv ``(n, 2)``, labels ``(n,)``."""

    texture: str
    points: Floats
    colours: Floats
    uv: Floats
    labels: NDArray[np.uint8]
    triangles: NDArray[np.int32]


@dataclass(frozen=True)
class Scene:
    """``batches`` are seen; ``shadows`` ``(n, 3)`` with ``shadow_triangles`` lie on the ground."""

    batches: tuple[Batch, ...]
    shadows: Floats
    shadow_triangles: NDArray[np.int32]
    weather: Weather
    view: View


@dataclass
class Canvas:
    """Collects parts; lights them; the road's shape lives here as well."""

    rng: np.random.Generator
    weather: Weather
    curvature: float  # 1/m, positive to the right
    straight_m: float  # the arc begins this far ahead
    parts: dict[str, list[tuple[Floats, Floats, Floats, int, NDArray[np.int32]]]] = field(default_factory=dict)
    casts: list[tuple[Floats, NDArray[np.int32]]] = field(default_factory=lambda: [_nothing()])

    def ground(self, s: ArrayLike, d: ArrayLike, h: ArrayLike = 0.0) -> Floats:
        """Points ``(..., 3)`` at distance ``s``, offset ``d`` and height ``h``."""
        ahead, side = np.asarray(s, np.float64), np.asarray(d, np.float64)
        turn = self.heading(ahead)
        bent = np.maximum(ahead - self.straight_m, 0)
        half = turn / 2
        chord = bent * np.sinc(half / np.pi)
        x = chord * np.sin(half) + side * np.cos(turn)
        y = np.minimum(ahead, self.straight_m) + chord * np.cos(half) - side * np.sin(turn)
        return np.stack(np.broadcast_arrays(x, y, h), -1).astype(np.float32)

    def heading(self, s: ArrayLike) -> NDArray[np.float64]:
        """Radians to the right of +y."""
        return np.maximum(np.asarray(s, np.float64) - self.straight_m, 0) * self.curvature

    def add(
        self,
        shape: Shape,
        places: Sequence[tuple[float, float]],
        colours: Sequence[Sequence[Colour]],
        label: int,
        *,
        size: ArrayLike = ((1, 1, 1),),
        turn: ArrayLike = 0.0,
        height: ArrayLike = 0.0,
        texture: str = "plain",
        tile: float = 4.0,
        shift: ArrayLike = 0.0,
        casts: bool = True,
    ) -> None:
        """``k`` copies of a shape at (s, d) ``places``, each with its palette, size and extra turn."""
        if not places:
            return
        s, d = np.array(places, np.float64).T
        angle = self.heading(s) + np.asarray(turn, np.float64)
        c, n = np.cos(angle), np.sin(angle)
        zero, one = np.zeros_like(c), np.ones_like(c)
        rotation = np.stack([c, n, zero, -n, c, zero, zero, zero, one], -1).reshape(-1, 3, 3).astype(np.float32)
        rotation = rotation.transpose(0, 2, 1)
        scale = np.broadcast_to(np.asarray(size, np.float32), (len(s), 3))[:, None]
        local = shape.points * scale
        world = local @ rotation + self.ground(s, d, height)[:, None]
        normals = shape.normals / scale
        normals = (normals / np.linalg.norm(normals, axis=2, keepdims=True)) @ rotation
        palette = np.asarray(colours, np.float32)
        uv = (_box_map(local, shape.normals) + np.asarray(shift, np.float32).reshape(-1, 1, 1)) / tile
        self.put(
            world.reshape(-1, 3),
            normals.reshape(-1, 3),
            np.broadcast_to(palette, (len(s), *palette.shape[1:]))[:, shape.slots].reshape(-1, 3),
            uv.reshape(-1, 2),
            label,
            (shape.triangles + np.arange(len(s), dtype=np.int32)[:, None, None] * len(shape.points)).reshape(-1, 3),
            texture,
            casts,
        )

    def put(
        self,
        points: Floats,
        normals: Floats,
        colours: Floats,
        uv: Floats,
        label: int,
        triangles: NDArray[np.int32],
        texture: str = "plain",
        casts: bool = False,
    ) -> None:
        """Light world-space vertices and keep them."""
        w = self.weather
        sunny = np.maximum(normals @ w.sun, 0)[:, None] * w.sun_colour
        light = w.ambient * (0.72 + 0.28 * normals[:, 2:]) + sunny
        lit = np.clip(colours * light, 0, 1).astype(np.float32)
        self.parts.setdefault(texture, []).append((points, lit, uv.astype(np.float32), label, triangles))
        if casts:
            drop = points - points[:, 2:] * (w.sun / max(float(w.sun[2]), 0.25))
            drop[:, 2] = 0.0
            self.casts.append((drop, triangles))

    def patch(self, s: ArrayLike, d: ArrayLike, h: ArrayLike, colour: Colour, label: int, texture: str) -> None:
        """Ground quadrilaterals: corners' ``s``, ``d`` and ``h`` are ``(q, 4)``, one colour or ``(q, 3)``."""
        corners = self.ground(s, d, h)
        quads = shapes.from_quads(corners.reshape(-1, 4, 3))
        count = len(quads.points) // 4
        tint = np.repeat(np.broadcast_to(np.asarray(colour, np.float32), (count, 3)), 4, axis=0)
        flat = np.stack(np.broadcast_arrays(d, s), -1).reshape(-1, 2) / 4.0
        normals = quads.normals * np.sign(quads.normals[:, 2:] + 1e-6)
        self.put(quads.points, normals, tint, flat, label, quads.triangles, texture)

    def finish(self, view: View) -> Scene:
        batches = []
        for texture, parts in self.parts.items():
            starts = np.cumsum([0, *(len(p[0]) for p in parts[:-1])], dtype=np.int32)
            labels = [np.full(len(p[0]), p[3], np.uint8) for p in parts]
            triangles = np.concatenate([p[4] + start for p, start in zip(parts, starts, strict=True)])
            points, colours, uv = (np.concatenate([p[i] for p in parts]) for i in range(3))
            batches.append(Batch(texture, points, colours, uv, np.concatenate(labels), triangles))
        starts = np.cumsum([0, *(len(p) for p, _ in self.casts[:-1])], dtype=np.int32)
        dark = np.concatenate([t + start for (_, t), start in zip(self.casts, starts, strict=True)])
        return Scene(tuple(batches), np.concatenate([p for p, _ in self.casts]), dark, self.weather, view)


def _nothing() -> tuple[Floats, NDArray[np.int32]]:
    """A triangle without area: a scene in which nothing casts a shadow is drawn like the others."""
    return np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)


def _box_map(points: Floats, normals: Floats) -> Floats:
    """Texture coordinates in metres: seen from the side that a vertex faces most, ``(k, n, 2)``."""
    facing = np.abs(normals)
    x, y, z = np.moveaxis(points, -1, 0)
    flat = facing[:, 2] > 0.75
    along = np.where(~flat & (facing[:, 0] > facing[:, 1]), y, x)
    return np.stack([along, np.where(flat, y, z)], -1)
