"""A bundle judged on the frames of a bag, with the labels of its own evaluation data or of the bag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.bundle import Bundle
from edgekit.core.bags import Bag
from edgekit.core.errors import DataError
from edgekit.data.mcap import Config


@dataclass(frozen=True)
class BagFrames:
    """The images of a bag.

    ``topic``: which, where there are several; ``detections``: a topic of true objects, in place of the bundle's labels;
    ``names``: a table of stamps and frame ids, for bags that have none.
    """

    bag: Path
    topic: str | None = None
    detections: str | None = None
    names: Path | None = None


def on_bag(bundle: Bundle, frames: BagFrames, root: Path | None = None) -> Bundle:
    """The bundle with a bag's frames as its evaluation data; ``root`` says where the labels are on this machine.

    Raises:
        DataError: the path is no bag, or the bundle has no evaluation data to take labels from.
        MissingRequirement: rosbags is not installed.
    """
    Bag(frames.bag)  # what is no bag is said before the labels are looked for
    if frames.names is not None and not frames.names.is_file():
        raise DataError(f"{frames.names}: no such file; name a CSV file of the columns stamp and name")
    given = {"root": frames.bag, "topic": frames.topic, "names": frames.names}
    if frames.detections is not None:
        config = Config(format="mcap", **given, detections=frames.detections)
    else:
        own = bundle.evaluation_section(root)
        config = (
            own.model_copy(update={key: value for key, value in given.items() if value is not None})
            if isinstance(own, Config)
            else Config(format="mcap", **given, labels=own)
        )
    return replace(bundle, contents=bundle.contents.model_copy(update={"evaluation": config}))
