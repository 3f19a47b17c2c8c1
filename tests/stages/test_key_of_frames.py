"""What decides the frames of a user's own format: what they hold, for its fingerprint may say too little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgekit.core import plugins
from edgekit.data import DataConfig, Sample
from edgekit.stages import keys


class Few:
    """A user's own data: three frames with an image and a truth of several kinds."""

    def __init__(self, **changed: Any) -> None:
        self.changed = changed

    def __len__(self) -> int:
        return 3

    def fingerprint(self) -> str:
        return "always the same"

    def __getitem__(self, index: int) -> Sample:
        image = np.full((2, 2, 3), index, np.uint8) + np.uint8(self.changed.get("pixel", 0) if index == 2 else 0)
        truth = {"boxes": [(1, 2), (3, self.changed.get("corner", 4))], "word": self.changed.get("word", "car")}
        return Sample(f"{self.changed.get('name', 'frame')} {index}", {"image": image}, truth)


@pytest.mark.parametrize(("changed", "labelled"), [
    ({"pixel": 1}, False), ({"name": "other"}, False), ({"corner": 5}, True), ({"word": "bus"}, True),
])  # fmt: skip
def test_what_another_format_gives_is_told_by_its_frames(changed: dict[str, Any], labelled: bool) -> None:
    same, other = (keys._content(Few(**given), labelled) for given in ({}, changed))
    assert keys._content(Few(), labelled) == same != other
    if labelled:
        assert keys._content(Few(**changed), False) == keys._content(Few(), False)  # truth does not count there


def test_code_and_frames_of_a_users_own_format_count_and_of_edgekits_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    config = cast(DataConfig, SimpleNamespace(format="few"))
    monkeypatch.setattr(plugins, "code", lambda kind, name: "")  # as of a format of edgekit
    assert keys.frames(config, Few()) == {"fingerprint": "always the same"}
    monkeypatch.setattr(plugins, "code", lambda kind, name: f"{kind} {name}")
    found = keys.frames(config, Few())
    assert found == {"fingerprint": "always the same", "code": "data few", "content": keys._content(Few(), False)}
