"""The fleet's rule: which boards must pass, and what share of the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit_hil.night.report import BoardResult, FleetVerdict
from edgekit_hil.report import RunVerdict

_WORST_FIRST: tuple[RunVerdict, ...] = ("fail", "undecided", "infrastructure", "pass")
_NO_WORD = ("flaky", "infrastructure")


def fleet(bundle: str, results: Sequence[BoardResult], share: float) -> FleetVerdict:
    """What the rule says of one bundle.

    A board that must pass decides by itself.  Of the others ``share`` has to pass, of all of them, those that failed as
    boards too: a fleet half of which is unplugged has shown nothing.  Where boards without a word could still make
    up for what is missing, the verdict is ``infrastructure``, not ``fail``.

    Args:
        bundle: its name in the plan.
        results: of this bundle, one a board.
        share: of the boards without ``must_pass``, 0..1.
    """
    must = [result for result in results if result.must_pass]
    found = [_alone(result) for result in must if result.standing != "pass"]
    rest = [result for result in results if not result.must_pass]
    if rest:
        found.append(_share(rest, share))
    verdict = worst([verdict for verdict, _ in found])
    reasons = [why for said, why in found if said == verdict]
    passed = f"all {len(must)} boards that must pass did" if must else ""
    return FleetVerdict(bundle, verdict, "; ".join(filter(None, [passed if verdict == "pass" else "", *reasons])))


def worst(verdicts: Sequence[RunVerdict]) -> RunVerdict:
    """The verdict over several; ``pass`` of none."""
    return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), "pass")


def _alone(result: BoardResult) -> tuple[RunVerdict, str]:
    said = f"{result.board} must pass and is {result.standing}: {result.why}"
    if result.standing in _NO_WORD:
        return "infrastructure", said
    return ("undecided" if result.standing == "undecided" else "fail"), said


def _share(rest: Sequence[BoardResult], share: float) -> tuple[RunVerdict, str]:
    passed = sum(result.standing == "pass" for result in rest)
    undecided = sum(result.standing == "undecided" for result in rest)
    silent = sum(result.standing in _NO_WORD for result in rest)
    needed = math.ceil(share * len(rest) - 1e-9)  # 0.7 * 10 is a little more than 7
    others = [f"{result.board} {result.standing}" for result in rest if result.standing != "pass"]
    said = f"{passed} of {len(rest)} other boards passed, {needed} have to"
    said += f" ({', '.join(others)})" if others else ""
    if passed >= needed:
        return "pass", said
    if passed + undecided + silent < needed:
        return "fail", said
    return ("infrastructure" if passed + silent >= needed else "undecided"), said
