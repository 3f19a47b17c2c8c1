"""``edgekit init``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import JsonOption, print_json, single

FolderArgument = Annotated[Path, typer.Argument(help="Folder to make; its name becomes the project's name.")]
TaskOption = Annotated[str, typer.Option(help="The perception task: classification, detection or segmentation.")]


def init(folder: FolderArgument, task: TaskOption = "segmentation", as_json: JsonOption = False) -> None:
    """Start a project: a commented edgekit.yaml, and a model.py and frames.py that make stand-ins to replace."""
    from edgekit.scaffold import scaffold

    written = scaffold(folder, task)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        print(f"wrote {path}")
    model, frames, spec = (shlex.quote(f"{folder}/{name}") for name in ("model.py", "frames.py", "edgekit.yaml"))
    print("next: put your model, weights and data in; or first see it run on stand-ins:")
    for line in (f"python {model}", f"python {frames}", f"edgekit build {spec} --target cpu"):
        print(f"  {line}")


command = single(init)
