"""Vehicles, persons, cyclists and street furniture of the varied and the hard scenes.

Each set draws from its own pool of shapes; what is in the hard pool is nowhere in the varied one.
Slots are those of ``shapes``; people have one more, ``EXTRA``, for what they carry or ride, and
vehicles one, ``PALE``, for number plates and freight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from edgekit.data.rendered import shapes
from edgekit.data.rendered.shapes import (
    GLASS,
    HAIR,
    PAINT,
    SHIRT,
    SHOES,
    SKIN,
    TRIM,
    TROUSERS,
    TYRE,
    Shape,
    ball,
    box,
    car,
    cylinder,
    frustum,
    lights,
    merged,
    wheels,
)

EXTRA = 5
PALE = 6


@dataclass(frozen=True)
class Body:
    """A vehicle's shape and length; ``big`` ones are rare and are not parked."""

    shape: Shape
    length_m: float
    big: bool = False


@cache
def vehicles() -> tuple[Body, ...]:
    rng = np.random.default_rng(41)
    bodies = []
    for kind in ("city", "hatch", "hatch", "saloon", "saloon", "coupe", "estate", "suv", "suv", "pickup"):
        bodies.append(_car(rng, kind))
    vans = [Body(_van(*plan), plan[0]) for plan in ((4.5, 1.9, 0.92), (5.4, 2.4, 0.99), (6.2, 2.7, 1.02))]
    trucks = [Body(_truck(*plan), plan[0], True) for plan in ((7.5, 3.2, 0), (9.5, 3.7, 0), (8.0, 2.2, 1))]
    buses = [Body(_bus(11.6, 3.05), 11.6, True), Body(_bus(8.0, 2.85), 8.0, True)]
    return (*bodies, *vans, *trucks, *buses)


@cache
def rare_vehicles() -> tuple[Body, ...]:
    """Double-decker, tanker, tractor, car with a caravan, tiny three-wheeler, digger."""
    tank = cylinder(1.15, 6.4, 14).moved((0, 0, -3.2)).moved((0, -1.2, 2.2), roll=np.pi / 2)
    tanker = merged(box(2.3, 1.9, 2.4, 0.6, 3.3), box(2.1, 0.06, 0.9, 1.8, 4.28, GLASS), tank, _chassis(8.6, 1.2))
    high = [frustum((-0.6, 0.6, -0.8, 0.6, 1.3), (-0.55, 0.55, -0.7, 0.4, 2.7), (GLASS,) * 4 + (PAINT, TRIM))]
    rear = [w.moved((0, -0.9, 0)) for w in wheels(0.8, 1.9, (0.0,))]
    tractor = merged(box(0.8, 2.2, 0.8, 0.8, 1.2), *high, *rear, *wheels(0.42, 1.6, (1.7,)))
    trailer = [box(2.2, 4.6, 2.1, 0.45, -5.2), box(2.24, 1.4, 0.7, 1.3, -4.6, GLASS), *wheels(0.33, 2.2, (-5.3,))]
    caravan = merged(_car(np.random.default_rng(5), "estate").shape.moved((0, 1.8, 0)), *trailer)
    tiny = merged(
        frustum(
            (-0.55, 0.55, -1.1, 0.5, 0.3), (-0.5, 0.5, -1.05, 0.2, 1.75), (PAINT, PAINT, GLASS, GLASS, PAINT, TRIM)
        ),
        frustum((-0.45, 0.45, 0.5, 1.2, 0.3), (-0.3, 0.3, 0.4, 1.0, 0.9)),
        *wheels(0.25, 1.1, (-0.7, 0.9)),
    )
    arm = [box(0.3, 3.2, 0.35, 2.2, 1.9).moved(roll=0.25), box(0.9, 0.7, 0.7, 0.4, 3.4, TRIM)]
    tracks = [box(0.5, 3.4, 0.8, 0, 0, TYRE).moved((x, 0, 0)) for x in (-1.0, 1.0)]
    cab = box(2.2, 2.6, 0.9, 0.9, -0.3), box(1.0, 1.3, 1.1, 1.8, 0.4, GLASS)
    digger = merged(*tracks, *cab, *arm)
    return (
        Body(_bus(10.8, 4.3), 10.8, True),
        Body(tanker, 8.8, True),
        Body(tractor, 4.0),
        Body(caravan, 11.5, True),
        Body(tiny, 2.4),
        Body(digger, 7.0, True),
    )


