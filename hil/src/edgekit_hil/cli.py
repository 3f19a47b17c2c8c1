"""``edgekit hil``."""

from __future__ import annotations

import typer

from edgekit.cli.console import APP_OPTIONS
from edgekit_hil.night.command import night
from edgekit_hil.night.issues import issues
from edgekit_hil.run_command import run

command = typer.Typer(no_args_is_help=True, help="KPIs on the board: one run, or a night of a fleet.", **APP_OPTIONS)


@command.callback()
def hil() -> None:
    """KPIs on the board: one run, or a night of a fleet."""


for _function in (run, night, issues):
    command.command()(_function)
