"""The conditions of rendered scenes: how they are drawn, and the words that name them in the metadata.

ODD is the operational design domain: where, in which weather and light a function is made to work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.core.predictions import Objects
from edgekit.data.rendered import streets
from edgekit.data.rendered.canvas import Odd, Scene, View, Weather
from edgekit.data.rendered.truths import Visibility

SCENES = ("classic", "varied", "hard")
VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "scenes": SCENES,
    "place": ("town", "suburb", "country"),
    "weather": ("clear", "overcast", "rain"),
    "light": ("day", "dusk", "night"),
    "fog": ("none", "light", "dense"),
    "camera": ("low", "middle", "high"),
    "speed": ("still", "slow", "fast"),
    "density": ("empty", "few", "some", "many"),
    "occlusion": ("low", "partial", "heavy"),
}
"""The words of every metadata key that slices are made of."""
NUMBERS = ("camera_height_m", "camera_pitch_deg", "camera_roll_deg", "focal_px", "speed_mps", "objects")
"""Metadata keys whose text is a number."""
_FOG_PER_M = {"none": (0.0006, 0.003), "light": (0.008, 0.016), "dense": (0.024, 0.042)}


@dataclass(frozen=True)
class Range:
    """What a set of scenes is drawn from: probabilities in the order of ``VOCABULARY``, and metres."""

    weather: tuple[float, float, float]
    light: tuple[float, float, float]
    fog: tuple[float, float, float]
    heights_m: tuple[tuple[float, float], ...]
    busy: tuple[float, float]


VARIED = Range((0.45, 0.35, 0.2), (0.62, 0.22, 0.16), (0.8, 0.2, 0), ((1.2, 1.7), (1.2, 1.7), (1.7, 2.3)), (0.4, 1.6))
HARD = Range((0.3, 0.3, 0.4), (0.25, 0.3, 0.45), (0.45, 0.25, 0.3), ((0.9, 1.2), (1.2, 1.7), (2.3, 3.2)), (1.7, 3.0))


def conditions(rng: np.random.Generator, span: Range, place: str) -> tuple[Weather, Odd]:
    words = {key: str(rng.choice(VOCABULARY[key], p=getattr(span, key))) for key in ("weather", "light", "fog")}
    grey = words["weather"] != "clear"
    weather = streets.weather_of(rng)
    while weather.overcast != grey or weather.fog_per_m > 0.005:
        weather = streets.weather_of(rng)
    if words["weather"] == "rain":
        dim = float(rng.uniform(0.6, 0.85))
        weather = replace(weather, zenith=weather.zenith * dim, horizon=weather.horizon * dim, shadow=0.12)
        weather = replace(weather, ambient=weather.ambient * (0.4 + 0.6 * dim), cloud=0.9)
    if words["light"] == "dusk":
        weather = _dusk(rng, weather)
    elif words["light"] == "night":
        weather = _night(rng, weather, place)
    fog = float(rng.uniform(*_FOG_PER_M[words["fog"]]))
    mixed = {"none": 0.0, "light": 0.5, "dense": 0.95}[words["fog"]]
    if mixed:
        grey_air = weather.horizon + 0.8 * mixed * (weather.horizon.mean() - weather.horizon)
        weather = replace(weather, horizon=grey_air.astype(np.float32))
        weather = replace(weather, zenith=(1 - mixed) * weather.zenith + mixed * weather.horizon)
        weather = replace(weather, shadow=weather.shadow * (1 - mixed), cloud=weather.cloud - 2 * mixed)
    return replace(weather, fog_per_m=fog), Odd(place, words["light"], words["weather"] == "rain")


def _dusk(rng: np.random.Generator, day: Weather) -> Weather:
    """The sun at the horizon: warm and weak light, a blue sky above."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(3, 9))
    sun = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)])
    warm = 0.35 if day.overcast else 1.0
    horizon = np.array([0.62, 0.5, 0.46]) + warm * np.array([0.26, 0.03, -0.12]) * rng.uniform(0.4, 1)
    return replace(
        day,
        sun=(sun / np.linalg.norm(sun)).astype(np.float32),
        sun_colour=(np.array([0.5, 0.3, 0.16]) * warm * rng.uniform(0.5, 1)).astype(np.float32),
        ambient=(np.array([0.46, 0.48, 0.56]) * rng.uniform(0.85, 1.15)).astype(np.float32),
        zenith=(np.array([0.26, 0.33, 0.5]) * rng.uniform(0.7, 1.1)).astype(np.float32),
        horizon=(horizon * rng.uniform(0.6, 0.95)).astype(np.float32),
        shadow=0.3 * warm,
        cloud=day.cloud - 0.6,
    )


