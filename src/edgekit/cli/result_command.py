"""``edgekit result``: check the signed result of a gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import APP_OPTIONS, JsonOption, print_json, print_table

FileArgument = Annotated[Path, typer.Argument(help="What edgekit gate --signed-result wrote.")]
PublicKeyOption = Annotated[
    str, typer.Option("--public-key", help="Ed25519 public key, PEM, that you trust: a file, or env://NAME.")
]
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", help="The bundle that the result has to be about: a folder or file.")
]


def check(
    file: FileArgument, public_key: PublicKeyOption, bundle: BundleOption = None, as_json: JsonOption = False
) -> None:
    """Check who signed a result and which bundle it is about, and show it; exit code 1 when its gate did not pass.

    Exit code 2 when the signature is not from the holder of the key, or the result is about another bundle.
    """
    from edgekit.bundle import open_bundle
    from edgekit.kpis import words
    from edgekit.stages.result import read_signed, require_about

    checked = read_signed(file, public_key)
    if bundle is not None:
        require_about(checked, open_bundle(bundle))
    report = checked.report
    if as_json:
        print_json(report.to_dict())
    else:
        rows = [words.row(kpi) for kpi in report.gate.kpis]
        print_table(f"{report.bundle}: {report.gate.verdict.upper()}", words.HEADER, rows, words.HEADER[-1])
        print(f"the signature is valid; judged {report.finished} on {', '.join(report.device.values())}")
        if report.given:
            print(f"not measured in that run, but handed in: {', '.join(report.given)}")
        if bundle is None:
            print(f"bundle {report.digest}; --bundle BUNDLE says whether yours is that one")
    if report.gate.verdict != "pass":
        raise SystemExit(1)


command = typer.Typer(help="Check the signed result of a gate.", no_args_is_help=True, **APP_OPTIONS)


@command.callback()
def result() -> None:
    """Check the signed result of a gate."""


command.command()(check)
