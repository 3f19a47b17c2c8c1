"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

INTRO = """# Command line

Every command takes `--json`: one document on stdout, everything else on stderr. Exit codes: 0 done, every KPI holds;
1 a KPI or parity check failed; 2 the input is wrong; 3 this machine lacks what the command needs.
"""


def page() -> str:
    """Markdown with a section for each command, in the order of ``edgekit --help``."""
    import typer

    from edgekit.cli.main import COMMANDS, app

    group: Any = typer.main.get_command(app)
    parts = [INTRO]
    for name in COMMANDS:
        parts += _command(f"edgekit {name}", group.get_command(None, name), 2)
    return "\n".join(parts)


def _command(name: str, command: Any, level: int) -> Iterator[str]:
    commands: dict[str, Any] = getattr(command, "commands", {})
    parameters = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [_metavar(p) for p in parameters if p.param_type_name == "argument"]
    yield f"\n{'#' * level} {name}\n"
    yield f"    {' '.join([name, *arguments, '[OPTIONS]' if not commands else 'COMMAND'])}\n"
    yield f"{_prose(command.help or '')}\n"
    if parameters and not commands:
        yield "| argument or option | default | what |\n|---|---|---|"
        yield from (_row(p) for p in parameters)
    for part, one in commands.items():
        yield from _command(f"{name} {part}", one, level + 1)


def _metavar(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name.upper())
    return shown if parameter.required else f"[{shown}]"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = _metavar(parameter)
    else:
        shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            shown += f" {parameter.metavar or _kind(parameter.type_descriptor.annotation)}"
    default = parameter.default
    stated = default is not None and not callable(default) and default not in (False, (), "")
    what = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| `{shown}` | {f'`{default}`' if stated else ''} | {what} |"


def _kind(annotation: Any) -> str:
    """What an option takes, in one word, or the words that it may be."""
    if get_origin(annotation) is Literal:
        return " or ".join(get_args(annotation))
    one = next(iter(get_args(annotation)), annotation)
    word: str = {Path: "PATH", str: "TEXT", int: "INTEGER", float: "NUMBER"}.get(one, one.__name__.upper())
    return word


def _prose(text: str) -> str:
    """The help text; paragraphs that are to be kept as they are (``\\b``) become code."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(
        "\n".join(f"    {line}" for line in p.lstrip("\b\n").splitlines()) if p.startswith("\b") else p
        for p in paragraphs
    )
