"""The worst frames in their two groups."""

from __future__ import annotations

from dataclasses import replace

from edgekit.core.reports import WorstFrame
from edgekit.reporting import Picture, worst
from tests.support.report_content import content, evaluation, jpeg

SHORT = content(100)


def frames(*scores_losses: tuple[float, float], lowest: int) -> tuple[WorstFrame, ...]:
    """Of which the first ``lowest`` are named by their score."""
    return tuple(
        WorstFrame(f"f{k}", score, score + loss, loss, "score" if k < lowest else "loss")
        for k, (score, loss) in enumerate(scores_losses)
    )


def test_groups_have_headings_and_repeat_no_frame() -> None:
    found = frames((0.1, 0.01), (0.2, 0.02), (0.3, 0.0), (0.6, 0.2), (0.8, 0.1), (0.7, 0.05), lowest=3)
    drawn = tuple(Picture(frame.id, jpeg(0)) for frame in reversed(found))
    groups = worst.groups(replace(SHORT, evaluation=replace(evaluation(10), worst=found), pictures=drawn))
    assert [group.title for group in groups] == ["Worst by miou", "Lost most against FP32"]
    assert [[picture.id for picture in group.pictures] for group in groups] == [["f0", "f1", "f2"], ["f3", "f4", "f5"]]
    assert [row[0] for group in groups for row in group.rows] == [frame.id for frame in found]
    assert groups[1].pictures[0].caption == "miou 0.6000, FP32 0.8000"
    assert all(group.lead.endswith(".") for group in groups)


def test_pictures_of_other_frames_are_a_group() -> None:
    groups = worst.groups(replace(SHORT, pictures=(Picture("elsewhere", jpeg(0), "a caption"),)))
    assert [group.title for group in groups] == ["Worst by miou", "Other frames"]
    assert [(picture.id, picture.caption) for picture in groups[1].pictures] == [("elsewhere", "a caption")]


def test_legend_is_shown_once() -> None:
    legends = tuple(Picture(f"f{k}", jpeg(k), legend=jpeg(9)) for k in range(2))
    assert worst.legend(replace(SHORT, pictures=legends)).startswith("data:image/jpeg;base64,/9j/")
    assert worst.legend(SHORT) == ""
