"""What a rendered driving scene holds and where: road, town, traffic, weather.

A scene is a pure function of its random generator.  The road follows an arc; all
things are placed by the distance ``s`` ahead along it and the offset ``d`` to the
right of its middle, in metres.  Colours overlap between classes on purpose: grey
cars, green facades, pale pavements, so that colour alone does not name a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.rendered import shapes, streets
from edgekit.data.rendered.canvas import (
    LIGHT,
    PERSON,
    POLE,
    SIGN,
    VEGETATION,
    VEHICLE,
    Canvas,
    Colour,
    Odd,
    Scene,
    View,
    Weather,
)
from edgekit.data.rendered.streets import Layout, green, spread, tone


def plants(canvas: Canvas, layout: Layout) -> None:
    """Street trees, gardens, hedges and the woods behind."""
    rng = canvas.rng
    spots: list[tuple[float, float, float]] = []  # s, d, size
    beside_road = layout.half_m + 3
    inner, outer = layout.walk
    if rng.random() < 0.7:
        near = (inner + 0.4) if layout.verge_m == 0 else (layout.half_m + inner) / 2
        for sign in (-1, 1):
            row = spread(rng, 4, 190, 7, float(rng.uniform(10, 30)))
            spots += [(s, sign * near, rng.uniform(0.7, 1.3)) for s in row if layout.free(s, 2.5)]
    density = {"town": 60.0, "suburb": 12.0, "country": 7.0}[layout.kind]
    for sign in (-1, 1):
        for s in spread(rng, 4, 240, density * 0.2, density):
            spots.append((s, sign * (outer + rng.uniform(1, 14)), rng.uniform(0.6, 1.6)))
        for s in spread(rng, 60, 260, 4, 20):
            spots.append((s, sign * rng.uniform(40, 90), rng.uniform(1.2, 2.2)))
    spots = [spot for spot in spots if layout.free(spot[0], 2) and (layout.kind != "town" or abs(spot[1]) < outer)]
    mood = [green(rng) for _ in range(3)]
    groups: dict[int, list[tuple[float, float, float]]] = {}
    for spot in spots:
        groups.setdefault(int(rng.integers(4 if abs(spot[1]) < beside_road else 5)), []).append(spot)
    for kind, members in groups.items():
        _trees(canvas, kind, members, mood)
    _bushes(canvas, layout, mood)


def _trees(
    canvas: Canvas, kind: int, members: list[tuple[float, float, float]], mood: list[NDArray[np.float64]]
) -> None:
    rng = canvas.rng
    places = [(s, d) for s, d, _ in members]
    sizes = np.array([size for _, _, size in members])
    count = len(places)
    wide = sizes * rng.uniform(1.4, 2.3, count)
    tall = sizes * rng.uniform(1.7, 3.0, count) * (1.6 if kind == 4 else 1)
    stem = rng.uniform(1.9, 3.0, count) * (0.35 if kind == 4 else 1)
    bark = [[np.array([0.33, 0.26, 0.2]) * rng.uniform(0.6, 1.5)] for _ in members]
    trunk = shapes.cylinder(0.16, 1.0, 7, top=0.7)
    size = np.stack([sizes, sizes, stem + 0.4 * tall], 1)
    canvas.add(trunk, places, bark, VEGETATION, size=size, texture="leaves", casts=False)
    leaves = [[mood[rng.integers(3)] * rng.uniform(0.75, 1.2)] for _ in members]
    turn, near = rng.uniform(0, 6, count), np.array([s < 45 and abs(d) < 30 for s, d in places])
    for fine in (True, False):
        chosen = np.flatnonzero(near == fine)
        canvas.add(
            shapes.crowns(fine)[kind],
            [places[i] for i in chosen],
            [leaves[i] for i in chosen],
            VEGETATION,
            size=np.stack([wide, wide, tall], 1)[chosen],
            turn=turn[chosen],
            height=(stem + 0.8 * tall)[chosen],
            texture="leaves",
            tile=3.0,
            casts=fine,
        )


def _bushes(canvas: Canvas, layout: Layout, mood: list[NDArray[np.float64]]) -> None:
    rng = canvas.rng
    if layout.kind == "town":
        return
    outer = layout.walk[1]
    for sign in (-1, 1):
        places = [(s, sign * (outer + rng.uniform(0.8, 3.0))) for s in spread(rng, 3, 90, 2, 25) if layout.free(s, 2)]
        sizes = [(*rng.uniform(0.5, 1.2, 2), rng.uniform(0.4, 1.0)) for _ in places]
        tints = [[mood[rng.integers(3)] * rng.uniform(0.7, 1.1)] for _ in places]
        canvas.add(shapes.crowns()[0], places, tints, VEGETATION, size=sizes, height=0.5, texture="leaves", tile=2.0)
        if rng.random() < 0.5:
            hedge = [(s, sign * (outer + 0.5)) for s in np.arange(4.0, 120.0, 4.0) if layout.free(s, 2)]
            tall = float(rng.uniform(0.7, 1.6))
            tint = [[mood[0] * 0.85]]
            canvas.add(shapes.box(), hedge, tint, VEGETATION, size=[(0.7, 4.1, tall)], texture="leaves", tile=2.0)


def paint(rng: np.random.Generator) -> list[Colour]:
    """A vehicle's palette: mostly white, grey and black paint, else a colour."""
    paint = tone(rng, 0.04, 0.95, 0.02)
    if rng.random() < 0.45:
        paint = np.clip(rng.uniform(0.1, 0.8) * (rng.dirichlet((0.7, 0.7, 0.7)) + 0.12), 0, 0.95)
    return [paint, tone(rng, 0.05, 0.2, 0.02), (0.06,) * 3, (0.9, 0.9, 0.84), (0.62, 0.06, 0.05), (0.14,) * 3]


