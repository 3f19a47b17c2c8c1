"""What is true of a rendered frame: depth, objects and how hidden they are, lanes.

All of it follows from the number of the nearest triangle in every pixel, so that depth, boxes,
instances and the mask agree to the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.predictions import Objects
from edgekit.core.tensors import Array
from edgekit.data.rendered.canvas import BUILDING, MARKING, ROAD, SKY, VEGETATION, Batch, Line, Scene, View
from edgekit.data.rendered.renderer import HEIGHT, NEAR_M, SAMPLE, WIDTH, Passes, Renderer, solid
from edgekit.data.rendered.shapes import Floats

MIN_PIXELS = 20
MIN_VISIBLE = 0.1
"""An object with fewer visible pixels, or a smaller visible share, is a ``crowd``: it counts nowhere."""
_HIDES_ROAD = (SKY, BUILDING, VEGETATION)
_SHORTEST_LANE_PX = 12.0


@dataclass(frozen=True)
class Lanes:
    """Boundaries of lanes, from left to right.

    ``points`` holds one float32 ``(K, 2)`` polyline each: x and y in pixels of the image (pixel ``i``
    reaches from ``i`` to ``i + 1``), the near end first.  ``kinds`` names each: ``dashed``, ``solid``,
    ``double`` or ``kerb`` (the edge of the road).  ``ego`` are the indices of the boundaries left and
    right of the camera's own lane, -1 for one that the image does not show.
    """

    points: tuple[Array, ...]
    kinds: tuple[str, ...]
    ego: tuple[int, int]


@dataclass(frozen=True)
class Visibility:
    """How much of each object the image shows, in the order of the boxes.

    ``occluded`` float32 ``(N,)``: the share of its pixels that other things hide; pixels beyond the border
    do not count.  ``truncated`` float32 ``(N,)``: the share of ``amodal`` outside the image.  ``amodal``
    float32 ``(N, 4)``: the box around the whole object, hidden parts and parts outside the image included.
    ``tracks`` int64 ``(N,)``: a number that the object keeps through the frames of its sequence.
    """

    occluded: Array
    truncated: Array
    amodal: Array
    tracks: Array


@dataclass(frozen=True)
class Mesh:
    """The triangles of a scene by number - 1: corners ``(t, 3, 3)``, object ids, labels and glow of each."""

    corners: Floats
    ids: NDArray[np.int32]
    labels: NDArray[np.uint8]
    glow: Floats


def mesh_of(scene: Scene) -> Mesh:
    batches = solid(scene)
    return Mesh(
        np.concatenate([b.points[b.triangles] for b in batches]),
        np.concatenate([b.ids[b.triangles[:, 0]] for b in batches]),
        np.concatenate([b.labels[b.triangles[:, 0]] for b in batches]),
        np.concatenate([b.glow[b.triangles[:, 0]] for b in batches]),
    )


@dataclass(frozen=True)
class Pinhole:
    """A camera: ``turn`` ``(3, 3)`` holds its right, forward and up in the world, ``place`` its position."""

    turn: NDArray[np.float64]
    place: NDArray[np.float64]
    focal_px: float

    centre = (WIDTH / 2 - SAMPLE + 0.5, HEIGHT / 2 - SAMPLE + 0.5)

    def local(self, points: Floats) -> NDArray[np.float64]:
        """World points ``(..., 3)`` as metres to the right, forward and up."""
        moved: NDArray[np.float64] = (points - self.place) @ self.turn.T
        return moved

    def pixels(self, local: NDArray[np.float64]) -> NDArray[np.float64]:
        """Image points ``(..., 2)`` of local points ahead of the camera."""
        x, y, z = np.moveaxis(local, -1, 0)
        return np.stack([self.centre[0] + self.focal_px * x / y, self.centre[1] - self.focal_px * z / y], -1)


def pinhole(view: View) -> Pinhole:
    heading, pitch, roll = np.radians([view.heading_deg, view.pitch_deg, view.roll_deg])
    ch, sh, cp, sp, cr, sr = (f(a) for a in (heading, pitch, roll) for f in (np.cos, np.sin))
    yaw = np.array([[ch, sh, 0], [-sh, ch, 0], [0, 0, 1]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    lean = np.array([[cr, 0, -sr], [0, 1, 0], [sr, 0, cr]])
    focal = WIDTH / 2 / np.tan(np.radians(view.fov_deg) / 2)
    return Pinhole(lean @ nod @ yaw, np.array([view.x, view.y, view.height_m]), float(focal))


@dataclass(frozen=True)
class Seen:
    """What every pixel ``(H, W)`` shows: number of the triangle, class, and metres along the optical axis."""

    triangles: NDArray[np.int32]
    mask: NDArray[np.uint8]
    depth: NDArray[np.float32]
    mesh: Mesh
    camera: Pinhole


def look(scene: Scene, mesh: Mesh, passes: Passes) -> Seen:
    """What the pass with numbers shows."""
    if passes.triangles is None:
        raise ValueError("these passes were drawn without numbers")
    camera = pinhole(scene.view)
    mask = np.concatenate([np.full(1, SKY, np.uint8), mesh.labels])[passes.triangles]
    return Seen(passes.triangles, mask, depth_of(passes.triangles, mesh, camera), mesh, camera)


def truths_of(seen: Seen, scene: Scene, renderer: Renderer) -> dict[str, Any]:
    """Every kind of truth by name, in the forms that :class:`edgekit.data.rendered.RenderedScenes` lists."""
    boxes, visibility, instances = objects_of(seen, scene, renderer)
    return {
        "mask": seen.mask,
        "drivable": np.isin(seen.mask, (ROAD, MARKING)).astype(np.uint8),
        "boxes": boxes,
        "visibility": visibility,
        "instances": instances,
        "depth": seen.depth,
        "lanes": lanes_of(seen, scene),
    }


def in_view(scene: Scene) -> Scene:
    """The scene without the triangles that lie wholly beyond one side of what the camera sees."""
    camera = pinhole(scene.view)
    batches = []
    for batch in scene.batches:
        used, triangles = _seen_by(camera, batch.points, batch.triangles)
        batches.append(
            Batch(
                batch.texture,
                batch.points[used],
                batch.colours[used],
                batch.uv[used],
                batch.labels[used],
                triangles,
                batch.ids[used],
                batch.glow[used],
            )
        )
    used, triangles = _seen_by(camera, scene.shadows, scene.shadow_triangles)
    return replace(scene, batches=tuple(batches), shadows=scene.shadows[used], shadow_triangles=triangles)


def _seen_by(
    camera: Pinhole, points: Floats, triangles: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which points are needed, and the triangles that may be in the image, numbered after those points."""
    wide, tall = (np.float32(1.02 * size / 2 / camera.focal_px) for size in (WIDTH, HEIGHT))
    x, y, z = ((points - camera.place.astype(np.float32)) @ camera.turn.T.astype(np.float32)).T
    across, up = wide * y, tall * y
    beyond = (y < 0.9 * NEAR_M) | (x > across) << 1 | (x < -across) << 2 | (z > up) << 3 | (z < -up) << 4
    beyond = beyond.astype(np.uint8)
    a, b, c = beyond[triangles].T
    kept = triangles[(a & b & c) == 0]
    used = np.zeros(len(points), np.bool_)
    used[kept] = True
    return used, (np.cumsum(used, dtype=np.int32) - 1)[kept]