def _car(rng: np.random.Generator, kind: str) -> Body:
    length = {"city": 3.4, "hatch": 4.0, "saloon": 4.75, "coupe": 4.4, "estate": 4.7, "suv": 4.6, "pickup": 5.3}[kind]
    length += float(rng.uniform(-0.15, 0.2))
    roof = {"city": 1.54, "coupe": 1.28, "suv": 1.62, "pickup": 1.62}.get(kind, 1.44) + float(rng.uniform(-0.04, 0.06))
    hood = roof * float(rng.uniform(0.6, 0.66))
    back = -length / 2
    cabin = {
        "saloon": (back + 0.75, back + 1.4, 0.3, 1.15),
        "coupe": (back + 0.35, back + 1.4, 0.1, 1.0),
        "pickup": (-0.6, -0.45, 0.75, 1.35),
    }.get(kind, (back + 0.06, back + float(rng.uniform(0.2, 0.5)), 0.3, 1.05))
    shape = car(length, roof, cabin, hood, PALE)
    if kind == "pickup":
        shape = merged(shape, box(1.5, 1.7, 0.06, hood, back + 1.0, TRIM))
    if kind in ("suv", "pickup"):
        shape = merged(shape.moved(scale=(1.04, 1, 1.12)), box(1.6, length - 0.2, 0.2, 0.25, 0, TRIM))
    if kind in ("estate", "suv"):
        bars = [
            box(0.05, 1.8, 0.06, roof * (1.14 if kind == "suv" else 1.03), -0.5, TRIM).moved((x, 0, 0))
            for x in (-0.6, 0.6)
        ]
        shape = merged(shape, *bars)
    return Body(shape, length)


def _chassis(length: float, half: float) -> Shape:
    axles = (-length * 0.36, -length * 0.24, length * 0.34)
    return merged(
        box(1.0, length - 0.4, 0.35, 0.6, 0.0, TRIM),
        *wheels(0.5, 2 * half, axles),
        *lights(half, length / 2 - 0.02, -length / 2 + 0.02, 0.85, PALE),
    )


def _van(length: float, roof: float, half: float) -> Shape:
    front, belt = length / 2, roof * 0.5
    foot = front - 0.26 * length
    return merged(
        frustum((-half, half, -front, front, 0.3), (-half, half, -front, front - 0.15, belt)),
        frustum((-half, half, -front, foot, belt), (-half + 0.1, half - 0.1, -front + 0.05, foot - 0.15, roof)),
        frustum(
            (-half + 0.02, half - 0.02, foot, front - 0.2, belt),
            (-half + 0.15, half - 0.15, foot - 0.15, foot + 0.1, roof - 0.1),
            (1, 1, 1, 1, 0, 0),
        ),
        box(1.4, 0.05, 0.3 * roof, roof * 0.6, -front, GLASS),
        *wheels(0.35, 2 * half + 0.02, (-length * 0.3, length * 0.33)),
        *lights(half, front + 0.02, -front - 0.02, 0.72, PALE),
    )


def _truck(length: float, height: float, bed: int) -> Shape:
    """A cab with a closed body, or with an open ``bed`` and a load on it."""
    front = length / 2
    cab = [box(2.3, 1.9, 2.2, 0.6, front - 1.0), box(2.1, 0.06, 0.85, 1.7, front - 0.03, GLASS)]
    cab.append(box(2.34, 0.9, 0.7, 1.75, front - 0.8, GLASS))
    middle, rest = -1.1, length - 2.3
    if bed:
        load = [box(1.0, 1.2, 0.9, 1.5, middle - 1.2, PALE), box(1.6, 1.4, 0.6, 1.5, middle + 0.8, TRIM)]
        body = [box(2.4, rest, 0.5, 1.0, middle), *load]
    else:
        body = [box(2.44, rest, height - 1.0, 1.0, middle, PALE), box(2.46, rest * 0.6, 0.5, 2.0, middle)]
    return merged(*cab, *body, _chassis(length, 1.2))


def _bus(length: float, height: float) -> Shape:
    half, front = 1.25, length / 2
    count = int(length / 1.8)
    rows = (1.35,) if height < 3.5 else (1.3, 2.95)
    panes = np.linspace(-front + 1.2, front - 1.2, count)
    windows = [box(2 * half + 0.04, 0.85 * length / count, 0.9, z, float(y), GLASS) for z in rows for y in panes]
    return merged(
        box(2 * half, length - 0.1, height - 0.35, 0.35),
        *(box(2.1, 0.06, 1.1, z, front - 0.03, GLASS) for z in rows),
        *(box(2.0, 0.06, 0.8, z + 0.2, -front + 0.03, GLASS) for z in rows),
        *windows,
        *wheels(0.48, 2 * half + 0.02, (-length * 0.3, length * 0.32)),
        *lights(half, front - 0.02, -front + 0.02, 0.75, PALE),
    )


