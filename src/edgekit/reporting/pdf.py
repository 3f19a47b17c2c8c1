"""The report on paper: printed by an installed Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
INSTALL = "apt-get install --no-install-recommends chromium fonts-dejavu-core"
TIMEOUT_S = 120
# No first-run work, no updates, no requests of the browser's own.
QUIET = (
    "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions",
)  # fmt: skip


def write_pdf(html_path: Path, pdf_path: Path, timeout_s: float = TIMEOUT_S) -> None:
    """Print the report with a headless Chromium, atomically; light, every chart drawn, details open.

    The browser runs with a profile of its own that is deleted afterwards, and without its sandbox only as root,
    where it would not start with it.

    Raises:
        InputError: there is no report at ``html_path``.
        MissingRequirement: no Chromium is installed.
        EnvironmentFault: the browser did not print within ``timeout_s`` seconds.
        OutputError: the file cannot be written.
    """
    if not html_path.is_file():
        raise InputError(f"{html_path}: no such report; write it first with: edgekit report BUNDLE --out {html_path}")
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="edgekit-pdf-") as folder:
        printed = Path(folder) / "report.pdf"
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        command = [
            browser, *QUIET, *root, f"--user-data-dir={folder}/profile", "--virtual-time-budget=60000",
            "--window-size=720,1000", "--no-pdf-header-footer", f"--print-to-pdf={printed}",
            f"{html_path.resolve().as_uri()}#print",
        ]  # fmt: skip
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFault(f"{browser} did not print {html_path} within {timeout_s:g} s; try again") from error
        if not printed.is_file():
            last_line = run.stderr.strip().splitlines()[-1:] or ["no message"]
            raise EnvironmentFault(f"{browser} (exit code {run.returncode}) did not print {html_path}: {last_line[0]}")
        write_bytes(pdf_path, printed.read_bytes())


def find_browser() -> str:
    """The path of an installed Chromium.

    Raises:
        MissingRequirement: there is none.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise MissingRequirement(f"a browser to print with ({', '.join(BROWSERS)})", INSTALL)
