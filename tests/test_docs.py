"""The documentation names files that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
TOP = r"(?:src/edgekit|tests|benchmarks|docs|examples)/"
ROOMS = "|".join(p.stem for p in (ROOT / "src" / "edgekit").iterdir() if p.is_dir() and p.name[0] != "_")
# A path from the top of the repository, or a file of a room: stats/faster.py.
NAMED = re.compile(rf"(?<![\w/.$}}<-])({TOP}[\w./-]*\w|(?:{ROOMS})/[\w./-]*\w\.(?:py|j2))(?![\w<*{{])")
MADE = re.compile(r"/artifacts\b|/\.work\b|/weights/|results/gpu_check\.json")  # by commands, not in the repository


def _kept() -> set[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()}


def test_every_file_that_a_page_names_is_there() -> None:
    files = _kept()
    known = files | {str(folder) for name in files for folder in PurePosixPath(name).parents}
    missing = []
    for page in sorted(name for name in files if name.endswith(".md")):
        for number, line in enumerate((ROOT / page).read_text().splitlines(), start=1):
            for name in NAMED.findall(line):
                beside = str(PurePosixPath(page).parent / name)
                if not MADE.search(name) and not {name, f"src/edgekit/{name}", f"{name}.py", beside} & known:
                    missing.append(f"{page}:{number}: {name}")
    assert missing == []
