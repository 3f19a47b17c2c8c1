"""Build the site; exit code 1 when a page, a link, an anchor or a docstring is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.site.build import build
from docs.site.pages import Fault

ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    try:
        print(f"open {build(ROOT, folder) / 'index.html'}")
    except Fault as fault:
        sys.exit(f"docs: {fault}")
