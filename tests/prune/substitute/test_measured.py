"""Which exchange pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from edgekit.core.errors import SpecError
from edgekit.prune.substitute import measured
from edgekit.prune.substitute.forms import FORMS, Kind
from edgekit.stats.faster import EACH, OPENINGS


class Timed:
    def __init__(self, times: Mapping[str, float]) -> None:
        self.times = times

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        return {name: [self.times[model.decode()]] * (OPENINGS * EACH) for name, model in models.items()}


def tried(**times: float) -> list[measured.Tried]:
    """``silu_relu=6.0``: 6 ms with ReLU; 10 as it is."""
    kinds: dict[tuple[Kind, str], bytes] = {
        (kind, form): f"{kind}_{form}".encode() for kind in FORMS for form in FORMS[kind] if f"{kind}_{form}" in times
    }
    return measured.tried(Timed({"own": 10.0, **times}), b"own", kinds)  # type: ignore[arg-type]


def pays(**times: float) -> dict[Kind, str]:
    return measured.pays(tried(**times), FORMS.__getitem__)


def test_the_fastest_or_one_as_fast_that_is_nearer() -> None:
    assert pays(silu_hardswish=8.0, silu_relu=6.0) == {"silu": "relu"}
    assert pays(silu_hardswish=6.05, silu_relu=6.0) == {"silu": "hardswish"}
    assert pays(silu_hardswish=11.0, silu_relu=9.0) == {"silu": "relu"}


def test_kinds_by_themselves() -> None:
    times = {"silu_hardswish": 10.0, "silu_relu": 9.9, "upsample_half": 9.0, "upsample_nearest": 8.0}
    assert pays(**times) == {"upsample": "nearest"}
    verdicts = {(one["kind"], one["form"]): one["verdict"] for one in measured.described(tried(**times))}
    assert verdicts == {
        ("silu", "hardswish"): "rejected",
        ("silu", "relu"): "rejected",
        ("upsample", "half"): "faster",
        ("upsample", "nearest"): "faster",
    }


def test_nothing_pays() -> None:
    with pytest.raises(SpecError, match=r"nothing is faster .*silu by hardswish: 0\.99x .*\(rejected\).*force: true"):
        pays(silu_hardswish=10.1, silu_relu=9.95)
