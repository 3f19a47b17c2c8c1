"""``edgekit``: finds the command and loads only what it needs, so that ``--help`` stays fast."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgekit.cli.console import APP_OPTIONS, show_error
from edgekit.cli.plugged import PLUGGED, plugged

# In the order in which a user meets them.
COMMANDS = (
    "doctor",
    "init",
    "demo",
    "compress",
    "sensitivity",
    "build",
    "verify",
    "evaluate",
    "profile",
    "gate",
    "result",
    "comment",
    "history",
    "report",
    "run",
    "bundle",
    "record",
    "replay",
    "ros2",
    "hil",
    "image",
    "schema",
)


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None when there is no such name."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in PLUGGED:
            return typer.main.get_command(plugged(cmd_name))
        return typer.main.get_command(importlib.import_module(f"edgekit.cli.{cmd_name}_command").command)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command; an unknown name is answered with the nearest one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from edgekit.core.suggest import allowed

            ctx.fail(f"no command {args[0]!r}; {allowed(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(name="edgekit", cls=LazyGroup, no_args_is_help=True, **APP_OPTIONS)


def _print_version(wanted: bool) -> None:
    if wanted:
        from edgekit import __version__

        typer.echo(f"edgekit {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
]


@app.callback()
def edgekit(version: VersionOption = False) -> None:
    """Take a trained PyTorch perception model to an engine whose accuracy and latency are proven.

    \b
    First:  edgekit doctor
    Then:   edgekit init my-project --task segmentation
            edgekit build my-project/edgekit.yaml --target cpu
            edgekit gate my-project/artifacts/my-project-cpu

    Exit codes: 0 done, every KPI holds; 1 a KPI or parity check failed; 2 the input is wrong;
    3 this machine lacks what the command needs.
    """


def main() -> None:
    """Console entry point: one line on stderr and a documented exit code for every known error."""
    from edgekit.core.errors import EdgekitError

    try:
        app(prog_name="edgekit")
    except EdgekitError as error:
        show_error(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
