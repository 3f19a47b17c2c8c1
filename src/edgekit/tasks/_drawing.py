"""Pictures that tasks draw: colours that everybody can tell apart, titles, legends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.core.tensors import Array

# Colours that stay at least 19 apart (CIELAB), and from the black of void, in normal vision and in simulated
# protanopia, deuteranopia and tritanopia (Machado et al., IEEE TVCG 2009).  Each comes with the class names it is for.
_PALETTE: tuple[tuple[tuple[int, int, int], str], ...] = (
    ((22, 72, 211), "vehicle car truck bus"),
    ((230, 47, 85), "person pedestrian"),
    ((226, 121, 11), "bicyclist rider cyclist bicycle motorcycle"),
    ((231, 220, 32), "signsymbol trafficsign sign trafficlight"),
    ((91, 52, 125), "road"),
    ((238, 235, 247), "lanemarking roadmarking marking lane"),
    ((255, 141, 250), "pavement sidewalk"),
    ((7, 117, 64), "vegetation tree terrain"),
    ((62, 150, 194), "sky"),
    ((106, 57, 9), "building wall"),
    ((218, 169, 103), "fence guardrail"),
    ((134, 137, 147), "pole"),
    ((49, 211, 166), "drivable drivablearea"),
)
PAPER, INK = 24, (230, 230, 230)


def colours(classes: Sequence[str]) -> NDArray[np.uint8]:
    """RGB of each class id, uint8 ``(256, 3)``; black for ids that are no class, such as void, and for background.

    Known driving classes keep their colour in every dataset; the others take the free ones in
    order.  From the 14th class on, hues are only told apart by normal vision.
    """
    table = np.zeros((256, 3), np.uint8)
    free = list(_PALETTE)
    unnamed = []
    for i, name in enumerate(classes):
        plain = "".join(filter(str.isalnum, name.lower()))
        if plain == "background":
            continue
        match = next((entry for entry in free if plain in entry[1].split()), None)
        if match is None:
            unnamed.append(i)
        else:
            table[i] = match[0]
            free.remove(match)
    for n, i in enumerate(unnamed):
        # Last free colour first: it belongs to no usual class.  Then hues a golden angle apart.
        table[i] = free.pop()[0] if free else _hue(n)
    return table


def _hue(index: int) -> tuple[int, int, int]:
    import colorsys

    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1, 0.35 + 0.3 * (index % 2), 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def blended(image: Array, labels: Array, table: Array, clear: Sequence[int] = ()) -> Array:
    """Class colours half over ``image``, except where the class is one of ``clear``."""
    import cv2

    image = np.ascontiguousarray(image)
    # A colour map is looked up three times as fast as table[labels].
    picture = cv2.addWeighted(image, 0.5, cv2.applyColorMap(np.ascontiguousarray(labels), table[:, None]), 0.5, 0)
    for label in clear:
        cv2.copyTo(image, (labels == label).view(np.uint8), picture)
    return np.asarray(picture)


def write(picture: Array, text: str, x: int, baseline: int, scale: float) -> None:
    import cv2

    cv2.putText(picture, text, (x, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)


def text_scale(height: int) -> float:
    """Size of the text beside a picture of that many rows."""
    return min(max(height / 900, 0.4), 1.2)


def beside(panes: Sequence[Array], scale: float) -> Array:
    """The prediction's pane, or that and the truth's with a title each; panes are of one size."""
    if len(panes) == 1:
        return panes[0]
    return joined([titled(pane, title, scale) for pane, title in zip(panes, ("prediction", "truth"), strict=True)])


def joined(panes: Sequence[Array]) -> Array:
    """Panes of one height side by side, a line of paper between them."""
    gap = np.full((len(panes[0]), 4, 3), PAPER, np.uint8)
    return np.concatenate([part for pane in panes for part in (gap, pane)][1:], axis=1)


def stacked(parts: Sequence[Array | None]) -> Array:
    """Pictures of one width, one below the other; None takes no place."""
    return np.concatenate([part for part in parts if part is not None])


def titled(pane: Array, title: str, scale: float) -> Array:
    line = round(50 * scale)
    strip = np.full((line, pane.shape[1], 3), PAPER, np.uint8)
    write(strip, title, line // 3, round(line * 0.7), scale)
    return np.concatenate([strip, pane])


def legend(width: int, classes: Sequence[str], table: Array, scale: float) -> Array:
    """A swatch and a name for every class, in as many lines as ``width`` needs."""
    import cv2

    line = round(50 * scale)
    places: list[tuple[int, int]] = []
    x = row = 0
    for name in classes:
        (text_width, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        wanted = round(line * 1.6) + text_width
        if x and x + wanted > width:
            x, row = 0, row + 1
        places.append((x, row))
        x += wanted
    strip = np.full(((row + 1) * line, width, 3), PAPER, np.uint8)
    for name, colour, (x, row) in zip(classes, table, places, strict=False):
        edge, top = line // 5, row * line
        strip[top + edge : top + line - edge, x + edge : x + line - edge] = colour
        write(strip, name, x + line, top + round(line * 0.68), scale)
    return strip


def boxed(image: Array, boxes: Array, table: Array, texts: Sequence[str], scale: float) -> Array:
    """A copy of ``image`` with boxes ``(N, 4)``, their colours ``(N, 3)`` and a text each; the last is on top.

    A text stands on its box's colour, black or white, whichever can be read there.
    """
    import cv2

    picture = np.ascontiguousarray(image).copy()
    height, width = picture.shape[:2]
    thick, size = max(1, round(3 * scale)), max(0.35, 0.65 * scale)
    for box, colour, text in zip(np.rint(boxes).astype(int).tolist(), table.tolist(), texts, strict=True):
        left, top, right, bottom = box
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, thick)
        (long, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        line = high + below + 2
        head = top - line if top >= line else min(top, height - line)  # above the box, or inside when there is no room
        start = max(0, min(left, width - long - 4))
        cv2.rectangle(picture, (start, head), (start + long + 3, head + line - 1), colour, cv2.FILLED)
        ink = (0, 0, 0) if _luminance(colour) > 0.179 else (255, 255, 255)
        cv2.putText(picture, text, (start + 2, head + high + 1), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)
    return picture


def dotted(image: Array, points: Array) -> Array:
    """A copy of ``image`` with a dot on each of ``points`` ``(N, 2)``, x and y; NaN and far ones are left out."""
    import cv2

    picture = np.ascontiguousarray(image).copy()
    radius = max(1, round(min(picture.shape[:2]) / 120))
    reach = 4 * max(picture.shape[:2])
    for x, y in points[(np.abs(points) < reach).all(axis=1)].tolist():
        cv2.circle(picture, (round(x), round(y)), radius + 1, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(picture, (round(x), round(y)), radius, (231, 220, 32), cv2.FILLED, cv2.LINE_AA)
    return picture


def _luminance(colour: Sequence[int]) -> float:
    """Relative luminance of sRGB, 0..1; from 0.179 on, black text has the higher contrast (WCAG 2.2)."""
    share = [value / 255 for value in colour]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in share)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
