"""The worst frames in the two groups that an evaluation names: by the metric, and by what the control does better."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core.reports import WorstFrame
from edgekit.reporting import words
from edgekit.reporting.content import Content, Picture


@dataclass(frozen=True)
class Shown:
    """A picture as the page holds it; ``source`` is a data URI."""

    id: str
    caption: str
    alt: str
    source: str


@dataclass(frozen=True)
class Group:
    """Frames that were chosen for one reason; ``rows`` are (frame, score, control, loss)."""

    title: str
    lead: str
    rows: tuple[tuple[str, ...], ...]
    pictures: tuple[Shown, ...]


def groups(content: Content) -> list[Group]:
    """The frames worst by the headline metric, those that lose most against the control, and other pictures."""
    found = content.evaluation.worst if content.evaluation is not None else ()
    lowest, lost = (tuple(frame for frame in found if frame.by == by) for by in ("score", "loss"))
    metric = content.headline or "the metric"
    made = [
        _group(content, f"Worst by {metric}", f"Where the candidate's {metric} is worst, the worst first.", lowest),
        _group(
            content,
            "Lost most against FP32",
            f"Where {metric} is furthest behind FP32's, the largest loss first; frames shown above are left out.",
            lost,
        ),
    ]
    named = {frame.id for frame in found}
    others = tuple(_shown(picture, picture.caption) for picture in content.pictures if picture.id not in named)
    if others:
        made.append(Group("Other frames", "", (), others))
    return [group for group in made if group.rows or group.pictures]


def legend(content: Content) -> str:
    """What the colours in the pictures mean, a picture as a data URI; empty when they need no words."""
    found = next((picture.legend for picture in content.pictures if picture.legend), b"")
    return _uri(found) if found else ""


def _group(content: Content, title: str, lead: str, frames: Sequence[WorstFrame]) -> Group:
    pictures = {picture.id: picture for picture in content.pictures}
    rows = tuple((f.id, words.number(f.score), words.number(f.control), words.number(f.loss)) for f in frames)
    drawn = tuple(
        _shown(picture, picture.caption or _caption(content, frame))
        for frame in frames
        if (picture := pictures.get(frame.id)) is not None
    )
    return Group(title, lead, rows, drawn)


def _caption(content: Content, frame: WorstFrame) -> str:
    control = f", FP32 {words.number(frame.control)}" if frame.control is not None else ""
    return f"{content.headline} {words.number(frame.score)}{control}"


def _shown(picture: Picture, caption: str) -> Shown:
    alt = f"Frame {picture.id} with the prediction, and ground truth beside it. {caption}".strip()
    return Shown(picture.id, caption, alt, _uri(picture.jpeg))


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
