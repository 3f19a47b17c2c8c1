"""A regression as the text of an issue."""

from __future__ import annotations

from edgekit_hil.night.report import Regression
from edgekit_hil.night.text import cell


def issue_text(found: Regression, night: str) -> str:
    """Markdown: KPI, slice and amount, suspects with commits, how they were found, how to see it again."""
    lines = [f"Night `{night}`: **{cell(found.bundle)}** on {', '.join(map(cell, found.boards))} got worse.", ""]
    lines += ["| KPI | slice | amount | limit |", "|---|---|---|---|"]
    for one in found.findings:
        lines.append(f"| {cell(one.title)} | {cell(one.where) or '-'} | {cell(one.amount)} | {cell(one.limit)} |")
    lines += ["", f"Last good: {cell(str(found.baseline))}.", ""]
    if len(found.suspects) == 1:
        lines.append(f"**First bad bundle: {cell(str(found.suspects[0]))}**, of {found.candidates} since; {found.why}.")
    else:
        lines.append(f"The first bad bundle is one of {len(found.suspects)} ({cell(found.why)}):")
        lines += ["", *(f"- {cell(str(one))}" for one in found.suspects)]
    if found.probes:
        lines += ["", f"Found in {len(found.probes)} runs, each in turn with last-good:", ""]
        lines += ["| bundle | read as | |", "|---|---|---|"]
        lines += [f"| {cell(str(one.bundle))} | {one.reading} | {cell(one.said)} |" for one in found.probes]
    # A fence that is longer than any run of backticks in it cannot be ended by it.
    lines += ["", "To see it again:", "", "````sh", found.reproduce, "````"]
    return "\n".join(lines) + "\n"
