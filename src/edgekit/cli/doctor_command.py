"""``edgekit doctor``."""

from __future__ import annotations

from edgekit.cli.console import JsonOption, print_json, print_table, single
from edgekit.core.probes import Probe


def doctor(as_json: JsonOption = False) -> None:
    """What this machine can really do: engines and providers are proven by a run, not by a list."""
    from dataclasses import asdict

    from edgekit.doctor import examine

    findings = examine()
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
        return
    _show("edgekit doctor", [f for f in findings if not f.optional])
    _show("optional", [f for f in findings if f.optional])
    if any(f.optional and not f.works for f in findings):
        print("-: not on this machine, which is no fault; a profile says which sensors it had")


def _show(title: str, findings: list[Probe]) -> None:
    rows = [
        (
            f.name,
            "yes" if f.works else "-" if f.optional else "no",
            f.detail if f.works or not f.install else f"{f.detail}: {f.install}",
        )
        for f in findings
    ]
    if rows:
        print_table(title, ("what", "works", "detail"), rows, "detail")


command = single(doctor)
