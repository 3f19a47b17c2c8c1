"""Where the parts of a rendered scene are collected, placed along the road and lit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.data.rendered import shapes
from edgekit.data.rendered.shapes import Floats, Shape

CLASSES = ("sky", "road", "lane_marking", "pavement", "building", "vegetation", "vehicle", "person", "pole")
SKY, ROAD, MARKING, PAVEMENT, BUILDING, VEGETATION, VEHICLE, PERSON, POLE = range(9)
Colour = Sequence[float] | Floats
SHADOW_M = 0.14
"""How high shadows lie, just above the pavements."""

OBJECT_CLASSES = ("vehicle", "person", "cyclist", "sign", "traffic_light")
CAR, WALKER, CYCLIST, SIGN, LIGHT = range(5)
OBJECT_MASKS = (VEHICLE, PERSON, PERSON, POLE, POLE)
_OBJECT_OF = {VEHICLE: CAR, PERSON: WALKER}


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
    overcast: bool = False


@dataclass(frozen=True)
class View:
    """Where the camera is and how it looks; it looks along +y when the angles are 0.

    ``y`` is how far along +y it is, ``ahead_m`` how far along the road, ``side_m`` how far right of its middle.
    """

    x: float
    height_m: float
    heading_deg: float
    pitch_deg: float
    roll_deg: float
    fov_deg: float
    y: float = 0.0
    speed_mps: float = 0.0
    ahead_m: float = 0.0
    side_m: float = 0.0


@dataclass(frozen=True)
class Line:
    """A boundary of lanes at offset ``d`` along the whole road; ``kind`` is dashed, solid, double or kerb."""

    d: float
    kind: str


@dataclass(frozen=True)
class Odd:
    """The conditions of a scene in the words of the metadata, and what only some scene sets have."""

    place: str
    light: str = "day"
    rain: bool = False
    lamps: Floats = field(default_factory=lambda: np.zeros((0, 3), np.float32))


@dataclass(frozen=True)
class Part:
    """Lit vertices; ``ids`` ``(n,)`` are the object each belongs to (0: none), ``glow`` ``(n, 3)`` its own light."""

    points: Floats
    colours: Floats
    uv: Floats
    label: int
    triangles: NDArray[np.int32]
    ids: NDArray[np.int32]
    glow: Floats


def part(points: Floats, colours: Floats, uv: Floats, label: int, triangles: NDArray[np.int32]) -> Part:
    """A part of no object that does not shine."""
    return Part(points, colours, uv, label, triangles, np.zeros(len(points), np.int32), np.zeros_like(points))


@dataclass(frozen=True)
class Batch:
    """Triangles of one texture: points ``(n, 3)``, colours ``(n, 3)`` 0..1, uv ``(n, 2)``, labels ``(n,)``.

    ``ids`` ``(n,)`` and ``glow`` ``(n, 3)`` as in :class:`Part`.
    """

    texture: str
    points: Floats
    colours: Floats
    uv: Floats
    labels: NDArray[np.uint8]
    triangles: NDArray[np.int32]
    ids: NDArray[np.int32]
    glow: Floats


@dataclass(frozen=True)
class Scene:
    """``batches`` are seen; ``shadows`` ``(n, 3)`` with ``shadow_triangles`` lie on the ground.

    ``objects`` are the classes (of ``OBJECT_CLASSES``) of the ids 1, 2, ...; ``lanes`` the polylines
    ``(k, 3)`` of ``lines`` on the road, from behind the camera to far ahead.
    """

    batches: tuple[Batch, ...]
    shadows: Floats
    shadow_triangles: NDArray[np.int32]
    weather: Weather
    view: View
    objects: NDArray[np.int64]
    lines: tuple[Line, ...]
    lanes: tuple[Floats, ...]
    odd: Odd


@dataclass
class Canvas:
    """Collects parts; lights them; the road's shape lives here as well.

    ``pace`` draws speeds: it is apart from ``rng``, so that a scene does not depend on its motion.
    """

    rng: np.random.Generator
    weather: Weather
    curvature: float  # 1/m, positive to the right
    straight_m: float  # the arc begins this far ahead
    pace: np.random.Generator
    time_s: float = 0.0
    speeds: Floats = field(default_factory=lambda: np.zeros((2, 2)))  # m/s of a lane, with and against the camera's way
    parts: dict[str, list[Part]] = field(default_factory=dict)
    objects: list[int] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    fronts: list[tuple[float, float, float, float]] = field(default_factory=list)  # s, d, width, height
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
        velocity: ArrayLike = (0.0, 0.0),
        kind: int | None = None,
        first_slot: int = 0,
        glow: Mapping[int, Colour] | None = None,
    ) -> None:
        """``k`` copies of a shape at (s, d) ``places``, each with its palette, size and extra turn.

        They move with ``velocity`` (along s, along d) in m/s.  Each is an object of class ``kind``, by
        default the one that ``label`` stands for; the vertices of slots before ``first_slot`` (a sign's
        pole) do not belong to it.  ``glow`` is the light that a slot gives by itself.
        """
        if not places:
            return
        s, d = np.array(places, np.float64).T
        if self.time_s:
            along, aside = np.moveaxis(np.broadcast_to(np.asarray(velocity, np.float64), (len(s), 2)), -1, 0)
            s, d = s + along * self.time_s, d + aside * self.time_s
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
        if texture == "plain":
            uv = np.zeros((*local.shape[:2], 2), np.float32)
        else:
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
            self._ids(len(s), shape, _OBJECT_OF.get(label) if kind is None else kind, first_slot),
            _shine(shape, glow, len(s)),
        )

    def _ids(self, count: int, shape: Shape, kind: int | None, first_slot: int) -> NDArray[np.int32]:
        if kind is None:
            return np.zeros(count * len(shape.points), np.int32)
        ids = np.arange(len(self.objects) + 1, len(self.objects) + 1 + count, dtype=np.int32)
        self.objects += [kind] * count
        return (ids[:, None] * (shape.slots >= first_slot)).reshape(-1).astype(np.int32)

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
        ids: NDArray[np.int32] | None = None,
        glow: Floats | None = None,
    ) -> None:
        """Light world-space vertices and keep them."""
        w = self.weather
        sunny = np.maximum(normals @ w.sun, 0)[:, None] * w.sun_colour
        light = w.ambient * (0.72 + 0.28 * normals[:, 2:]) + sunny
        lit = np.clip(colours * light, 0, 1).astype(np.float32)
        plain = part(points, lit, uv.astype(np.float32), label, triangles)
        if ids is not None and glow is not None:
            plain = replace(plain, ids=ids, glow=glow)
        self.parts.setdefault(texture, []).append(plain)
        if casts and w.shadow:
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

    def finish(self, view: View, odd: Odd) -> Scene:
        batches = []
        for texture, parts in self.parts.items():
            starts = np.cumsum([0, *(len(p.points) for p in parts[:-1])], dtype=np.int32)
            batches.append(
                Batch(
                    texture,
                    np.concatenate([p.points for p in parts]),
                    np.concatenate([p.colours for p in parts]),
                    np.concatenate([p.uv for p in parts]),
                    np.concatenate([np.full(len(p.points), p.label, np.uint8) for p in parts]),
                    np.concatenate([p.triangles + start for p, start in zip(parts, starts, strict=True)]),
                    np.concatenate([p.ids for p in parts]),
                    np.concatenate([p.glow for p in parts]),
                )
            )
        starts = np.cumsum([0, *(len(p) for p, _ in self.casts[:-1])], dtype=np.int32)
        dark = np.concatenate([t + start for (_, t), start in zip(self.casts, starts, strict=True)])
        drop = np.concatenate([p for p, _ in self.casts]) + np.array([0, 0, SHADOW_M], np.float32)
        lines = tuple(sorted(self.lines, key=lambda line: line.d))
        ahead = view.ahead_m + np.concatenate([np.arange(0, 30, 0.5), np.arange(30, 120.5, 1.5)])
        return Scene(
            tuple(batches),
            drop,
            dark,
            self.weather,
            view,
            np.array(self.objects, np.int64),
            lines,
            tuple(self.ground(ahead, line.d) for line in lines),
            odd,
        )


def _shine(shape: Shape, glow: Mapping[int, Colour] | None, copies: int) -> Floats:
    light = np.zeros((copies, len(shape.points), 3), np.float32)
    for slot, colour in (glow or {}).items():
        light[:, shape.slots == slot] = colour
    return light.reshape(-1, 3)


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