def _torso(width: float, lean: float, coat: float) -> list[Shape]:
    """Trunk, neck, head and hair; ``coat`` reaches that far below the hips."""
    low, high = width * 0.78, width
    parts = [frustum((-low, low, -0.11, 0.11, 0), (-high, high, -0.13, 0.13, 0.6), (SHIRT,) * 6)]
    if coat:
        parts.append(
            frustum((-low * 1.25, low * 1.25, -0.16, 0.16, -coat), (-low, low, -0.12, 0.12, 0.05), (SHIRT,) * 6)
        )
    parts += [
        cylinder(0.06, 0.12, 6, slot=SKIN).moved((0, 0, 0.58)),
        ball(1, slot=SKIN).moved((0, 0.01, 0.77), (0.1, 0.11, 0.13)),
        ball(1, slot=HAIR).moved((0, -0.025, 0.82), (0.108, 0.112, 0.105)),
    ]
    return [part.moved(roll=-lean) for part in parts]


def _limbs(stride: float, reach: tuple[float, float], width: float, lean: float) -> list[Shape]:
    leg = frustum((-0.07, 0.07, -0.08, 0.08, -0.82), (-0.09, 0.09, -0.1, 0.1, 0), (TROUSERS,) * 6)
    shoe = box(0.11, 0.27, 0.09, -0.88, 0.05, SHOES)
    arm = frustum((-0.05, 0.05, -0.05, 0.05, -0.6), (-0.06, 0.06, -0.07, 0.07, 0), (SHIRT,) * 6)
    hand = ball(0, slot=SKIN).moved((0, 0, -0.64), (0.05, 0.05, 0.07))
    shoulder = (0.57 * float(np.sin(lean)), 0.57 * float(np.cos(lean)))
    parts = []
    for i, side in enumerate((-1, 1)):
        parts.append(merged(leg, shoe).moved((side * 0.1, 0, 0.88), roll=side * stride))
        place = (side * (width + 0.04), shoulder[0], 0.87 + shoulder[1])
        parts.append(merged(arm, hand).moved(place, roll=reach[i]))
    return parts


def _person(
    stride: float,
    reach: tuple[float, float],
    width: float = 0.22,
    lean: float = 0.0,
    coat: float = 0.0,
    extra: Shape | None = None,
) -> Shape:
    """1.75 m tall.  ``reach`` turns the left and the right arm forward, ``lean`` the trunk, all in radians."""
    trunk = [part.moved((0, 0, 0.87)) for part in _torso(width, lean, coat)]
    things = [] if extra is None else [extra.painted(EXTRA)]
    return merged(*trunk, *_limbs(stride, reach, width, lean), *things)


@cache
def people() -> tuple[Shape, ...]:
    backpack = box(0.3, 0.18, 0.42, 0.98, -0.22)
    bag = box(0.1, 0.32, 0.28, 0.35).moved((0.34, 0, 0))
    case = merged(box(0.28, 0.22, 0.55, 0.06, -0.5), box(0.04, 0.04, 0.5, 0.55, -0.45)).moved((0.2, 0, 0))
    pram = merged(box(0.5, 0.8, 0.4, 0.5, 0.75), box(0.46, 0.35, 0.35, 0.9, 0.9), box(0.4, 0.6, 0.08, 0.1, 0.75))
    return (
        _person(0.5, (0.45, -0.45)),
        _person(0.3, (-0.3, 0.3), 0.25),
        _person(-0.42, (-0.4, 0.35), 0.19, coat=0.45),
        _person(0.06, (0.05, -0.05), 0.24),
        _person(0.38, (0.35, -0.35), extra=backpack),
        _person(-0.3, (-0.3, 0.1), 0.2, coat=0.3, extra=bag),
        _person(0.03, (2.2, 0.1), 0.23),
        _person(0.1, (1.1, 1.1), 0.22, extra=pram),
        _person(0.42, (-0.4, 0.6), 0.21, extra=case),
        _person(0.02, (0.9, 0.8), 0.29, coat=0.15),
        _person(0.75, (1.1, -0.9), 0.21, lean=0.22),
        _person(-0.25, (-0.25, 1.6), 0.2, coat=0.65),
    )


