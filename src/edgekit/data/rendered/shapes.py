"""Meshes of the rendered driving scenes: boxes, lofts, cars, people, trees, signs.

Units are metres; x points right, y ahead, z up; a shape stands on z = 0 at its
origin and looks along +y.  Every vertex carries a *slot*, the index of its colour
in the palette that an instance brings (paint, glass, tyre ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int32]

# Slots of a vehicle and of a person.
PAINT, GLASS, TYRE, HEADLIGHT, TAILLIGHT, TRIM = range(6)
SHIRT, TROUSERS, SKIN, HAIR, SHOES = range(5)


@dataclass(frozen=True)
class Shape:
    """points and normals ``(n, 3)`` float32, slots ``(n,)`` and triangles ``(m, 3)`` int32."""

    points: Floats
    normals: Floats
    slots: Ints
    triangles: Ints

    def __post_init__(self) -> None:
        n = len(self.points)
        if self.points.shape != (n, 3) or self.normals.shape != (n, 3) or self.slots.shape != (n,):
            raise ValueError(f"points {self.points.shape}, normals {self.normals.shape}, slots {self.slots.shape}")

    def moved(self, offset: ArrayLike = (0, 0, 0), scale: ArrayLike = (1, 1, 1), roll: float = 0) -> Shape:
        """Scaled, then turned by ``roll`` radians about x, then moved."""
        c, s = np.cos(roll), np.sin(roll)
        turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]], np.float32)
        size = np.asarray(scale, np.float32)
        normals = self.normals / size
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        points = (self.points * size) @ turn + np.asarray(offset, np.float32)
        return Shape(points.astype(np.float32), (normals @ turn).astype(np.float32), self.slots, self.triangles)

    def painted(self, slot: int) -> Shape:
        return Shape(self.points, self.normals, np.full_like(self.slots, slot), self.triangles)


def merged(*shapes: Shape) -> Shape:
    starts = np.cumsum([0, *(len(s.points) for s in shapes[:-1])])
    return Shape(
        np.concatenate([s.points for s in shapes]),
        np.concatenate([s.normals for s in shapes]),
        np.concatenate([s.slots for s in shapes]),
        np.concatenate([s.triangles + start for s, start in zip(shapes, starts, strict=True)]).astype(np.int32),
    )


def from_quads(quads: Floats, slots: int | Sequence[int] = 0) -> Shape:
    """Flat-shaded quadrilaterals ``(q, 4, 3)``; the normal looks to where the corners turn left."""
    corners = np.asarray(quads, np.float32)
    count = len(corners)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    index = np.arange(count)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])
    return Shape(
        corners.reshape(-1, 3),
        np.repeat(normals, 4, axis=0).astype(np.float32),
        np.repeat(np.broadcast_to(np.asarray(slots, np.int32), (count,)), 4),
        index.reshape(-1, 3).astype(np.int32),
    )


def frustum(bottom: Sequence[float], top: Sequence[float], slots: Sequence[int] = (0, 0, 0, 0, 0, 0)) -> Shape:
    """A box whose ends differ: each end is (x0, x1, y0, y1, z); slots: front, back, right, left, top, bottom."""
    ends = []
    for x0, x1, y0, y1, z in (bottom, top):
        ends.append([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])
    (a, b, c, d), (e, f, g, h) = ends
    quads = [(c, d, h, g), (a, b, f, e), (b, c, g, f), (d, a, e, h), (e, f, g, h), (d, c, b, a)]
    return from_quads(np.array(quads, np.float32), slots)


def box(width: float = 1, length: float = 1, height: float = 1, z: float = 0, y: float = 0, slot: int = 0) -> Shape:
    """Centred on x = 0 and on ``y``, standing on ``z``."""
    plan = (-width / 2, width / 2, y - length / 2, y + length / 2)
    return frustum((*plan, z), (*plan, z + height), (slot,) * 6)


def cylinder(radius: float, height: float, sides: int = 6, top: float = 1.0, slot: int = 0) -> Shape:
    """Upright; ``top`` is the upper radius over the lower one.  Side normals are smooth."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(sides)], 1)
    low, high = ring * radius, ring * radius * top + (0, 0, height)
    points = np.concatenate([low, high, high, [(0, 0, height)]])
    normals = np.concatenate([ring, ring, np.tile((0.0, 0.0, 1.0), (sides + 1, 1))])
    i = np.arange(sides)
    j = (i + 1) % sides
    cap = np.full(sides, 3 * sides)
    faces = [np.stack([i, j, j + sides], 1), np.stack([i, j + sides, i + sides], 1)]
    faces.append(np.stack([i + 2 * sides, j + 2 * sides, cap], 1))
    slots = np.full(len(points), slot, np.int32)
    return Shape(points.astype(np.float32), normals.astype(np.float32), slots, np.concatenate(faces).astype(np.int32))


