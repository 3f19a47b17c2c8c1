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
    config = Config(
        format="mcap", root=frames.bag, topic=frames.topic, names=frames.names, detections=frames.detections
    )
    if frames.detections is None:
        own = bundle.evaluation_section(root)
        if isinstance(own, Config):
            given = {key: value for key, value in dict(config).items() if key in ("root", "topic", "names") and value}
            config = own.model_copy(update=given)
        else:
            config = config.model_copy(update={"labels": own})
    return replace(bundle, contents=bundle.contents.model_copy(update={"evaluation": config}))
