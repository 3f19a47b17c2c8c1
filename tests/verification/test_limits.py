"""Where the limits of the parity check lie: between what an engine may do and what it may not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.golden import Golden
from edgekit.core.spec import ParityLimits
from edgekit.verification.limits import limits_of
from edgekit.verification.parity import compare

BRACKETS = {
    name: rows
    for name, rows in json.loads((Path(__file__).parents[1] / "golden" / "parity_limits.json").read_text()).items()
    if name != "what"
}
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


class Off:
    """An engine whose dense output is so far, in relative L2, from what its typed model says."""

    def __init__(self, typed: np.ndarray, rel_l2: float) -> None:
        self._typed, self._rel_l2 = typed, rel_l2

    def infer(self, feeds: object) -> dict[str, np.ndarray]:
        return {"y": self._typed * np.float32(1 + self._rel_l2)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_outputs_pass_below_the_limit_and_fail_above_it(precision: str) -> None:
    typed = np.random.default_rng(0).standard_normal((1, 8, 16, 16)).astype(np.float32)
    golden = Golden(({"x": typed},), {name: ({"y": typed},) for name in ("fp32", precision)})
    may, may_not = BRACKETS["output_rel_l2"][precision]
    assert compare(Off(typed, may), golden, precision).verdict == "pass"  # type: ignore[arg-type]
    assert compare(Off(typed, may_not), golden, precision).verdict == "fail"  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", BRACKETS)
def test_every_limit_is_where_it_was_put(name: str, precision: str) -> None:
    may, may_not = BRACKETS[name][precision]
    assert may < getattr(limits_of(precision), name) < may_not


def test_no_limit_is_without_its_bracket() -> None:
    assert {*BRACKETS, "frames"} == set(vars(limits_of("fp32")))


def test_a_limit_of_the_spec_is_taken_and_the_others_stay() -> None:
    own, chosen = limits_of("fp16"), limits_of("fp16", ParityLimits(output_share=0.5, frames=3))
    assert (chosen.output_share, chosen.frames) == (0.5, 3)
    assert vars(chosen) == {**vars(own), "output_share": 0.5, "frames": 3}
