"""The engine on the board: checked as it is, or built anew where it is for another machine and the board may build."""

from __future__ import annotations

from edgekit.core.errors import CheckFailed, InputError
from edgekit_hil.steps.context import Context


def step(context: Context) -> str:
    """Check every file of the bundle, and the engine against its golden outputs.

    Raises:
        CheckFailed: parity does not hold on this board.
        InputError: the bundle is for another machine, and the board's driver has not ``rebuild``.
    """
    found, rebuilt = context.found, ""
    try:
        document = context.command("verify", ["verify", found.places["bundle"]])
    except InputError as error:
        if not context.agent.rebuild or "bundle rebuild" not in str(error):
            raise
        rebuilt = "rebuilt, "
        for which in ("bundle", "against"):
            if which in found.places:
                found.places[which] = _rebuild(context, which)
        document = context.command("verify-rebuilt", ["verify", found.places["bundle"]])
    if document["verdict"] != "pass":
        raise CheckFailed(f"parity does not hold on {context.agent.link.name}; see verify.json of the run")
    return f"{rebuilt}parity holds"


def _rebuild(context: Context, which: str) -> str:
    out = f"{context.agent.link.home}/built/{context.lease.run}-{which}"
    context.command(f"rebuild-{which}", ["bundle", "rebuild", context.found.places[which], "--out", out])
    return out