def depth_of(triangles: NDArray[np.int32], mesh: Mesh, camera: Pinhole) -> NDArray[np.float32]:
    """Metres along the optical axis, float32 ``(H, W)``; infinity where the sky is.

    One over the depth of a plane is linear in the image, so three numbers for each triangle are exact.
    """
    shown = np.flatnonzero(np.bincount(triangles.ravel(), minlength=len(mesh.ids) + 1)[1:])
    a, b, c = np.moveaxis(camera.local(mesh.corners[shown]), 1, 0)
    normal = np.cross(b - a, c - a)
    offset = (normal * a).sum(1)
    plane = normal / np.where(np.abs(offset) > 1e-9, offset, 1e-9)[:, None]
    across = plane[:, 0] / camera.focal_px
    down = -plane[:, 2] / camera.focal_px
    start = plane[:, 1] - across * (camera.centre[0] - 0.5) - down * (camera.centre[1] - 0.5)
    y = np.maximum(np.stack([a, b, c], 1)[..., 1], NEAR_M)
    table = np.zeros((5, len(mesh.ids) + 1), np.float32)
    table[:, shown + 1] = across, down, start, 1 / y.max(1), 1 / y.min(1)
    by_u, by_v, rest, low, high = (column[triangles] for column in table)
    u = np.arange(WIDTH, dtype=np.float32)
    v = np.arange(HEIGHT, dtype=np.float32)[:, None]
    inverse = np.clip(by_u * u + by_v * v + rest, low, high)
    with np.errstate(divide="ignore"):
        depth: NDArray[np.float32] = (1 / inverse).astype(np.float32)
    return depth


