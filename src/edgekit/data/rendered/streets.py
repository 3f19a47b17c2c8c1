"""The still half of a rendered scene: weather, road, pavements, houses, land and sky."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.rendered import shapes
from edgekit.data.rendered.canvas import (
    BUILDING,
    MARKING,
    PAVEMENT,
    ROAD,
    SKY,
    VEGETATION,
    Canvas,
    Colour,
    Line,
    Weather,
    part,
)

FACADES = 8  # facade textures in the pool
Where = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
REACH, STEP = 270.0, 3.0  # the road is drawn from -2 steps to REACH in steps of STEP metres


def weather_of(rng: np.random.Generator) -> Weather:
    overcast = rng.random() < 0.4
    low = rng.random() < 0.3
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(22, 35) if low else rng.uniform(35, 70))
    sun = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)])
    sun /= np.linalg.norm(sun)
    warmth = rng.uniform(0.05, 0.3) if low else rng.uniform(-0.03, 0.08)
    tint = np.array([1 + warmth, 1.0, 1 - 1.2 * warmth])
    if overcast:
        grey = rng.uniform(0.62, 0.9)
        zenith = grey * rng.uniform(0.8, 1.0) * np.array([0.95, 0.98, 1.03])
        horizon = np.minimum(grey * rng.uniform(1.0, 1.1), 0.95) * np.array([0.98, 1.0, 1.0])
        sun, strength, ambient, shadow = np.array([0.0, 0.1, 0.99]), 0.25, rng.uniform(0.65, 0.9), 0.35
    else:
        zenith = np.array([0.2, 0.42, 0.78]) * rng.uniform(0.75, 1.2) + warmth * np.array([0.4, 0.1, -0.1])
        horizon = np.array([0.74, 0.84, 0.95]) * rng.uniform(0.88, 1.04) + warmth * np.array([0.5, 0.0, -0.7])
        strength, ambient, shadow = rng.uniform(0.55, 0.85), rng.uniform(0.42, 0.6), rng.uniform(0.4, 0.6)
    foggy = rng.random()
    fog = rng.uniform(0.006, 0.014) if foggy < 0.12 else rng.uniform(0.0006, 0.0035)
    if foggy < 0.12:
        zenith = 0.4 * zenith + 0.6 * horizon
    return Weather(
        sun=sun.astype(np.float32),
        sun_colour=(tint * strength).astype(np.float32),
        ambient=(np.array([0.94, 0.98, 1.05]) * ambient).astype(np.float32),
        zenith=zenith.astype(np.float32),
        horizon=np.clip(horizon, 0, 0.98).astype(np.float32),
        fog_per_m=float(fog),
        shadow=float(shadow),
        cloud=float(rng.uniform(0, 1)),
        overcast=bool(overcast),
    )


@dataclass(frozen=True)
class Layout:
    """The street: ``half_m`` is half the carriageway, ``front_m`` where the houses begin."""

    kind: str  # town, suburb or country
    lanes: int  # each way
    lane_m: float
    parking_m: float
    verge_m: float
    walk_m: float
    front_m: float
    left_hand: bool
    crossings: tuple[tuple[float, float], ...]

    @property
    def half_m(self) -> float:
        return self.lanes * self.lane_m + self.parking_m

    @property
    def walk(self) -> tuple[float, float]:
        return self.half_m + self.verge_m, self.half_m + self.verge_m + self.walk_m

    def free(self, s: float, margin: float = 0.0) -> bool:
        return all(not a - margin < s < b + margin for a, b in self.crossings)


def layout_of(rng: np.random.Generator) -> Layout:
    kind = str(rng.choice(["town", "suburb", "country"], p=[0.5, 0.32, 0.18]))
    lanes = int(rng.choice([1, 2], p=[0.72, 0.28]))
    lane = float(rng.uniform(2.9, 3.6))
    parking = float(rng.uniform(2.0, 2.4)) if kind != "country" and rng.random() < 0.55 else 0.25
    verge = 0.0 if kind == "town" and rng.random() < 0.7 else float(rng.uniform(0.8, 2.5))
    walk = float(rng.uniform(1.2, 1.8)) if kind == "country" else float(rng.uniform(1.8, 4.5))
    front = lanes * lane + parking + verge + walk + {"town": 0.0, "suburb": 5.0, "country": 12.0}[kind]
    crossings = []
    s = float(rng.uniform(15, 70))
    while s < 200 and kind != "country":
        first = round(s / STEP) * STEP
        crossings.append((first, first + STEP * int(rng.integers(2, 5))))
        s = first + float(rng.uniform(50, 110))
    front += float(rng.uniform(0, 4))
    left_hand = bool(rng.random() < 0.25)
    return Layout(kind, lanes, lane, parking, verge, walk, front, left_hand, tuple(crossings))


def _strip(
    canvas: Canvas,
    d: tuple[float, float],
    h: tuple[float, float],
    colour: Colour,
    label: int,
    texture: str,
    where: Where | None = None,
) -> None:
    """A band along the road; ``where`` picks cells by the ``s`` at which they begin."""
    cells = np.arange(-2 * STEP, REACH, STEP)
    if where is not None:
        cells = cells[where(cells)]
    if len(cells):
        s = cells[:, None] + np.array([0, 0, STEP, STEP])
        offsets = np.broadcast_to([d[0], d[1], d[1], d[0]], s.shape)
        heights = np.broadcast_to([h[0], h[1], h[1], h[0]], s.shape)
        canvas.patch(s, offsets, heights, colour, label, texture)


def tone(rng: np.random.Generator, low: float, high: float, spread: float = 0.04) -> NDArray[np.float64]:
    """A greyish colour."""
    return np.clip(rng.uniform(low, high) + rng.uniform(-spread, spread, 3), 0.02, 1)


def green(rng: np.random.Generator) -> NDArray[np.float64]:
    """Grass or leaves: green, olive, yellow, sometimes autumn red or dry."""
    autumn = rng.random() < 0.16
    base = np.array([0.62, 0.4, 0.16]) if autumn else np.array([0.3, 0.46, 0.17])
    return np.clip(base * rng.uniform(0.65, 1.35) + rng.uniform(-0.07, 0.07, 3), 0.04, 0.9)


def road(canvas: Canvas, layout: Layout) -> None:
    rng = canvas.rng
    asphalt, white = tone(rng, 0.26, 0.52, 0.02), tone(rng, 0.75, 0.98, 0.03)
    centre = white * (1.0, 0.8, 0.35) if rng.random() < 0.3 else white
    width = float(rng.uniform(0.11, 0.18))
    on, phase = (1, 0) if rng.random() < 0.6 else (2, 1)
    period = on + int(rng.integers(1, 3))
    clear = np.vectorize(lambda s: layout.free(s + STEP / 2))

    def dashed(s: NDArray[np.float64]) -> NDArray[np.bool_]:
        picked: NDArray[np.bool_] = (np.round(s / STEP + phase) % period < on) & clear(s)
        return picked

    lines: list[tuple[float, Colour, Where]] = []
    middle = rng.choice(3)  # dashed, solid, double
    if middle == 2:
        lines += [(-width, centre, clear), (width, centre, clear)]
    elif layout.lanes > 1 or rng.random() < 0.85:
        lines.append((0.0, centre, clear if middle == 1 else dashed))
    lines += [(sign * i * layout.lane_m, white, dashed) for i in range(1, layout.lanes) for sign in (-1, 1)]
    if layout.parking_m < 1 or rng.random() < 0.5:
        lines += [(sign * (layout.lanes * layout.lane_m - 0.1), white, clear) for sign in (-1, 1)]
    _note_lines(canvas, layout, lines, clear)
    edge = -layout.half_m
    for d, colour, where in sorted(lines, key=lambda line: line[0]):
        _strip(canvas, (edge, d - width / 2), (0, 0), asphalt, ROAD, "asphalt")
        span = (d - width / 2, d + width / 2)
        _strip(canvas, span, (0, 0), colour, MARKING, "worn", where)
        _strip(canvas, span, (0, 0), asphalt, ROAD, "asphalt", lambda s, where=where: ~where(s))  # type: ignore[misc]
        edge = d + width / 2
    _strip(canvas, (edge, layout.half_m), (0, 0), asphalt, ROAD, "asphalt")
    _patches(canvas, layout, asphalt)
    _crossings(canvas, layout, asphalt, white)


def _note_lines(canvas: Canvas, layout: Layout, lines: Sequence[tuple[float, Colour, Where]], solid: Where) -> None:
    """Lane boundaries for the truth: two lines side by side are one, a kerb ends the road on each side."""
    double = {d for d, _, _ in lines if 0 < abs(d) < 0.5}
    for d, _, where in lines:
        if d not in double:
            canvas.lines.append(Line(d, "solid" if where is solid else "dashed"))
    if double:
        canvas.lines.append(Line(0.0, "double"))
    canvas.lines += [Line(sign * layout.half_m, "kerb") for sign in (-1, 1)]


def _patches(canvas: Canvas, layout: Layout, asphalt: NDArray[np.float64]) -> None:
    """Repairs, manholes and stains, as bright or dark as lines and shadows but still road."""
    rng = canvas.rng
    for _ in range(rng.integers(1, 8)):
        s, d = rng.uniform(5, 50), rng.uniform(-layout.half_m + 0.6, layout.half_m - 1.5)
        length, width = rng.uniform(0.5, 5), rng.uniform(0.4, 1.2)
        corners = np.array([[s, s, s + length, s + length]]), np.array([[d, d + width, d + width, d]])
        canvas.patch(*corners, 0.008, np.clip(asphalt * rng.uniform(0.7, 1.25), 0, 1), ROAD, "asphalt")


def _crossings(canvas: Canvas, layout: Layout, asphalt: NDArray[np.float64], white: NDArray[np.float64]) -> None:
    """Side streets, with zebra crossings and stop lines before some of them."""
    rng = canvas.rng
    for first, last in layout.crossings:
        s = np.array([[first, first, last, last]])
        for sign in (-1, 1):
            offsets = sign * np.linspace(layout.half_m, layout.half_m + 60, 13)
            d = np.stack([offsets[:-1], offsets[1:], offsets[1:], offsets[:-1]], 1)
            canvas.patch(np.broadcast_to(s, d.shape), d, 0.0, asphalt, ROAD, "asphalt")
        if rng.random() < 0.65:
            stripes = np.arange(-layout.half_m + 0.3, layout.half_m - 0.6, 1.0)[:, None]
            d = stripes + np.array([[0, 0.5, 0.5, 0]])
            zebra = np.broadcast_to([first - 4.0, first - 4.0, first - 1.2, first - 1.2], d.shape)
            canvas.patch(zebra, d, 0.012, white, MARKING, "worn")
        if rng.random() < 0.6:
            d0, d1 = sorted(
                (0.15, layout.lanes * layout.lane_m - 0.3)
                if not layout.left_hand
                else (-layout.lanes * layout.lane_m + 0.3, -0.15)
            )
            line = np.array([[first - 5.6, first - 5.6, first - 5.15, first - 5.15]])
            canvas.patch(line, np.array([[d0, d1, d1, d0]]), 0.012, white, MARKING, "worn")


def sides(canvas: Canvas, layout: Layout) -> None:
    """Kerbs, verges, pavements, front gardens or squares, and the land beyond."""
    rng = canvas.rng
    kerb, paving = tone(rng, 0.45, 0.75), tone(rng, 0.35, 0.72, 0.05)
    if rng.random() < 0.2:
        paving = np.array([0.62, 0.42, 0.34]) * rng.uniform(0.8, 1.2)
    grass, land = green(rng), green(rng)
    clear = np.vectorize(lambda s: layout.free(s + STEP / 2))
    inner, outer = layout.walk
    top = 0.12
    for sign in (-1, 1):
        half = layout.half_m
        _strip(canvas, (sign * half, sign * half), (0, top), kerb * 0.8, PAVEMENT, "plain", clear)
        _strip(canvas, (sign * half, sign * (half + 0.18)), (top, top), kerb, PAVEMENT, "plain", clear)
        if layout.verge_m:
            _strip(canvas, (sign * (half + 0.18), sign * inner), (top, top), grass, VEGETATION, "grass", clear)
            half = inner - 0.18
        _strip(canvas, (sign * (half + 0.18), sign * outer), (top, top), paving, PAVEMENT, "paving", clear)
        paved = layout.kind == "town"
        label, texture, colour = (PAVEMENT, "paving", paving * 0.9) if paved else (VEGETATION, "grass", grass)
        _strip(canvas, (sign * outer, sign * (outer + 14)), (top, top - 0.05), colour, label, texture, clear)
    _land(canvas, land, 1.2 if layout.kind == "country" else 0.5)


def _land(canvas: Canvas, colour: NDArray[np.float64], hilly: float) -> None:
    """Meadows that rise to hills far away, a grid in world coordinates."""
    rng = canvas.rng
    xs, ys = np.linspace(-400, 400, 41), np.concatenate([np.linspace(-10, 100, 12), np.linspace(120, 360, 13)])
    x, y = np.meshgrid(xs, ys)
    away = np.clip(np.hypot(x * 0.9, y * 0.8) - 90, 0, 260) / 260
    bumps = sum(np.sin(x / f + rng.uniform(0, 6)) * np.sin(y / f + rng.uniform(0, 6)) * f for f in (90, 37))
    z = -0.25 + away * hilly * (4 + 0.16 * np.abs(bumps)) * (y > 0) - 1.2 * away
    z = np.where(np.hypot(x, y) < 95, -0.25, z)
    points = np.stack([x, y, z], -1).astype(np.float32)
    rows, columns = points.shape[:2]
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    triangles = np.stack([a, b, c, a, c, d], -1).reshape(-1, 3).astype(np.int32)
    shade = rng.uniform(0.8, 1.2, (points.shape[0] * points.shape[1], 1)) * colour
    normals = np.tile(np.array([0, 0, 1], np.float32), (len(shade), 1))
    flat = points.reshape(-1, 3)
    canvas.put(flat, normals, shade.astype(np.float32), flat[:, :2] / 6, VEGETATION, triangles, "grass")


def sky(canvas: Canvas) -> None:
    """A curtain with a gradient and clouds; it takes no light and casts none."""
    rng, w = canvas.rng, canvas.weather
    azimuth, elevation = np.meshgrid(np.linspace(-1.3, 1.3, 25), np.linspace(-0.08, 0.75, 14))
    points = np.stack([np.sin(azimuth), np.cos(azimuth), np.tan(elevation)], -1) * 380
    mix = np.clip(elevation / 0.5, 0, 1)[..., None] ** 0.7
    colour = w.horizon * (1 - mix) + w.zenith * mix
    noise = sum(
        np.sin(azimuth * f + rng.uniform(0, 6)) * np.sin(elevation * 2 * f + rng.uniform(0, 6)) for f in (3, 7, 13)
    )
    cloud = np.clip(noise * 0.4 + w.cloud - 0.4, 0, 1)[..., None] * np.clip(elevation * 8, 0, 1)[..., None]
    colour = np.clip(colour * (1 - 0.75 * cloud) + 0.75 * cloud * (w.horizon * 0.5 + 0.48), 0, 1)
    rows, columns = azimuth.shape
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    triangles = np.stack([a, b, c, a, c, d], -1).reshape(-1, 3).astype(np.int32)
    uv = np.stack([azimuth * 1.5 + rng.uniform(0, 9), elevation * 3], -1).reshape(-1, 2)
    curtain = points.reshape(-1, 3).astype(np.float32), colour.reshape(-1, 3).astype(np.float32)
    canvas.parts.setdefault("clouds", []).append(part(*curtain, uv.astype(np.float32), SKY, triangles))


def houses(canvas: Canvas, layout: Layout) -> None:
    rng = canvas.rng
    chance = {"town": 0.95, "suburb": 0.75, "country": 0.15}[layout.kind]
    for sign in (-1, 1):
        s = float(rng.uniform(-12, 4))
        while s < 240:
            tile = float(rng.uniform(2.4, 3.4))
            bays = int(rng.integers(3, 9) if layout.kind == "town" else rng.integers(2, 5))
            width, depth = 2 * tile * bays / 2, 2 * tile * int(rng.integers(2, 4))
            middle = s + width / 2
            if layout.free(middle, width / 2 + 1.5) and rng.random() < chance:
                _house(canvas, layout, sign, middle, (depth, width, tile))
            gap = rng.uniform(-0.2, 0.4) if layout.kind == "town" and rng.random() < 0.7 else rng.uniform(2, 12)
            s += width + float(gap)


def _house(canvas: Canvas, layout: Layout, sign: int, s: float, plan: tuple[float, float, float]) -> None:
    rng = canvas.rng
    depth, width, tile = plan
    town = layout.kind == "town"
    floors = int(rng.integers(2, 8) if town else rng.integers(1, 4))
    if town and rng.random() < 0.12:
        floors += int(rng.integers(4, 14))
    height = floors * float(rng.uniform(2.8, 3.3))
    setback = layout.front_m + (float(rng.uniform(0, 0.8)) if town else float(rng.uniform(0, 8)))
    place = [(s, sign * (setback + depth / 2))]
    canvas.fronts.append((s, sign * setback, width, height))
    choice = rng.random()
    wall = tone(rng, 0.3, 0.95, 0.05)
    if choice < 0.35:
        wall = np.array([0.72, 0.42, 0.3]) * rng.uniform(0.6, 1.25)
    elif choice < 0.65:
        wall = np.clip(rng.uniform(0.35, 0.95, 3) * 0.5 + 0.4, 0, 1) * rng.uniform(0.6, 1.0)
    wall = np.clip(wall, 0.05, 1)
    facade = f"facade{rng.integers(FACADES)}"
    size = [(depth, width, height)]
    # One texture tile shows 4 bays and 4 floors.
    canvas.add(shapes.box(), place, [[wall]], BUILDING, size=size, texture=facade, tile=4 * tile, shift=2 * tile)
    roof = [np.array([0.5, 0.26, 0.2]) * rng.uniform(0.6, 1.3) if rng.random() < 0.6 else tone(rng, 0.2, 0.5), wall]
    if town and rng.random() < 0.5:
        lip = [(depth + 0.5, width + 0.1, 0.5)]
        canvas.add(shapes.box(), place, [[wall * 0.8]], BUILDING, size=lip, height=height, casts=False)
    else:
        turn = 0.0 if rng.random() < 0.7 else np.pi / 2
        across = (depth, width) if turn == 0 else (width, depth)
        lid = [(*across, float(rng.uniform(1.8, 4.0)))]
        canvas.add(shapes.gable(), place, [roof], BUILDING, size=lid, height=height, turn=turn, texture="tiles")
    if town and rng.random() < 0.6:
        base = [(depth + 0.3, width - 0.1, float(rng.uniform(3, 4)))]
        tint = tone(rng, 0.25, 0.8, 0.15)
        canvas.add(shapes.box(), place, [[tint]], BUILDING, size=base, texture="shop", tile=8.0, casts=False)


def spread(rng: np.random.Generator, start: float, end: float, low: float, high: float) -> list[float]:
    """Distances from ``start`` to ``end`` with gaps between ``low`` and ``high``."""
    found, s = [], start + float(rng.uniform(0, high))
    while s < end:
        found.append(s)
        s += float(rng.uniform(low, high))
    return found