def ball(divisions: int = 1, roughness: float = 0.0, seed: int = 0, slot: int = 0) -> Shape:
    """An icosphere of radius 1 whose vertices are pushed in or out by up to ``roughness``."""
    g = (1 + 5**0.5) / 2
    base = [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g)]
    points = [np.array(p) / np.hypot(1, g) for p in [*base, (0, -1, -g), (0, 1, -g), (g, 0, -1), (g, 0, 1)]]
    points += [np.array(p) / np.hypot(1, g) for p in [(-g, 0, -1), (-g, 0, 1)]]
    faces = [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6)]
    faces += [(7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10)]
    faces += [(8, 6, 7), (9, 8, 1)]
    for _ in range(divisions):
        middle: dict[tuple[int, int], int] = {}
        finer = []
        for a, b, c in faces:
            cut = []
            for i, j in ((a, b), (b, c), (c, a)):
                edge = (min(i, j), max(i, j))
                if edge not in middle:
                    middle[edge] = len(points)
                    points.append((points[i] + points[j]) / np.linalg.norm(points[i] + points[j]))
                cut.append(middle[edge])
            finer += [(a, cut[0], cut[2]), (b, cut[1], cut[0]), (c, cut[2], cut[1]), (cut[0], cut[1], cut[2])]
        faces = finer
    unit = np.array(points, np.float32)
    push = 1 + roughness * np.random.default_rng([seed, 7]).uniform(-1, 1, (len(unit), 1)).astype(np.float32)
    return Shape(unit * push, unit, np.full(len(unit), slot, np.int32), np.array(faces, np.int32))


def wheels(radius: float, track: float, axles: Sequence[float]) -> list[Shape]:
    """A pair on every axle (y), ``track`` metres apart at their outer sides."""
    tyre = cylinder(radius, 0.24, 10, slot=TYRE)
    hub = cylinder(radius * 0.55, 0.26, 6, slot=TRIM)
    side = merged(tyre, hub)
    lying = Shape(side.points[:, [2, 1, 0]], side.normals[:, [2, 1, 0]], side.slots, side.triangles)
    mirrored = lying.moved(scale=(-1, 1, 1))
    return [
        wheel.moved((sign * (track / 2 - 0.24), y, radius))
        for y in axles
        for sign, wheel in ((1, lying), (-1, mirrored))
    ]


def lights(half: float, front: float, back: float, z: float, plate: int = HEADLIGHT) -> list[Shape]:
    """Head and tail lights, number plates and bumpers of a vehicle ``2 * half`` metres wide."""
    parts = []
    for x in (-half + 0.2, half - 0.2):
        parts.append(box(0.32, 0.08, 0.16, z, front, HEADLIGHT).moved((x, 0, 0)))
        parts.append(box(0.26, 0.08, 0.2, z + 0.08, back, TAILLIGHT).moved((x, 0, 0)))
    parts.append(box(0.5, 0.06, 0.12, z - 0.18, front, plate))
    parts.append(box(0.5, 0.06, 0.12, z - 0.12, back, plate))
    parts.append(box(2 * half - 0.1, 0.12, 0.18, z - 0.36, front - 0.03, TRIM))
    parts.append(box(2 * half - 0.1, 0.12, 0.18, z - 0.36, back + 0.03, TRIM))
    return parts


