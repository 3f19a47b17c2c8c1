"""From the renderer's passes to a camera's picture: shadows, lamps, rain, fog, motion blur, noise."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgekit.data.rendered import canvas
from edgekit.data.rendered.canvas import Scene
from edgekit.data.rendered.renderer import HEIGHT, WIDTH, Passes
from edgekit.data.rendered.textures import opencv
from edgekit.data.rendered.truths import Pinhole, Seen

Pixels = NDArray[np.float32]
_GRAIN_SHIFTS = 1 << 18
_GROUND = (canvas.ROAD, canvas.MARKING, canvas.PAVEMENT, canvas.VEGETATION)
_SHUTTER_S = {"day": 0.006, "dusk": 0.014, "night": 0.022}
_LONGEST_BLUR_PX = 20.0


def classic(
    passes: Passes, scene: Scene, rng: np.random.Generator, step: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture and mask of the classic scenes; ``step`` numbers the frames of a sequence."""
    if passes.labels is None:
        raise ValueError("the classic picture needs the pass with labels")
    mask = (passes.labels[..., 2] >> 2).astype(np.uint8)
    lit = np.isin(np.arange(256), _GROUND).astype(np.float32) * scene.weather.shadow / 255
    pixels = _shadowed(passes, lit.astype(np.float32)[mask])
    seen = (passes.labels[..., 1].astype(np.float32) / 255)[..., None]
    fog = np.float32(255) * scene.weather.horizon[::-1]
    foggy = pixels * seen + fog * (1 - seen)
    return _exposed(foggy.astype(np.float32, copy=False), rng, step, (1.0, 6.0)), mask


def developed(passes: Passes, seen: Seen, scene: Scene, rng: np.random.Generator, step: int) -> NDArray[np.uint8]:
    """The picture of the other scene sets, with all that their conditions bring."""
    odd = scene.odd
    pixels = _shadowed(passes, _level(seen).astype(np.float32) * np.float32(scene.weather.shadow / 255))
    far = _behind_edges(seen.depth)
    if odd.light == "night":
        pixels *= _lamplight(far, seen.camera, scene)
    clear = np.exp(-np.float32(scene.weather.fog_per_m) * far)[..., None]
    clear[np.isinf(far)] = 1
    if seen.mesh.glow.any():
        pixels = _glowing(pixels, seen, clear)
    if odd.rain:
        pixels = _wet(pixels, seen, scene)
    pixels = pixels * clear + np.float32(255) * scene.weather.horizon[::-1] * (1 - clear)
    pixels = _moved(pixels, seen, scene)
    if odd.light != "day":  # the exposure follows the light, as far as the sensor can
        wanted, most = {"dusk": (80, 1.5), "night": (50, 2.3)}[odd.light]
        pixels *= np.clip(np.float32(wanted) / pixels.mean(), 1, most)
    if odd.rain:
        pixels = _streaked(pixels, np.random.default_rng([int(rng.integers(1 << 30)), step]))
    return _exposed(pixels, rng, step, {"day": (1.0, 6.0), "dusk": (3.0, 8.0), "night": (4.0, 10.0)}[odd.light])


def _behind_edges(depth: Pixels) -> Pixels:
    """Depth, but along the edge of the sky that of the thing before it: its colour is mixed into those pixels."""
    nearest: Pixels = np.where(np.isinf(depth), opencv().erode(depth, np.ones((3, 3), np.uint8)), depth)
    return nearest


def _level(seen: Seen) -> NDArray[np.bool_]:
    """Pixels of the ground, as against the crown of a tree, which is vegetation like a lawn."""
    camera = seen.camera
    u = (np.arange(WIDTH, dtype=np.float32) + np.float32(0.5 - camera.centre[0])) / np.float32(camera.focal_px)
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    v = (np.float32(camera.centre[1] - 0.5) - rows) / np.float32(camera.focal_px)
    right, ahead, up = camera.turn[:, 2].astype(np.float32)
    height = np.float32(camera.place[2]) + np.minimum(seen.depth, 400) * (u * right + ahead + v * up)
    level: NDArray[np.bool_] = np.isin(seen.mask, _GROUND) & (np.abs(height) < 0.3)
    return level