@cache
def rare_people() -> tuple[Shape, ...]:
    """Under an umbrella, in a wheelchair, bent down, with a big box, in a robe, on crutches."""
    umbrella = merged(
        cylinder(0.7, 0.3, 12, top=0.05).moved((0, 0, 1.85)), cylinder(0.015, 1.0, 5).moved((0.2, 0.1, 0.95))
    )
    big = box(0.75, 0.5, 0.6, 1.0, 0.42)
    sticks = merged(*(cylinder(0.02, 1.2, 5).moved((x, 0.25, 0), roll=0.12) for x in (-0.4, 0.4)))
    ring = merged(*(_ring(0.3).moved((x, -0.05, 0.3)) for x in (-0.3, 0.3)), box(0.5, 0.08, 0.9, 0.3, -0.2))
    seat = [part.moved((0, 0, 0.5)) for part in _torso(0.23, 0, 0)]
    thigh = box(0.36, 0.5, 0.16, 0.45, 0.25, TROUSERS), box(0.34, 0.14, 0.45, 0.05, 0.5, TROUSERS)
    robe = frustum((-0.36, 0.36, -0.3, 0.3, 0), (-0.18, 0.18, -0.12, 0.12, 1.1), (SHIRT,) * 6)
    return (
        _person(0.3, (0.2, 0.8), extra=umbrella),
        merged(*seat, *thigh, ring.painted(EXTRA)),
        _person(0.25, (1.4, 1.3), lean=1.2),
        _person(0.2, (1.2, 1.2), extra=big),
        merged(robe, _person(0.05, (-0.1, 0.1), 0.26)),
        _person(0.45, (0.3, 0.3), lean=0.3, extra=sticks),
    )


def _ring(radius: float) -> Shape:
    """A wheel with no width, upright along y."""
    angle = np.linspace(0, 2 * np.pi, 15)
    circle = np.stack([np.zeros(15), np.cos(angle), np.sin(angle)], 1)
    inner, outer = circle * (radius - 0.055), circle * radius
    return shapes.from_quads(np.stack([inner[:-1], outer[:-1], outer[1:], inner[1:]], 1).astype(np.float32), EXTRA)


def _bar(start: tuple[float, float], end: tuple[float, float], thick: float = 0.05) -> Shape:
    """A frame tube in the plane x = 0, from (y, z) to (y, z)."""
    (y0, z0), (y1, z1) = start, end
    length = float(np.hypot(y1 - y0, z1 - z0))
    return box(thick, thick, length, slot=EXTRA).moved((0, y0, z0), roll=-float(np.arctan2(y1 - y0, z1 - z0)))


def _rider(
    lean: float, hip: tuple[float, float], feet: tuple[tuple[float, float], ...], hands: tuple[float, float]
) -> list[Shape]:
    """Trunk from the hip on, legs to the feet, arms to the hands; places are (y, z)."""
    trunk = [part.moved((0, *hip)) for part in _torso(0.2, lean, 0)]
    shoulder = hip[0] + 0.55 * float(np.sin(lean)), hip[1] + 0.55 * float(np.cos(lean))
    parts = list(trunk)
    for side, foot in zip((-1, 1), feet, strict=True):
        knee = (hip[0] + foot[0]) / 2 + 0.22, (hip[1] + foot[1]) / 2 + 0.08
        leg = merged(_bar(hip, knee, 0.15), _bar(knee, foot, 0.11)).painted(TROUSERS)
        shoe = box(0.1, 0.26, 0.09, foot[1] - 0.05, foot[0] + 0.05, SHOES)
        parts += [merged(leg, shoe).moved((side * 0.11, 0, 0))]
        parts += [_bar(shoulder, hands, 0.09).painted(SHIRT).moved((side * 0.22, 0, 0))]
    return parts


def _bicycle(lean: float, phase: float, basket: bool) -> Shape:
    crank = (0.0, 0.3)
    feet = tuple((0.17 * np.sin(phase + a), 0.3 + 0.17 * np.cos(phase + a)) for a in (0, np.pi))
    saddle, head = (-0.22, 0.95), (0.42, 0.95)
    frame = [
        _bar(crank, saddle),
        _bar(crank, head),
        _bar(saddle, head),
        _bar(head, (0.55, 0.34)),
        _bar(crank, (-0.53, 0.34)),
    ]
    wheel = [_ring(0.34).moved((x, y, 0.34)) for y in (-0.53, 0.55) for x in (-0.02, 0.02)]
    bar = box(0.5, 0.05, 0.05, 1.02, 0.45, EXTRA)
    load = [box(0.34, 0.28, 0.28, 0.8, 0.68, EXTRA)] if basket else []
    return merged(*frame, *wheel, bar, *load, *_rider(lean, saddle, feet, (0.42, 1.03)))