def car(
    length: float, roof: float, cabin: tuple[float, float, float, float], hood: float, plate: int = HEADLIGHT
) -> Shape:
    """``cabin``: y of rear foot, rear roof, front roof, front foot."""
    half, front = 0.89, length / 2
    rear_foot, rear_roof, front_roof, front_foot = cabin
    glass = (GLASS, GLASS, GLASS, GLASS, PAINT, TRIM)
    parts = [
        frustum((-half, half, -front, front, 0.28), (-half, half, -front - 0.03, front, 0.62)),
        frustum((-half, half, -front, front, 0.62), (-half + 0.06, half - 0.06, -front + 0.08, front - 0.25, hood)),
        frustum(
            (-half + 0.08, half - 0.08, rear_foot, front_foot, hood - 0.02),
            (-0.64, 0.64, rear_roof, front_roof, roof),
            glass,
        ),
        box(1.3, front_roof - rear_roof, 0.05, roof, (front_roof + rear_roof) / 2, PAINT),
        *wheels(0.33, 2 * half + 0.02, (-length * 0.29, length * 0.31)),
        *lights(half, front + 0.01, -front - 0.01, 0.62, plate),
    ]
    middle = (rear_foot + front_foot) / 2
    for x in (-1, 1):
        parts.append(box(0.18, 0.1, 0.14, hood + 0.02, front_foot - 0.3, PAINT).moved((x * (half + 0.06), 0, 0)))
        low, high = (x * 0.83 - 0.02, x * 0.83 + 0.02), (x * 0.66 - 0.02, x * 0.66 + 0.02)
        plan = (middle - 0.05, middle + 0.05)
        parts.append(frustum((*low, *plan, hood - 0.02), (*high, *plan, roof)))
    return merged(*parts)


def _van() -> Shape:
    half = 0.98
    return merged(
        frustum((-half, half, -2.6, 2.6, 0.32), (-half, half, -2.6, 2.5, 1.15)),
        frustum((-half, half, -2.6, 1.45, 1.15), (-half + 0.1, half - 0.1, -2.55, 1.3, 2.3)),
        frustum((-half + 0.02, half - 0.02, 1.45, 2.4, 1.15), (-0.85, 0.85, 1.3, 1.55, 2.2), (1, 1, 1, 1, 0, 0)),
        box(1.4, 0.05, 0.6, 1.45, -2.6, GLASS),
        *wheels(0.36, 2 * half + 0.02, (-1.6, 1.7)),
        *lights(half, 2.62, -2.62, 0.75),
    )


def _truck() -> Shape:
    half = 1.22
    return merged(
        box(2.4, 1.9, 2.3, 0.6, 3.0, PAINT),
        box(2.2, 0.06, 0.85, 1.75, 3.97, GLASS),
        box(2.44, 0.9, 0.7, 1.8, 3.2, GLASS),
        box(2 * half, 6.0, 2.6, 1.0, -1.0, HEADLIGHT),
        box(1.0, 7.4, 0.4, 0.6, 0.0, TRIM),
        box(2.3, 0.1, 0.25, 0.5, -4.0, TRIM),
        *wheels(0.5, 2 * half, (-2.9, -1.8, 2.8)),
        *lights(half, 3.99, -4.06, 0.85),
    )


def _bus() -> Shape:
    half = 1.26
    windows = [box(2 * half + 0.04, 1.5, 0.95, 1.4, y, GLASS) for y in (-4.2, -2.5, -0.8, 0.9, 2.6, 4.3)]
    return merged(
        box(2 * half, 11.4, 2.75, 0.35, 0, PAINT),
        box(2.2, 0.06, 1.3, 1.2, 5.71, GLASS),
        box(2.1, 0.06, 0.9, 1.6, -5.71, GLASS),
        *windows,
        *wheels(0.48, 2 * half + 0.02, (-3.4, 3.6)),
        *lights(half, 5.72, -5.72, 0.75),
    )


@cache
def vehicles() -> tuple[Shape, ...]:
    """Hatchback, saloon, estate/SUV, van, truck, bus."""
    return (
        car(3.9, 1.46, (-1.9, -1.45, 0.2, 1.0), 0.93),
        car(4.6, 1.42, (-1.65, -0.95, 0.3, 1.15), 0.92),
        car(4.6, 1.7, (-2.2, -1.95, 0.35, 1.15), 1.05),
        _van(),
        _truck(),
        _bus(),
    )


@cache
def people() -> tuple[Shape, ...]:
    """Walkers 1.75 m tall with different strides, the last one stands."""
    return tuple(_person(stride) for stride in (0.5, 0.3, -0.42, 0.06))


