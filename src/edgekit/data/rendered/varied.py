"""The varied and the hard scenes: more kinds of traffic, persons and clutter, lamps after dark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.rendered import bodies, classic, shapes, streets
from edgekit.data.rendered.canvas import (
    BUILDING,
    CYCLIST,
    LIGHT,
    PERSON,
    POLE,
    SIGN,
    VEHICLE,
    Canvas,
    Colour,
    Odd,
    Scene,
)
from edgekit.data.rendered.conditions import HARD, VARIED, bright, camera_of, conditions
from edgekit.data.rendered.shapes import HEADLIGHT, TAILLIGHT, Shape
from edgekit.data.rendered.streets import Layout, spread, tone

_HEADLIGHTS, _TAILLIGHTS = np.array([1.0, 0.97, 0.85]), np.array([0.9, 0.08, 0.05])


@dataclass
class _Stage:
    """A scene in the making: what is set up, grouped by shape, and how rare and how busy things are."""

    canvas: Canvas
    layout: Layout
    odd: Odd
    hard: bool
    busy: float
    placed: dict[tuple[str, int], list[_Placed]] = field(default_factory=lambda: defaultdict(list))

    @property
    def rng(self) -> np.random.Generator:
        return self.canvas.rng

    def pick(self, usual: int, rare: int, chance: float = 0.4) -> tuple[bool, int]:
        """From the usual pool or, in hard scenes, sometimes from the rare one."""
        odd_one = self.hard and self.rng.random() < chance
        return odd_one, int(self.rng.integers(rare if odd_one else usual))


@dataclass(frozen=True)
class _Placed:
    s: float
    d: float
    turn: float
    height: float
    size: tuple[float, float, float]
    palette: list[Colour]
    velocity: tuple[float, float]


def compose(rng: np.random.Generator, hard: bool, time_s: float = 0.0) -> Scene:
    """One scene of the varied or the hard set, ``time_s`` seconds after its first frame."""
    layout = streets.layout_of(rng)
    span = HARD if hard else VARIED
    weather, odd = conditions(rng, span, layout.kind)
    canvas = classic.start(rng, layout, weather, time_s)
    stage = _Stage(canvas, layout, odd, hard, float(rng.uniform(*span.busy)))
    for draw in (streets.road, streets.sides, streets.houses, classic.plants):
        draw(canvas, layout)
    lane = int(rng.integers(layout.lanes))
    side = (-1 if layout.left_hand else 1) * (lane + 0.5) * layout.lane_m + float(rng.normal(0, 0.25))
    view = camera_of(rng, span, side, float(canvas.speeds[lane, 0]))
    _traffic(stage, lane)
    _parked(stage)
    _walkers(stage)
    _cyclists(stage)
    _clutter(stage)
    _place_all(stage)
    lamps = _furniture(stage)
    if odd.light != "day":
        _windows(stage)
    streets.sky(canvas)
    return canvas.finish(classic.driven(canvas, view), replace(odd, lamps=lamps))


def _body(stage: _Stage, parked: bool) -> tuple[tuple[str, int], bodies.Body]:
    while True:
        rare, which = stage.pick(len(bodies.vehicles()), len(bodies.rare_vehicles()), 0.3)
        body = (bodies.rare_vehicles() if rare else bodies.vehicles())[which]
        if not (body.big and (parked or stage.rng.random() < 0.6)):
            return ("rare vehicle" if rare else "vehicle", which), body


def _paint(stage: _Stage) -> list[Colour]:
    """Hard scenes also have colours that no varied one has: neon, and dark like the road."""
    palette = [*classic.paint(stage.rng), tone(stage.rng, 0.55, 0.95)]
    if stage.hard and stage.rng.random() < 0.3:
        neon = [(0.95, 0.1, 0.75), (0.55, 0.95, 0.1), (0.1, 0.95, 0.9), (0.98, 0.5, 0.05), (0.12, 0.11, 0.1)]
        palette[0] = neon[int(stage.rng.integers(len(neon)))]
    return palette


def _vehicle(stage: _Stage, s: float, d: float, turn: float, speed: float, parked: bool) -> float:
    """Place one with its rear at ``s`` and give its length."""
    key, body = _body(stage, parked)
    wide, long, tall = stage.rng.uniform(0.95, 1.05, 3).tolist()
    if stage.hard and stage.rng.random() < 0.15:
        tall *= 1.15
    length = body.length_m * long
    placed = _Placed(s + length / 2, d, turn, 0.0, (wide, long, tall), _paint(stage), (speed, 0.0))
    stage.placed[key].append(placed)
    return float(length)


def _traffic(stage: _Stage, ego_lane: int) -> None:
    rng, layout = stage.rng, stage.layout
    drive = -1 if layout.left_hand else 1
    for lane in range(layout.lanes):
        for way in (1, -1):
            gap = float(rng.uniform(10, 70)) / stage.busy
            jam = rng.random() < (0.45 if stage.hard else 0.12)
            s = float(rng.uniform(6, 22) if way == 1 and lane == ego_lane else rng.uniform(-6, 25))
            while s < 165:
                d = drive * way * (lane + 0.5) * layout.lane_m + float(rng.normal(0, 0.18))
                turn = (0.0 if way == 1 else np.pi) + float(rng.normal(0, 0.025))
                length = _vehicle(stage, s, d, turn, way * float(stage.canvas.speeds[lane, (1 - way) // 2]), False)
                s += length + (float(rng.uniform(1.5, 5)) if jam else 4 + float(rng.exponential(gap)))
    for first, last in layout.crossings:
        if rng.random() < 0.2 * stage.busy:
            side = float(rng.choice([-1, 1]))
            away = side * (layout.half_m + float(rng.uniform(3, 14)))
            _vehicle(stage, (first + last) / 2 - 2, away, np.pi / 2 * side + float(rng.normal(0, 0.3)), 0.0, True)


def _parked(stage: _Stage) -> None:
    rng, layout = stage.rng, stage.layout
    for sign in (-1, 1):
        if layout.parking_m > 1:
            s, tight = float(rng.uniform(2, 10)), float(rng.uniform(0.8, 14)) / stage.busy
            d = sign * (layout.half_m - layout.parking_m / 2)
            while s < 130:
                turn = (np.pi if rng.random() < 0.3 else 0.0) + float(rng.normal(0, 0.03))
                if layout.free(s + 2, 4):
                    s += _vehicle(stage, s, d + float(rng.normal(0, 0.12)), turn, 0.0, True)
                else:
                    s += 4
                s += 0.7 + float(rng.exponential(tight))
        if layout.kind != "town":  # in front gardens and drives, turned to the street
            for s in spread(rng, 5, 110, 9, 40 / stage.busy):
                turn = float(rng.choice([0.5, 1.0, -0.5])) * np.pi + float(rng.normal(0, 0.2))
                if layout.free(s, 4) and layout.front_m - layout.walk[1] > 5.5:
                    _vehicle(stage, s, sign * (layout.walk[1] + 3.2), turn, 0.0, True)


def _clothed(stage: _Stage) -> list[Colour]:
    rng = stage.rng
    palette = classic.clothes(rng)
    if rng.random() < 0.12:
        palette[0] = (0.95, 0.75, 0.05) if rng.random() < 0.5 else (0.95, 0.35, 0.05)  # workers and raincoats
    if stage.hard and rng.random() < 0.35:
        palette[0] = palette[1] = tone(rng, 0.05, 0.16, 0.02)
    extra = np.clip(rng.uniform(0.05, 0.9, 3), 0, 1)
    return [*palette, extra]


def _walker(stage: _Stage, spot: tuple[float, float, float, float], still: bool = False) -> None:
    """At (s, d, turn, height); smaller ones are children."""
    rng = stage.rng
    rare, which = stage.pick(len(bodies.people()), len(bodies.rare_people()), 0.35)
    tall = float(rng.uniform(0.88, 1.12)) * (float(rng.uniform(0.55, 0.8)) if rng.random() < 0.16 else 1.0)
    broad = tall * float(rng.uniform(0.9, 1.35))
    s, d, turn, height = spot
    speed = 0.0 if still else float(stage.canvas.pace.uniform(0.7, 1.6))
    velocity = speed * float(np.cos(turn)), speed * float(np.sin(turn)) * (height <= 0)
    placed = _Placed(s, d, turn, height, (broad, broad, tall), _clothed(stage), velocity)
    stage.placed["rare person" if rare else "person", which].append(placed)


def _walkers(stage: _Stage) -> None:
    rng, layout = stage.rng, stage.layout
    inner, outer = layout.walk
    usual = {"town": 13.0, "suburb": 6.0, "country": 1.5}[layout.kind]
    for _ in range(int(rng.poisson(usual * stage.busy))):
        s = 4 + (100 if stage.hard else 75) * float(rng.random()) ** 1.3
        sign = float(rng.choice([-1, 1]))
        turn = float(rng.choice([0, np.pi])) + float(rng.normal(0, 0.35))
        d = sign * float(rng.uniform(inner + 0.25, outer - 0.2))
        place = rng.random()
        if place < 0.13:  # crossing
            _walker(stage, (s + 6, float(rng.uniform(-1, 1)) * layout.half_m, turn + np.pi / 2, 0.0))
        elif place < 0.25 and layout.parking_m > 1:  # between parked cars
            _walker(stage, (s, sign * (layout.half_m - layout.parking_m / 2), turn + np.pi / 2, 0.0), True)
        else:
            still = bool(rng.random() < 0.25)
            _walker(stage, (s, d, turn, 0.12), still)
            for _ in range(int(rng.choice(4, p=[0.62, 0.24, 0.1, 0.04]))):
                beside = float(rng.normal(0, 0.35)), float(rng.choice([-1, 1])) * float(rng.uniform(0.4, 0.75))
                inside = np.clip(abs(d) + beside[1], inner + 0.2, outer)
                _walker(stage, (s + beside[0], sign * float(inside), turn, 0.12), still)
    for first, _last in layout.crossings:
        for _ in range(int(rng.poisson(1.2 * stage.busy))):
            across = float(rng.uniform(-1, 1)) * layout.half_m
            _walker(stage, (first - float(rng.uniform(1.4, 3.8)), across, float(rng.choice([-1, 1])) * np.pi / 2, 0.0))


def _cyclists(stage: _Stage) -> None:
    rng, layout = stage.rng, stage.layout
    drive = -1 if layout.left_hand else 1
    for way in (1, -1):
        for _ in range(int(rng.poisson({"town": 2.6, "suburb": 2.2, "country": 1.2}[layout.kind] * stage.busy))):
            s = float(rng.uniform(6, 80))
            d = drive * way * (layout.lanes * layout.lane_m - float(rng.uniform(0.3, 0.8)))
            height = 0.0
            if rng.random() < 0.2:
                d, height = drive * way * float(rng.uniform(*layout.walk)), 0.12
            rare, which = stage.pick(len(bodies.cyclists()), len(bodies.rare_cyclists()))
            size = float(rng.uniform(0.9, 1.08))
            turn = (0.0 if way == 1 else np.pi) + float(rng.normal(0, 0.08))
            velocity = way * float(stage.canvas.pace.uniform(3, 6.5)), 0.0
            placed = _Placed(s, d, turn, height, (size, size, size), _clothed(stage), velocity)
            stage.placed["rare cyclist" if rare else "cyclist", which].append(placed)


def _place_all(stage: _Stage) -> None:
    """One call for each shape; this decides the numbers of the objects."""
    pools: Mapping[str, Sequence[Shape]] = {
        "vehicle": [body.shape for body in bodies.vehicles()],
        "rare vehicle": [body.shape for body in bodies.rare_vehicles()],
        "person": bodies.people(),
        "rare person": bodies.rare_people(),
        "cyclist": bodies.cyclists(),
        "rare cyclist": bodies.rare_cyclists(),
        "clutter": bodies.clutter(),
    }
    for (pool, which), members in stage.placed.items():
        vehicle, cyclist = "vehicle" in pool, "cyclist" in pool
        lit = {HEADLIGHT: bright(_HEADLIGHTS, stage.odd), TAILLIGHT: bright(_TAILLIGHTS, stage.odd)}
        for parked in (False, True) if vehicle else (False,):
            chosen = [m for m in members if not vehicle or (m.velocity[0] == 0) == parked]
            stage.canvas.add(
                pools[pool][which],
                [(m.s, m.d) for m in chosen],
                [m.palette for m in chosen],
                VEHICLE if vehicle else POLE if pool == "clutter" else PERSON,
                size=[m.size for m in chosen],
                turn=[m.turn for m in chosen],
                height=[m.height for m in chosen],
                velocity=[m.velocity for m in chosen],
                kind=CYCLIST if cyclist else None,
                glow=lit if vehicle and not parked and stage.odd.light != "day" else None,
            )


def _clutter(stage: _Stage) -> None:
    rng, layout = stage.rng, stage.layout
    reds = [
        (0.8, 0.08, 0.07),
        (0.9, 0.75, 0.1),
        (0.08, 0.25, 0.6),
        (0.1, 0.35, 0.2),
        (0.2, 0.2, 0.22),
        (0.85, 0.85, 0.85),
    ]
    for sign in (-1, 1):
        for s in spread(rng, 3, 110, 2, 30 / np.clip(stage.busy, 0.7, 1.4)):
            which = int(rng.choice(9, p=[0.22, 0.06, 0.1, 0.06, 0.1, 0.16, 0.05, 0.1, 0.15]))
            d = sign * (layout.half_m + float(rng.uniform(0.5, 0.9)))
            if which in (3, 4, 5, 8):
                d = sign * (layout.walk[1] - float(rng.uniform(0.1, 0.8)))
            if which == 6 and layout.parking_m > 1:
                d = sign * (layout.half_m - layout.parking_m / 2)
            if not layout.free(s, 2):
                continue
            plain = rng.random() < 0.5
            paint = tone(rng, 0.15, 0.7) if plain else np.array(reds[int(rng.integers(6))]) * rng.uniform(0.5, 1)
            palette: list[Colour] = [paint, tone(rng, 0.1, 0.8), rng.uniform(0.1, 0.8, 3)]
            wide, long, tall = rng.uniform(0.85, 1.15, 3).tolist()
            height = 0.12 if abs(d) > layout.half_m else 0.0
            turn = float(rng.choice([0, 0.5, 1])) * np.pi + float(rng.normal(0, 0.1))
            spot = _Placed(s, d, turn, height, (wide, long, tall), palette, (0.0, 0.0))
            stage.placed["clutter", which].append(spot)
    if layout.kind == "town" and rng.random() < 0.4:
        _shelter(stage)


def _shelter(stage: _Stage) -> None:
    """A bus stop with people waiting in it."""
    rng, layout = stage.rng, stage.layout
    s, sign = float(rng.uniform(10, 45)), float(rng.choice([-1, 1]))
    d = sign * (layout.walk[1] - 0.8)
    if layout.free(s, 4) and layout.walk[1] - layout.walk[0] > 2.2:
        parts = [shapes.box(0.06, 3.6, 2.2, slot=1).moved((0.6, 0, 0)), shapes.box(1.5, 4.0, 0.1, 2.3)]
        posts = [shapes.box(0.08, 0.08, 2.3).moved((x, y, 0)) for x in (-0.6, 0.6) for y in (-1.8, 1.8)]
        shape = shapes.merged(*parts, *posts)
        turn = 0.0 if sign > 0 else np.pi
        stage.canvas.add(
            shape, [(s, d)], [[tone(rng, 0.15, 0.4), tone(rng, 0.4, 0.6)]], BUILDING, turn=turn, height=0.12
        )


def _furniture(stage: _Stage) -> NDArray[np.float32]:
    """The classic lamps, signs, bollards and traffic lights; gives the places of the lamps that burn ``(n, 3)``."""
    canvas, layout, rng = stage.canvas, stage.layout, stage.rng
    edge, steel = layout.half_m + 0.45, [tone(rng, 0.2, 0.65, 0.03), tone(rng, 0.3, 0.8)]
    heads = []
    gap = float(rng.uniform(18, 38))
    for sign in (-1, 1):
        if rng.random() < {"town": 0.9, "suburb": 0.7, "country": 0.15}[layout.kind]:
            places = [(s, sign * edge) for s in spread(rng, 3, 170, gap * 0.9, gap)]
            tall = float(rng.uniform(0.7, 1.1))
            glow = {1: np.array([1.0, 0.85, 0.55])} if stage.odd.light != "day" else None
            look: dict[str, Any] = {"size": [(1.0, 1.0, tall)], "turn": 0.0 if sign < 0 else np.pi, "glow": glow}
            canvas.add(shapes.lamp_post(), places, [steel], POLE, **look)
            heads += [canvas.ground(s, d - sign * 1.7, 7.8 * tall) for s, d in places]
        for s in spread(rng, 4, 120, 6, float(rng.uniform(16, 50))):
            _sign(stage, s, sign * edge, sign, steel)
    for first, last in layout.crossings:
        if rng.random() < 0.6:
            lit = int(rng.integers(3))
            colours = [
                np.array(c) * (1 if i == lit else 0.2)
                for i, c in enumerate(((1, 0.1, 0.1), (1, 0.7, 0.1), (0.1, 0.9, 0.4)))
            ]
            places = [(first - 5.0, edge), (first - 5.0, -edge), (last + 1, edge)]
            palette: list[Colour] = [steel[0], (0.08,) * 3, *colours]
            look = {"kind": LIGHT, "first_slot": 1, "glow": {2 + lit: colours[lit]}}
            canvas.add(shapes.traffic_light(), places, [palette], POLE, **look)
    return np.array(heads, np.float32).reshape(-1, 3)


def _sign(stage: _Stage, s: float, d: float, sign: int, steel: list[NDArray[np.float64]]) -> None:
    rng = stage.rng
    kind = int(rng.choice(4, p=[0.36, 0.26, 0.3, 0.08]))
    colours: list[Colour] = [(0.75, 0.05, 0.06), (0.9, 0.9, 0.9), (0.05, 0.2, 0.6), (0.92, 0.72, 0.08)]
    if stage.hard and rng.random() < 0.3:
        colours = [tone(rng, 0.25, 0.5), tone(rng, 0.3, 0.6), (0.4, 0.2, 0.1), (0.1, 0.35, 0.2)]  # faded or foreign
    rim, face = (colours[int(i)] for i in rng.choice(4, 2, replace=False))
    turn = float(rng.normal(0, 0.15)) + (np.pi if rng.random() < 0.2 else 0)
    size = [(*rng.uniform(0.8, 1.35, 2).tolist(), float(rng.uniform(0.85, 1.25)))]
    away = d + sign * (1.2 if kind == 3 else 0.1)
    palette: list[Colour] = [steel[0], rim, (0.05, 0.35, 0.2) if kind == 3 else face]
    look: dict[str, Any] = {"size": size, "turn": turn, "kind": SIGN, "first_slot": 1}
    stage.canvas.add(shapes.signs()[kind], [(s, away)], [palette], POLE, **look)


def _windows(stage: _Stage) -> None:
    """Lit windows on the house fronts."""
    canvas, rng = stage.canvas, stage.rng
    corners, tints = [], []
    for s, d, width, height in canvas.fronts:
        for floor in range(int(height / 3)):
            for bay in np.arange(-width / 2 + 1.5, width / 2 - 1, 2.8):
                if rng.random() < 0.28:
                    z = floor * 3 + 1.1
                    y = s + bay
                    corners.append(((y, y + 1.1, y + 1.1, y), (z, z, z + 1.4, z + 1.4), d - np.sign(d) * 0.06))
                    tints.append(np.array([1.0, 0.8, 0.5]) * rng.uniform(0.35, 0.85))
    if not corners:
        return
    along, high = (np.array([c[i] for c in corners]) for i in (0, 1))
    aside = np.repeat([[c[2]] for c in corners], 4, axis=1)
    quads = shapes.from_quads(canvas.ground(along, aside, high).reshape(-1, 4, 3))
    tint = np.repeat(np.array(tints, np.float32), 4, axis=0)
    nothing = np.zeros(len(tint), np.int32)
    flat = np.zeros((len(tint), 2), np.float32)
    canvas.put(quads.points, quads.normals, tint, flat, BUILDING, quads.triangles, ids=nothing, glow=tint * 0.8)
