"""``edgekit init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import JsonOption, print_json, single

FolderArgument = Annotated[Path, typer.Argument(help="Folder to make; its name becomes the project's name.")]
TaskOption = Annotated[str, typer.Option(help="The perception task.")]


def init(folder: FolderArgument, task: TaskOption = "segmentation", as_json: JsonOption = False) -> None:
    """Start a project: a commented edgekit.yaml that validates, and a model.py to replace."""
    from edgekit.scaffold import scaffold

    written = scaffold(folder, task)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        print(f"wrote {path}")
    print(f"next: put your model, weights and data in, then: edgekit build {folder}/edgekit.yaml --target cpu")


command = single(init)