def _person(stride: float) -> Shape:
    leg = frustum((-0.07, 0.07, -0.08, 0.08, -0.82), (-0.09, 0.09, -0.1, 0.1, 0), (TROUSERS,) * 6)
    shoe = box(0.11, 0.27, 0.09, -0.88, 0.05, SHOES)
    arm = frustum((-0.05, 0.05, -0.05, 0.05, -0.6), (-0.06, 0.06, -0.07, 0.07, 0), (SHIRT,) * 6)
    hand = ball(0, slot=SKIN).moved((0, 0, -0.64), (0.05, 0.05, 0.07))
    parts = [
        frustum((-0.17, 0.17, -0.11, 0.11, 0.85), (-0.22, 0.22, -0.13, 0.13, 1.45), (SHIRT,) * 6),
        cylinder(0.06, 0.12, 6, slot=SKIN).moved((0, 0, 1.43)),
        ball(1, slot=SKIN).moved((0, 0.01, 1.62), (0.1, 0.11, 0.13)),
        ball(1, slot=HAIR).moved((0, -0.025, 1.67), (0.108, 0.112, 0.105)),
    ]
    for side in (-1, 1):
        limb = merged(leg, shoe)
        parts.append(limb.moved((side * 0.1, 0, 0.88), roll=side * stride))
        parts.append(merged(arm, hand).moved((side * 0.27, 0, 1.43), roll=-side * stride))
    return merged(*parts)


@cache
def crowns(fine: bool = True) -> tuple[Shape, ...]:
    """Tree crowns and bushes, about 1 m in radius: four round ones and a conifer; coarse ones for far away."""
    clump = []
    for seed in range(4):
        rng = np.random.default_rng([seed, 11])
        balls = [ball(1, 0.16, seed)]
        detail = 1 if fine else 0
        for i in range(4 if fine else 3):
            offset = rng.uniform(-0.55, 0.55, 3)
            balls.append(ball(detail, 0.18, seed * 10 + i).moved(offset, (rng.uniform(0.45, 0.7),) * 3))
        clump.append(merged(*balls))
    tiers = [cylinder(1.0 - 0.2 * i, 0.9, 9, top=0.15).moved((0, 0, -1.0 + 0.42 * i)) for i in range(4)]
    return (*clump, merged(*tiers))


@cache
def gable() -> Shape:
    """A roof of width, length and height 1 on z = 0, ridge along y, eaves overhanging."""
    w, e = 0.55, 0.53
    a, b, c, d = (-w, -e, 0), (w, -e, 0), (w, e, 0), (-w, e, 0)
    r, s = (0, -e, 1), (0, e, 1)
    return from_quads(np.array([(b, c, s, r), (d, a, r, s), (a, b, r, r), (c, d, s, s)], np.float32), [0, 0, 1, 1])


@cache
def lamp_post() -> Shape:
    """8 m tall with an arm to +x."""
    arm = box(1.7, 0.09, 0.09, 7.9).moved((0.8, 0, 0))
    return merged(cylinder(0.1, 8, 7, top=0.6), arm, box(0.7, 0.26, 0.12, 7.82, slot=1).moved((1.7, 0, 0)))


@cache
def traffic_light() -> Shape:
    """3.6 m tall, lamps towards -y."""
    lamps = [ball(1, slot=2 + i).moved((0, -0.17, 3.35 - 0.3 * i), (0.11, 0.05, 0.11)) for i in range(3)]
    return merged(cylinder(0.07, 3.3, 7), box(0.36, 0.3, 1.0, 2.55, slot=1), *lamps)


@cache
def signs() -> tuple[Shape, ...]:
    """Round, triangular, square and wide board signs, faces towards -y; slots: pole, rim, face, back."""
    shapes = []
    for sides, phase, width, height in ((14, 0.0, 1, 1), (3, np.pi / 2, 1.1, 1), (4, np.pi / 4, 1.2, 1.2)):
        shapes.append(merged(cylinder(0.04, 2.5, 6), *_plate(sides, phase, width, height)))
    board = [p.moved((0, 0, 1.6)) for p in _plate(4, np.pi / 4, 4.6, 2.0)]
    legs = [cylinder(0.08, 4.0, 6).moved((x, 0, 0)) for x in (-1.0, 1.0)]
    return (*shapes, merged(*legs, *board))


def _plate(sides: int, phase: float, width: float, height: float) -> list[Shape]:
    plates = []
    for size, depth, slot in ((0.38, 0.05, 1), (0.28, 0.06, 2)):
        disc = cylinder(size, depth, sides, slot=slot)
        c, s = np.cos(phase), np.sin(phase)
        points, normals = disc.points.copy(), disc.normals.copy()
        for array in (points, normals):
            x, y, z = array.T.copy()
            array[:] = np.stack([c * x - s * y, -z, s * x + c * y], 1)
        plates.append(Shape(points, normals, disc.slots, disc.triangles).moved((0, 0.0, 2.4), (width, 1, height)))
    return plates