def _shadowed(passes: Passes, lit: Pixels) -> Pixels:
    pixels = passes.colour.astype(np.float32)
    dark = opencv().GaussianBlur(passes.shade, (0, 0), 1.2) * lit
    shadowed: Pixels = pixels * (1 - dark[..., None])
    return shadowed


def _exposed(pixels: Pixels, rng: np.random.Generator, step: int, grain: tuple[float, float]) -> NDArray[np.uint8]:
    """Exposure, colour cast, contrast, vignette, blur and noise; BGR in, RGB out."""
    exposure = rng.uniform(0.85, 1.25) * rng.uniform(0.94, 1.06, 3)
    contrast = rng.uniform(0.85, 1.2)
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32) ** 2
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None] ** 2
    pixels = pixels * (exposure * contrast).astype(np.float32) + np.float32(110 * (1 - contrast))
    pixels *= (1 - np.float32(rng.uniform(0, 0.14)) * (across + down))[..., None]
    blur = rng.uniform(0, 0.85)
    if blur > 0.3:
        pixels = opencv().GaussianBlur(pixels, (0, 0), blur)
    start = (int(rng.integers(_GRAIN_SHIFTS)) + 7919 * step) % _GRAIN_SHIFTS
    noise = _grain()[start : start + HEIGHT * WIDTH * 3].reshape(HEIGHT, WIDTH, 3)
    pixels += noise * np.float32(rng.uniform(*grain))
    return np.ascontiguousarray(np.clip(pixels[..., ::-1], 0, 255).astype(np.uint8))


@cache
def _grain() -> Pixels:
    """Normal noise; every frame reads it from another place (drawing it anew costs 7 ms)."""
    return np.random.default_rng(21).standard_normal(HEIGHT * WIDTH * 3 + _GRAIN_SHIFTS, dtype=np.float32)


def _lamplight(depth: Pixels, camera: Pinhole, scene: Scene) -> Pixels:
    """Light on every pixel ``(H, W, 3)`` BGR from the own low beam, street lamps and the sky; 1 in the sky."""
    far = np.minimum(depth[::2, ::2], 600)
    u = (np.arange(0, WIDTH, 2, dtype=np.float32) + 0.5 - camera.centre[0]) / camera.focal_px
    v = (camera.centre[1] - np.arange(0, HEIGHT, 2, dtype=np.float32)[:, None] - 0.5) / camera.focal_px
    local = np.stack([u * far, far, v * far], -1)
    place = camera.place.astype(np.float32)
    world = local @ camera.turn.astype(np.float32) + place
    rise = (world[..., 2] - place[2]) / far
    beam = np.exp(-((u / 0.5) ** 2)) * (0.12 + 0.88 / (1 + np.exp(90 * (rise + 0.012)))) * 1.5 / (1 + (far / 18) ** 2)
    lamp = np.zeros_like(far)
    near = np.linalg.norm(scene.odd.lamps - place, axis=1).argsort()[:8] if len(scene.odd.lamps) else []
    for head in scene.odd.lamps[near]:
        lamp += 1.7 / (1 + ((world - head) ** 2).sum(-1) / 28)
    beam_bgr, lamp_bgr, sky_bgr = np.array([(0.88, 0.97, 1.0), (0.5, 0.8, 1.0), (0.15, 0.12, 0.11)], np.float32)
    light = beam[..., None] * beam_bgr + lamp[..., None] * lamp_bgr + sky_bgr
    whole: Pixels = opencv().resize(light, (WIDTH, HEIGHT), interpolation=opencv().INTER_LINEAR)
    whole[np.isinf(depth)] = 1
    return whole


