"""``edgekit doctor``."""

from __future__ import annotations

from edgekit.cli.console import JsonOption, print_json, print_table, single


def doctor(as_json: JsonOption = False) -> None:
    """What this machine can really do: engines and providers are proven by a run, not by a list."""
    from dataclasses import asdict

    from edgekit.doctor import examine

    findings = examine()
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
        return
    rows = [
        (f.name, "yes" if f.works else "no", f.detail if f.works or not f.install else f"{f.detail}: {f.install}")
        for f in findings
    ]
    print_table("edgekit doctor", ("what", "works", "detail"), rows)


command = single(doctor)
