"""Pages of the site from the Markdown files of the repository, which also read well where they lie.

A link between two pages goes to the page on the site. A link to any other file of the repository becomes its path in
code letters, because the site holds pages and pictures only. A link to nothing is a fault.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

GENERATED = "docs/reference/"  # made for the site only; its strict build checks these links
PICTURES = (".png", ".jpg", ".svg")
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\[\]]*\])*\])\(([^()\s]+)\)")
_FENCE = re.compile(r"^\s*(```|~~~)")


class Fault(Exception):
    """Something in the documentation is wrong; the text names the page and the fix."""


def homes(root: Path) -> dict[str, str]:
    """Path on the site of every page and picture, by its path in the repository."""
    found = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for path in sorted((root / "docs").rglob("*")):
        inside = path.relative_to(root / "docs").as_posix()
        if (path.suffix == ".md" or path.suffix in PICTURES) and not inside.startswith("site/"):
            found[f"docs/{inside}"] = inside
    for readme in sorted((root / "examples").glob("*/README.md")):
        name = readme.parent.name
        found[f"examples/{name}/README.md"] = f"examples/{name}.md"
        for picture in sorted(p for p in readme.parent.iterdir() if p.suffix in PICTURES):
            found[f"examples/{name}/{picture.name}"] = f"examples/{name}/{picture.name}"
    peers = "benchmarks/peers/README.md"
    found[peers] = "benchmarks/peers-how.md"
    return found


def stage(root: Path, folder: Path) -> None:
    """Write every page and picture into ``folder``, links rewritten.

    Raises:
        Fault: a link leads to no file of the repository.
    """
    found = homes(root)
    for source, home in found.items():
        target = folder / home
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".md"):
            target.write_text(_rewritten((root / source).read_text(encoding="utf-8"), source, found, root))
        else:
            shutil.copyfile(root / source, target)


def _rewritten(text: str, source: str, found: Mapping[str, str], root: Path) -> str:
    """The page with links that fit the site; code is left alone."""
    lines, fenced = [], False
    for number, line in enumerate(text.splitlines(), start=1):
        if _FENCE.match(line):
            fenced = not fenced
        if not fenced:
            parts = _LINK.split(line)  # text, label, target, text, label, target ... text
            for i in range(1, len(parts), 3):
                parts[i : i + 2] = ["", _link(parts[i], parts[i + 1], f"{source}:{number}", source, found, root)]
            line = "".join(parts)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _link(label: str, target: str, place: str, source: str, found: Mapping[str, str], root: Path) -> str:
    """One link as the site has it; ``label`` with its brackets."""
    if "://" in target or target.startswith(("#", "mailto:")):
        return f"{label}({target})"
    path, mark, anchor = target.partition("#")
    here = PurePosixPath(os.path.normpath(PurePosixPath(source).parent / path)).as_posix()
    made = here.startswith(GENERATED)
    if not made and not (root / here).exists():
        raise Fault(f"{place}: {target} leads to no file; name one relative to the page")
    if (root / here).is_dir():
        here = f"{here}/README.md"
    if made or here in found:
        home = os.path.relpath(found.get(here, here.removeprefix("docs/")), PurePosixPath(found[source]).parent)
        return f"{label}({home}{mark}{anchor})"
    words = label[1:-1].strip("`")
    return f"`{here}`" if words == "json" or here.endswith(words) else f"{label[1:-1]} (`{here}`)"
