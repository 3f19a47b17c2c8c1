"""Which stages a command reused, and why it ran the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from edgekit.core.workspace import Stage

FreshOption = Annotated[bool, typer.Option("--fresh", help="Trust no earlier result: run every stage anew.")]


def reuse_line(stages: Sequence[Stage]) -> str:
    """One line; ``-v`` has logged all that changed."""
    return "; ".join(map(_in_words, stages))


def _in_words(stage: Stage) -> str:
    if stage.reused:
        return f"{stage.name} reused"
    more = f" and {len(stage.changed) - 1} more" if len(stage.changed) > 1 else ""
    return f"{stage.name} run: {stage.why}{more}{', the result is the same' if stage.same else ''}"
