"""New projects: a spec with every section explained, a model file to replace, and made-up frames to try both with."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import InputError
from edgekit.core.suggest import allowed

# A worked example of each task that has no template.
_EXAMPLES = {
    "antispoofing": "minifasnet",
    "embedding": "embedding",
    "multitask": "multitask",
    "outputs": "public/plates",
    "regression": "public/headpose",
}


def scaffold(folder: Path, task: str) -> list[Path]:
    """Write the template of ``task`` into ``folder``; returns the files.

    Raises:
        InputError: no template for the task (the message names what there is instead), or the folder already holds
            one of its files.
    """
    templates = resources.files("edgekit.scaffold") / "templates"
    known = tuple(
        sorted(entry.name for entry in templates.iterdir() if entry.is_dir() and not entry.name.startswith("_"))
    )
    if task in _EXAMPLES:
        worked = f"start from examples/{_EXAMPLES[task]}/edgekit.yaml of edgekit's repository"
        raise InputError(f"--task: no template for {task!r}; {worked}, or use one of: {', '.join(known)}")
    if task not in known:
        raise InputError(f"--task: no template for {task!r}; {allowed(task, known)}")
    sources = sorted((templates / task).iterdir(), key=lambda entry: entry.name)
    targets = [folder / entry.name.removesuffix(".txt") for entry in sources]
    for target in targets:
        if target.exists():
            raise InputError(f"{target} exists already; choose another folder")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._") or "my-model"
    for source, target in zip(sources, targets, strict=True):
        write_bytes(target, source.read_text(encoding="utf-8").replace("@NAME@", name).encode())
    return targets