@cache
def cyclists() -> tuple[Shape, ...]:
    return (
        _bicycle(0.35, 0.4, False),
        _bicycle(0.75, 1.6, False),
        _bicycle(0.12, 2.6, True),
        _bicycle(0.3, 4.4, False),
    )


@cache
def rare_cyclists() -> tuple[Shape, ...]:
    """A motor scooter, a cargo bike with a box in front, a kick scooter."""
    tyres = [w.moved(scale=(0.5, 1, 1)) for w in (merged(*wheels(0.26, 0.5, (-0.6, 0.65))),)]
    deck = [
        box(0.34, 1.0, 0.3, 0.4, -0.35, EXTRA),
        _bar((0.6, 0.3), (0.4, 1.05), 0.22),
        box(0.6, 0.06, 0.06, 1.0, 0.4, EXTRA),
    ]
    motor = merged(*tyres, *deck, *_rider(0.1, (-0.3, 0.78), ((0.2, 0.3), (0.2, 0.3)), (0.4, 1.02)))
    cargo = merged(
        _bicycle(0.15, 1.0, False),
        box(0.7, 0.9, 0.55, 0.3, 1.1, EXTRA),
        *(_ring(0.28).moved((x, 1.1, 0.28)) for x in (-0.4, 0.4)),
    )
    plank = merged(
        box(0.16, 0.9, 0.06, 0.14, 0, EXTRA),
        _bar((0.45, 0.15), (0.35, 1.05)),
        _ring(0.11).moved((0, 0.45, 0.11)),
        _ring(0.11).moved((0, -0.45, 0.11)),
    )
    kick = merged(plank, _person(0.12, (0.75, 0.75), 0.2).moved((0, -0.1, 0.18)))
    return (motor, cargo, kick)


@cache
def clutter() -> tuple[Shape, ...]:
    """Things that are no object: bin, post box, hydrant, column, advert, bench, skip, cone, cabinet."""
    wheely = merged(
        frustum((-0.24, 0.24, -0.28, 0.28, 0.05), (-0.3, 0.3, -0.36, 0.36, 1.0)), box(0.62, 0.76, 0.08, 1.0, slot=1)
    )
    post = merged(
        cylinder(0.24, 1.35, 12),
        ball(1, slot=0).moved((0, 0, 1.35), (0.25, 0.25, 0.12)),
        box(0.3, 0.52, 0.06, 1.15, slot=1),
    )
    hydrant = merged(
        cylinder(0.12, 0.7, 8), ball(1).moved((0, 0, 0.7), (0.14, 0.14, 0.14)), box(0.4, 0.12, 0.12, 0.45, slot=1)
    )
    column = merged(
        cylinder(0.6, 2.9, 16),
        cylinder(0.68, 0.25, 16, slot=1).moved((0, 0, 2.9)),
        cylinder(0.61, 1.2, 16, slot=2).moved((0, 0, 1.0)),
    )
    advert = merged(box(1.2, 0.16, 1.8, 0.5), box(1.06, 0.2, 1.6, 0.6, slot=2), box(0.2, 0.12, 0.5, slot=1))
    bench = merged(
        box(0.45, 1.6, 0.07, 0.42),
        box(0.07, 1.6, 0.4, 0.5, slot=0).moved((0.2, 0, 0)),
        box(0.4, 0.08, 0.42, 0, -0.6, 1),
        box(0.4, 0.08, 0.42, 0, 0.6, 1),
    )
    skip = merged(
        frustum((-0.65, 0.65, -0.9, 0.9, 0.05), (-0.7, 0.7, -1.3, 1.3, 1.0)),
        frustum((-0.55, 0.55, -0.9, 0.9, 0.95), (-0.2, 0.2, -0.4, 0.4, 1.2), (2,) * 6),
    )
    cone = merged(
        cylinder(0.2, 0.75, 9, top=0.15),
        cylinder(0.15, 0.2, 9, top=0.75, slot=1).moved((0, 0, 0.3)),
        box(0.45, 0.45, 0.04, slot=0),
    )
    cabinet = merged(box(0.45, 1.1, 1.25), box(0.47, 1.16, 0.06, 1.25, slot=1))
    return (wheely, post, hydrant, column, advert, bench, skip, cone, cabinet)
