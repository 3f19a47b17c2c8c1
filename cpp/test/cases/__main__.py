"""Write the cases of the C++ tests: inputs, and what edgekit's Python makes of them.

PYTHONPATH=src python cpp/test/cases FOLDER [NAME ...]

Each module beside this one has ``write(folder: Path) -> None`` and gets a folder of its own name. A folder that is
there already, made by the same sources, stays.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCES = ROOT / "src" / "edgekit"


def _digest(module: Path) -> str:
    """Of all that decides what a module writes: itself, the parts and data files of its name, and edgekit's sources."""
    found = hashlib.sha256(module.read_bytes())
    parts = [*HERE.glob(f"{module.stem}_*.json"), *HERE.glob(f"_{module.stem}_*.py")]
    for file in (*sorted(parts), *sorted(SOURCES.rglob("*.py"))):
        found.update(file.read_bytes())
    return found.hexdigest()


def main(root: Path, names: list[str]) -> None:
    for module in sorted(HERE.glob("[a-z]*.py")):
        folder, digest = root / module.stem, _digest(module)
        stamp = root / f"{module.stem}.digest"
        if (names and module.stem not in names) or (stamp.is_file() and stamp.read_text() == digest):
            continue
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        importlib.import_module(module.stem).write(folder)
        stamp.write_text(digest)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(ROOT)]
    main(Path(sys.argv[1]), sys.argv[2:])
