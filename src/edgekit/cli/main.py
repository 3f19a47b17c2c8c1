"""``edgekit``: finds the command and loads only that one, so that ``--help`` stays fast."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "doctor": "What this machine can really do: engines proven by a run, GPU, ROS, clocks.",
    "init": "Start a project: a commented edgekit.yaml that validates.",
    "demo": "Compress, build, evaluate, profile and gate a small model on rendered scenes.",
    "compress": "Load, quantize and export: typed ONNX, golden outputs, calibration record.",
    "build": "Build the engine of a target, prove parity, write the bundle.",
    "verify": "Check a bundle's files, and its engine against its golden outputs.",
    "evaluate": "Accuracy of a bundle on its evaluation data, beside its FP32 control.",
    "profile": "Latency by stage and memory of a bundle's engine.",
    "gate": "Judge a bundle's KPIs: exit code 0 when all hold, 1 when one fails.",
    "run": "Run a bundle on images and write overlay pictures.",
    "bundle": "Inspect, pack, sign and check bundles.",
    "schema": "Print the JSON Schema of the spec or of a report.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"edgekit.cli.{name}_command").command()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no command {args[0]!r};{hint} edgekit --help lists them")
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: Any, wanted: bool) -> None:
    if wanted:
        from edgekit import __version__

        click.echo(f"edgekit {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version.")
def app() -> None:
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
        from edgekit.cli.console import show_error

        show_error(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