def _traffic(canvas: Canvas, layout: Layout) -> None:
    rng = canvas.rng
    cars: list[tuple[float, float, float, float]] = []  # s, d, turn, speed along s
    drive = -1 if layout.left_hand else 1
    for lane in range(layout.lanes):
        for way in (1, -1):
            busy = float(rng.uniform(14, 90))
            start = float(rng.uniform(9, 30)) if way == 1 else float(rng.uniform(4, 20))
            for s in spread(rng, start, 170, 9, busy):
                d = drive * way * (lane + 0.5) * layout.lane_m + rng.normal(0, 0.15)
                speed = way * canvas.speeds[lane, (1 - way) // 2]
                cars.append((s, d, (0 if way == 1 else np.pi) + rng.normal(0, 0.02), speed))
    if layout.parking_m > 1:
        for sign in (-1, 1):
            parked = spread(rng, 3, 130, 5.6, float(rng.uniform(7, 25)))
            d = sign * (layout.half_m - layout.parking_m / 2)
            turn = np.pi if rng.random() < 0.5 else 0.0
            cars += [(s, d, turn + rng.normal(0, 0.02), 0.0) for s in parked if layout.free(s, 4)]
    for first, last in layout.crossings:
        if rng.random() < 0.35:
            side = rng.choice([-1, 1])
            cars.append(((first + last) / 2, side * (layout.half_m + rng.uniform(3, 12)), np.pi / 2 * side, 0.0))
    groups: dict[int, list[tuple[float, float, float, float]]] = {}
    for car in cars:
        big = abs(car[1]) < layout.lanes * layout.lane_m and car[0] > 14
        odds = [0.27, 0.25, 0.24, 0.12, 0.06, 0.06] if big else [0.34, 0.28, 0.26, 0.12, 0, 0]
        groups.setdefault(int(rng.choice(6, p=odds)), []).append(car)
    for kind, members in groups.items():
        palettes = [paint(rng) for _ in members]
        sizes = rng.uniform(0.94, 1.06, (len(members), 3))
        turns = [car[2] for car in members]
        places = [(car[0], car[1]) for car in members]
        velocity = [(car[3], 0.0) for car in members]
        canvas.add(shapes.vehicles()[kind], places, palettes, VEHICLE, size=sizes, turn=turns, velocity=velocity)


def _walkers(canvas: Canvas, layout: Layout) -> None:
    rng = canvas.rng
    inner, outer = layout.walk
    crowd = {"town": rng.integers(4, 22), "suburb": rng.integers(2, 10), "country": rng.integers(0, 3)}[layout.kind]
    groups: dict[int, list[tuple[float, float, float, float]]] = {}  # s, d, turn, height of the ground
    for _ in range(crowd):
        s, sign = 5 + 55 * rng.random() ** 1.3, rng.choice([-1, 1])
        turn = rng.choice([0, np.pi]) + rng.normal(0, 0.35)
        spot = (s, sign * rng.uniform(inner + 0.3, outer - 0.2), turn, 0.12)
        if rng.random() < 0.14:
            spot = (s + 6, rng.uniform(-layout.half_m, layout.half_m), turn + np.pi / 2, 0.0)
        groups.setdefault(int(rng.integers(4)), []).append(spot)
        if rng.random() < 0.25:
            groups.setdefault(int(rng.integers(4)), []).append((spot[0] + 0.3, spot[1] + 0.6, turn, spot[3]))
    for kind, members in groups.items():
        count = len(members)
        size = rng.uniform(0.88, 1.1, count) * np.where(rng.random(count) < 0.1, 0.68, 1)
        broad = size * rng.uniform(0.95, 1.3, count)
        places, turns = [(spot[0], spot[1]) for spot in members], [spot[2] for spot in members]
        palettes, heights = [clothes(rng) for _ in members], [spot[3] for spot in members]
        canvas.add(
            shapes.people()[kind],
            places,
            palettes,
            PERSON,
            size=np.stack([broad, broad, size], 1),
            turn=turns,
            height=heights,
            velocity=walking(canvas, turns, heights),
        )


def walking(canvas: Canvas, turns: Sequence[float], heights: Sequence[float]) -> NDArray[np.float64]:
    """Along s and d, at 0.7 to 1.6 m/s the way a walker looks; on the pavement (above 0) along the road only."""
    pace = canvas.pace.uniform(0.7, 1.6, len(turns))
    aside = np.sin(turns) * (np.asarray(heights) <= 0)
    return np.stack([pace * np.cos(turns), pace * aside], 1)


def clothes(rng: np.random.Generator) -> list[Colour]:
    shirt, trousers = rng.uniform(0.05, 0.9, 3), np.array([0.2, 0.22, 0.3]) * rng.uniform(0.3, 2.4)
    if rng.random() < 0.5:
        shirt = tone(rng, 0.06, 0.7, 0.04)
    skin = np.array([0.8, 0.58, 0.46]) * rng.uniform(0.4, 1.15)
    return [shirt, np.clip(trousers, 0, 1), skin, np.array([0.3, 0.2, 0.12]) * rng.uniform(0.2, 2), (0.12,) * 3]


def furniture(canvas: Canvas, layout: Layout) -> None:
    """Lamp posts, traffic lights, signs and bollards."""
    rng = canvas.rng
    edge, steel = layout.half_m + 0.45, [tone(rng, 0.2, 0.65, 0.03), tone(rng, 0.3, 0.8)]
    gap = float(rng.uniform(18, 38))
    for sign in (-1, 1):
        if rng.random() < 0.8:
            lamps = [(s, sign * edge) for s in spread(rng, 3, 170, gap * 0.9, gap)]
            turn = 0.0 if sign < 0 else np.pi
            tall = float(rng.uniform(0.7, 1.1))
            canvas.add(shapes.lamp_post(), lamps, [steel], POLE, size=[(1.0, 1.0, tall)], turn=turn)
        for s in spread(rng, 4, 110, 8, float(rng.uniform(20, 60))):
            kind = int(rng.choice(4, p=[0.36, 0.26, 0.3, 0.08]))
            rim, face = rng.choice([(0.75, 0.05, 0.06), (0.9, 0.9, 0.9), (0.05, 0.2, 0.6)], 2, replace=False)
            palette = [steel[0], rim, (0.05, 0.35, 0.2) if kind == 3 and rng.random() < 0.5 else face]
            turn = float(rng.normal(0, 0.12)) + (np.pi if rng.random() < 0.2 else 0)
            size = [(*rng.uniform(0.85, 1.35, 2), rng.uniform(0.9, 1.25))]
            away = sign * (edge + (1.2 if kind == 3 else 0.1))
            look: dict[str, Any] = {"size": size, "turn": turn, "kind": SIGN, "first_slot": 1}
            canvas.add(shapes.signs()[kind], [(s, away)], [palette], POLE, **look)
        if rng.random() < 0.25 and layout.kind == "town":
            posts = [(s, sign * (layout.half_m + 0.35)) for s in np.arange(6.0, 60.0, 2.2) if layout.free(s, 1)]
            canvas.add(shapes.cylinder(0.07, 1.0, 7), posts, [steel], POLE, height=0.1)
    for first, last in layout.crossings:
        if rng.random() < 0.55:
            lit = int(rng.integers(3))
            lights = [np.array(c) * (1 if i == lit else 0.25) for i, c in enumerate(((1, 0.1, 0.1), (1, 0.7, 0.1)))]
            go = np.array((0.1, 0.9, 0.4)) * (1 if lit == 2 else 0.25)
            places = [(first - 5.0, edge), (first - 5.0, -edge), (last + 1, edge)]
            palette = [steel[0], (0.08,) * 3, *lights, go]
            canvas.add(shapes.traffic_light(), places, [palette], POLE, kind=LIGHT, first_slot=1)


def compose(rng: np.random.Generator, time_s: float = 0.0) -> Scene:
    """One scene of the classic set, drawn from ``rng`` alone, ``time_s`` seconds after its first frame."""
    layout, weather = streets.layout_of(rng), streets.weather_of(rng)
    canvas = start(rng, layout, weather, time_s)
    for draw in (streets.road, streets.sides, streets.houses, plants, _traffic, _walkers, furniture):
        draw(canvas, layout)
    streets.sky(canvas)
    lane = int(rng.integers(layout.lanes)) + 0.5
    side = -1 if layout.left_hand else 1
    beside = float(side * lane * layout.lane_m + rng.normal(0, 0.25))
    view = View(
        x=beside,
        side_m=beside,
        height_m=float(rng.uniform(1.2, 1.9)) + (0.8 if rng.random() < 0.1 else 0),
        heading_deg=float(rng.normal(0, 2.0)),
        pitch_deg=float(rng.uniform(-5, 2)),
        roll_deg=float(rng.normal(0, 0.6)),
        fov_deg=float(rng.uniform(55, 78)),
        speed_mps=float(canvas.speeds[int(lane), 0]),
    )
    return canvas.finish(driven(canvas, view), Odd(layout.kind))


def start(rng: np.random.Generator, layout: Layout, weather: Weather, time_s: float) -> Canvas:
    """An empty canvas with a bent or straight road and the speed of each lane."""
    bend = rng.uniform(1 / 400, 1 / 70) * rng.choice([-1, 1]) if rng.random() < 0.55 else rng.uniform(-1, 1) / 2500
    if abs(bend) > 1 / 140 and layout.front_m > 20:
        bend /= 2
    pace = rng.spawn(1)[0]
    canvas = Canvas(rng, weather, float(bend), float(rng.uniform(5, 60)), pace, time_s)
    canvas.speeds = pace.uniform(4, 13, (2, 2))
    return canvas


def driven(canvas: Canvas, view: View) -> View:
    """The view after ``canvas.time_s`` seconds along the camera's lane."""
    if not canvas.time_s:
        return view
    ahead = view.speed_mps * canvas.time_s
    x, y, _ = (float(c) for c in canvas.ground(ahead, view.x))
    turned = float(np.degrees(canvas.heading(ahead)))
    return replace(view, x=x, y=y, heading_deg=view.heading_deg - turned, ahead_m=ahead)