def _night(rng: np.random.Generator, day: Weather, place: str) -> Weather:
    """A dark sky; things are drawn in even light, which the lamps then dim (``camera``)."""
    lit = {"town": 1.0, "suburb": 0.6, "country": 0.25}[place] * rng.uniform(0.6, 1.2)
    return replace(
        day,
        sun=np.array([0, 0, 1], np.float32),
        sun_colour=np.zeros(3, np.float32),
        ambient=np.array([0.92, 0.92, 0.92], np.float32),
        zenith=np.array([0.018, 0.022, 0.045], np.float32),
        horizon=(np.array([0.03, 0.032, 0.05]) + lit * np.array([0.07, 0.055, 0.045])).astype(np.float32),
        shadow=0.0,
        cloud=-3.0,
    )


def describe(scenes: str, scene: Scene, moves: bool) -> dict[str, str]:
    """What is known of a scene before its objects are counted; a scene that does not move has speed 0."""
    view, weather, odd = scene.view, scene.weather, scene.odd
    fog = "none" if weather.fog_per_m < 0.005 else "light" if weather.fog_per_m < 0.02 else "dense"
    speed = view.speed_mps if moves else 0.0
    focal = 320 / float(np.tan(np.radians(view.fov_deg) / 2))
    return {
        "scenes": scenes,
        "place": odd.place,
        "weather": "rain" if odd.rain else "overcast" if weather.overcast else "clear",
        "light": odd.light,
        "fog": fog,
        "camera": "low" if view.height_m < 1.2 else "middle" if view.height_m < 2 else "high",
        "camera_height_m": f"{view.height_m:.3f}",
        "camera_pitch_deg": f"{view.pitch_deg:.4f}",
        "camera_roll_deg": f"{view.roll_deg:.4f}",
        "focal_px": f"{focal:.3f}",
        "speed": "still" if speed < 0.5 else "slow" if speed < 8 else "fast",
        "speed_mps": f"{speed:.2f}",
    }


def crowding(objects: Objects, visibility: Visibility) -> dict[str, str]:
    """How many objects count, and how many of them (a third, a half) are hidden by more than 30 %."""
    counted = ~objects.crowd
    number = int(counted.sum())
    hidden = visibility.occluded[counted]
    share = float((hidden > 0.3).mean()) if number else 0.0
    return {
        "objects": str(number),
        "density": "empty" if number == 0 else "few" if number <= 10 else "some" if number <= 20 else "many",
        "occlusion": "low" if share < 0.35 else "partial" if share < 0.55 else "heavy",
    }


def camera_of(rng: np.random.Generator, span: Range, side_m: float, speed_mps: float) -> View:
    low, high = span.heights_m[int(rng.integers(len(span.heights_m)))]
    height = float(rng.uniform(low, high))
    return View(
        x=side_m,
        side_m=side_m,
        height_m=height,
        heading_deg=float(rng.normal(0, 2.0)),
        pitch_deg=float(rng.uniform(-5, 2)) - 2 * max(height - 1.7, 0),
        roll_deg=float(rng.normal(0, 0.6)),
        fov_deg=float(rng.uniform(52, 82)),
        speed_mps=speed_mps,
    )


def bright(colour: NDArray[np.float64], odd: Odd) -> NDArray[np.float64]:
    """The glow of a lamp that burns when it is not day."""
    return colour * (0.0 if odd.light == "day" and not odd.rain else 1.0)