def objects_of(seen: Seen, scene: Scene, renderer: Renderer) -> tuple[Objects, Visibility, NDArray[np.int32]]:
    """The objects that at least one pixel shows, and the map ``(H, W)`` int32 of their row + 1, 0 for no object."""
    mesh = seen.mesh
    ids = np.concatenate([np.zeros(1, np.int32), mesh.ids])[seen.triangles]
    pixels = np.bincount(ids.ravel(), minlength=len(scene.objects) + 1)
    shown = np.flatnonzero(pixels[1:]) + 1
    rank = np.zeros(len(pixels), np.int32)
    rank[shown] = np.arange(1, len(shown) + 1)
    amodal = _amodal(seen.camera, mesh, shown)
    visible = pixels[shown].astype(np.float32)
    whole = _drawn_alone(shown, amodal, scene, mesh, renderer)
    instances = rank[ids]
    share = visible / whole
    inside = np.clip(amodal, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
    truncated = np.clip(1 - _area(inside) / np.maximum(_area(amodal), 1e-6), 0, 1).astype(np.float32)
    objects = Objects(
        _extents(instances, len(shown)),
        scene.objects[shown - 1],
        (visible < MIN_PIXELS) | (share < MIN_VISIBLE),
        visible,
    )
    visibility = Visibility((1 - share).astype(np.float32), truncated, amodal, shown.astype(np.int64))
    return objects, visibility, instances


def _area(boxes: Floats) -> Floats:
    area: Floats = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return area


def _extents(instances: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Boxes ``(count, 4)`` around the pixels of the instances 1 .. count."""
    rows, columns = np.nonzero(instances)
    number = instances[rows, columns] - 1
    corner = np.stack([columns, rows], 1).astype(np.float32)
    return _bounds(number, corner, corner + 1, count)


def _bounds(number: NDArray[np.integer[Any]], low: Floats, high: Floats, count: int) -> NDArray[np.float32]:
    """Boxes ``(count, 4)`` around the points ``(n, 2)`` of each number; an empty box is inside out."""
    boxes = np.tile(np.array([np.inf, np.inf, -np.inf, -np.inf], np.float32), (count, 1))
    for axis in range(2):
        np.minimum.at(boxes[:, axis], number, low[:, axis].astype(np.float32))
        np.maximum.at(boxes[:, 2 + axis], number, high[:, axis].astype(np.float32))
    return boxes


def _amodal(camera: Pinhole, mesh: Mesh, shown: NDArray[np.intp]) -> NDArray[np.float32]:
    """Boxes ``(n, 4)`` of all of the objects ``shown`` before the near plane, not cut at the image's border."""
    row = np.full(int(mesh.ids.max(initial=0)) + 1, -1)
    row[shown] = np.arange(len(shown))
    row[0] = -1
    rows = row[mesh.ids]
    drawn = np.flatnonzero(rows >= 0)
    local, rows = camera.local(mesh.corners[drawn]), rows[drawn]
    ahead = local[..., 1] > NEAR_M
    whole = ahead.all(1)
    image = camera.pixels(local[whole])
    cut = ahead.any(1) & ~whole
    ends = np.stack([local[cut], np.roll(local[cut], -1, axis=1)], 2)
    crosses = ahead[cut] != np.roll(ahead[cut], -1, axis=1)
    start, end = np.moveaxis(ends[crosses], 1, 0)
    part = (NEAR_M - start[:, 1:2]) / (end[:, 1:2] - start[:, 1:2])
    edge = camera.pixels(np.concatenate([local[cut][ahead[cut]], start + part * (end - start)]))
    edge_rows = np.repeat(rows[cut], 3).reshape(-1, 3)
    return _bounds(
        np.concatenate([rows[whole], edge_rows[ahead[cut]], edge_rows[crosses]]),
        np.concatenate([image.min(1), edge]),
        np.concatenate([image.max(1), edge]),
        len(shown),
    )


def _drawn_alone(
    shown: NDArray[np.intp], amodal: Floats, scene: Scene, mesh: Mesh, renderer: Renderer
) -> NDArray[np.float32]:
    """Pixels of each object when nothing hides it; those whose boxes are apart are drawn together."""
    padded = amodal + np.array([-1, -1, 1, 1], np.float32)
    groups: list[list[int]] = []
    for row in range(len(shown)):
        home = next((g for g in groups if not _touches(padded[row], padded[g])), None)
        if home is None:
            groups.append([row])
        else:
            home.append(row)
    order = np.argsort(mesh.ids, kind="stable")
    ends = np.searchsorted(mesh.ids[order], [shown, shown + 1])
    drawn = []
    for group in groups:
        chosen = np.concatenate([order[ends[0, row] : ends[1, row]] for row in group])
        drawn.append((mesh.corners[chosen], mesh.ids[chosen].astype(np.int64)))
    total = np.zeros(len(scene.objects) + 1, np.int64)
    for numbers in renderer.alone(scene.view, drawn):
        total += np.bincount(numbers.ravel(), minlength=len(total))
    return total[shown].astype(np.float32)


def _touches(box: Floats, others: Floats) -> bool:
    return bool(((box[:2] < others[:, 2:]) & (others[:, :2] < box[2:])).all(1).any())


def lanes_of(seen: Seen, scene: Scene) -> Lanes:
    """Every line from the image's border to where it leaves the image or something static hides it for good."""
    points: list[Array] = []
    kinds: list[str] = []
    found: dict[int, int] = {}
    for i, (line, course) in enumerate(zip(scene.lines, scene.lanes, strict=True)):
        shown = _in_image(seen.camera, course, seen.mask)
        if len(shown) > 1 and np.hypot(*np.diff(shown, axis=0).T).sum() >= _SHORTEST_LANE_PX:
            found[i] = len(points)
            points.append(shown.astype(np.float32))
            kinds.append(line.kind)
    left, right = _beside(scene.lines, scene.view.side_m)
    return Lanes(tuple(points), tuple(kinds), (found.get(left, -1), found.get(right, -1)))


def _beside(lines: Sequence[Line], side_m: float) -> tuple[int, int]:
    """Indices of the next line to the left and to the right, -1 for none."""
    left = max((i for i, line in enumerate(lines) if line.d <= side_m), default=-1)
    right = min((i for i, line in enumerate(lines) if line.d > side_m), default=-1)
    return left, right


def _in_image(camera: Pinhole, course: Floats, mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    local = camera.local(course)
    first, stop = _run(local[:, 1] > NEAR_M)
    if first == stop:
        return local[:0, :2]
    local = local[max(first - 1, 0) : stop]
    if first:
        a, b = local[:2]
        local[0] = a + (b - a) * (NEAR_M - a[1]) / (b[1] - a[1])
    image = camera.pixels(local)
    size = np.array([WIDTH, HEIGHT], np.float64)
    begin, stop = _run(np.all((image >= 0) & (image <= size), axis=1))
    column, row = np.minimum(image[begin:stop], size - 1).astype(int).T
    open_road = np.flatnonzero(~np.isin(mask[row, column], _HIDES_ROAD))
    if not len(open_road):
        return image[:0]
    last = begin + int(open_road[-1])
    seen = [image[begin : last + 1]]
    if begin:
        seen.insert(0, _border(image[begin], image[begin - 1], size)[None])
    if last == stop - 1 and stop < len(image):
        seen.append(_border(image[stop - 1], image[stop], size)[None])
    return np.concatenate(seen)


def _run(true: NDArray[np.bool_]) -> tuple[int, int]:
    """Begin and end of the first run of true ones; equal when there is none."""
    begin = int(np.append(true, True).argmax())
    return begin, begin + int(np.append(true[begin:], False).argmin())


def _border(inner: NDArray[np.float64], outer: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the way from inside the image to outside crosses its border."""
    bound = np.where(outer < 0, 0, size)
    step = np.where(outer == inner, 1e-9, outer - inner)
    parts = np.where((outer < 0) | (outer > size), (bound - inner) / step, 1.0)
    crossing: NDArray[np.float64] = np.clip(inner + (outer - inner) * parts.min(), 0, size)
    return crossing