def _glowing(pixels: Pixels, seen: Seen, clear: Pixels) -> Pixels:
    """Lamps shine by themselves, and around themselves as lenses make them."""
    cv2 = opencv()
    table = np.concatenate([np.zeros((1, 3), np.float32), seen.mesh.glow[:, ::-1] * np.float32(255)])
    lit = np.any(table > 0, axis=1)[seen.triangles]
    glow = np.zeros_like(pixels)
    glow[lit] = table[seen.triangles[lit]]
    small = cv2.resize(glow * clear, (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
    halo = cv2.GaussianBlur(small, (0, 0), 1.5) * 0.9 + cv2.GaussianBlur(small, (0, 0), 7) * 1.6
    bright: Pixels = np.maximum(pixels, glow) + cv2.resize(halo, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return bright


def _wet(pixels: Pixels, seen: Seen, scene: Scene) -> Pixels:
    """Roads are darker and mirror what stands above the horizon, smeared up and down."""
    cv2 = opencv()
    level = seen.camera.centre[1] + seen.camera.focal_px * np.tan(np.radians(scene.view.pitch_deg))
    horizon = int(np.clip(level, 20, HEIGHT - 20))
    rows = np.arange(HEIGHT)
    mirror = cv2.blur(pixels[np.clip(2 * horizon - rows, 0, HEIGHT - 1)], (5, 31))
    depth = np.clip((rows - horizon) / (HEIGHT - horizon), 0, 1).astype(np.float32)
    road = np.isin(seen.mask, (canvas.ROAD, canvas.MARKING))
    share = (np.float32(0.42) * (1 - np.float32(0.7) * depth))[:, None] * road
    wet: Pixels = pixels * (1 - 0.75 * share[..., None]) + mirror * (share * np.float32(0.8))[..., None]
    return wet


def _moved(pixels: Pixels, seen: Seen, scene: Scene) -> Pixels:
    """Blur of what stands still, from the camera's own motion while the shutter is open.

    The camera moves the way it looks, but level; what moves with it is blurred as if it stood still.
    """
    cv2, depth, camera = opencv(), seen.depth, seen.camera
    turned = np.radians(scene.view.heading_deg)
    ahead = np.array([-np.sin(turned), np.cos(turned), 0]) * scene.view.speed_mps * _SHUTTER_S[scene.odd.light]
    x, y, z = (camera.turn @ ahead).astype(np.float32)
    u = np.arange(WIDTH, dtype=np.float32) + np.float32(0.5 - camera.centre[0])
    v = np.arange(HEIGHT, dtype=np.float32)[:, None] + np.float32(0.5 - camera.centre[1])
    focal = np.float32(camera.focal_px)
    flow = np.stack([(u * y - focal * x) / depth, (v * y + focal * z) / depth], -1)
    np.clip(flow, -_LONGEST_BLUR_PX, _LONGEST_BLUR_PX, out=flow)
    if np.abs(flow).max() < 1:
        return pixels
    grid = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1).astype(np.float32)
    sharp = np.clip(pixels, 0, 255).astype(np.uint8)
    total = np.array(sharp, np.float32)
    for part in (-0.5, -0.25, 0.25, 0.5):
        place = grid + flow * np.float32(part)
        total += cv2.remap(sharp, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return total / np.float32(5)


def _streaked(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Falling drops, and a veil of the finer ones."""
    cv2 = opencv()
    sheet = np.zeros((HEIGHT, WIDTH), np.uint8)
    count = int(rng.integers(60, 260))
    starts = rng.uniform((-10, -30), (WIDTH, HEIGHT), (count, 2))
    falls = np.stack([rng.normal(-1.5, 1.0, count), rng.uniform(8, 30, count)], 1)
    for (x0, y0), (x1, y1), light in zip(starts, starts + falls, rng.uniform(20, 75, count), strict=True):
        cv2.line(sheet, (int(x0), int(y0)), (int(x1), int(y1)), int(light), 1, cv2.LINE_AA)
    veil = (cv2.GaussianBlur(sheet, (0, 0), 0.7).astype(np.float32) / 255)[..., None]
    bright = np.maximum(pixels.mean(axis=(0, 1)) * np.float32(1.5), 60)
    rained: Pixels = pixels * (1 - veil) + bright * veil
    return rained
