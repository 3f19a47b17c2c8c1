"""The whole sequence on an emulated aarch64 board, and a power cut in its middle: ``make hil-qemu``.

Makes what is missing in ``build/hil-qemu`` (the board's disk, wheels for aarch64, a small bundle), runs the bundle on
the board, compares what the engine that was built there computes with the references from this machine, cuts the power
while an engine is being built, and runs again.  Prints a line each, and with ``--json`` a document.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "hil-qemu"
NEEDS = (
    "cryptography", "numpy", "onnxruntime", "opencv-python-headless", "pydantic", "rich", "ruamel.yaml", "scipy",
    "typer", "typing_extensions",
)  # fmt: skip
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
BOARD_PYTHON = "3.11"  # of Debian 12, which the board is
QUERIES = 120
CUT_AFTER_S = 8.0  # into the build of the engine


def pip(*words: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)], check=True
    )


def wheels(folder: Path) -> None:
    """edgekit's wheel of this checkout, and those it needs on the board."""
    for old in folder.glob("edgekit-*.whl"):
        old.unlink()
    pip("wheel", "--no-deps", "-w", folder, ROOT)
    if not any(folder.glob("onnxruntime-*.whl")):
        platforms = [f"--platform={name}" for name in PLATFORMS]
        fixed = ["--only-binary=:all:", f"--python-version={BOARD_PYTHON}", "-c", ROOT / "constraints.txt"]
        pip("download", "-d", folder, *fixed, *platforms, *NEEDS)


def bundle(folder: Path) -> Path:
    """A small network, its weights and data, built for this machine."""
    sys.path.insert(0, str(ROOT))
    from tests.support.projects import write_project

    import edgekit

    spec = folder / "edgekit.yaml"
    if not spec.is_file():
        write_project(folder)
    edgekit.build(spec, target="cpu")
    return folder / "artifacts" / "tiny-cpu"


def command(made: Path) -> list[str]:
    words = [
        "hil",
        "run",
        "--env",
        "qemu-aarch64.yaml",
        "--bundle",
        made,
        "--out",
        FOLDER / "runs",
        "--json",
        "--verbose",
    ]
    return [sys.executable, "-m", "edgekit", *map(str, words), "--queries", str(QUERIES)]


def run(made: Path, cut_at: str = "") -> dict[str, Any]:
    """The document of one ``edgekit hil run``; the power is cut when it says that it does ``cut_at``."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command(made), stdout=output, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if cut_at and f" {cut_at}" in line:
                cut_at = ""
                time.sleep(CUT_AFTER_S)
                emulator = [sys.executable, "-m", "edgekit_hil.emulator"]
                subprocess.run([*emulator, "off", str(FOLDER / "board")], check=True)
        code = process.wait()
        output.seek(0)
        document: dict[str, Any] = json.load(output)
        return document | {"exit_code": code}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    begin = time.monotonic()
    (FOLDER / "runs").mkdir(parents=True, exist_ok=True)
    os.environ["LG_HIL_BOARD"], os.environ["LG_HIL_WHEELS"] = str(FOLDER / "board"), str(FOLDER / "wheels")
    os.environ["LG_HIL_EMULATOR"] = f"{sys.executable} -m edgekit_hil.emulator"
    if not (FOLDER / "board" / "disk.ext4").is_file():
        subprocess.run([sys.executable, "-m", "edgekit_hil.emulator", "build", str(FOLDER / "board")], check=True)
    wheels(FOLDER / "wheels")
    made = bundle(FOLDER / "project")
    ready = time.monotonic()
    first = run(made)
    cut = run(made, cut_at="rebuild-bundle")
    again = run(made)
    document = {
        "minutes_to_prepare": (ready - begin) / 60,
        "minutes_of_the_first_run": first["seconds"] / 60,
        "minutes_after_the_cut": again["seconds"] / 60,
        "verdict": first["verdict"],
        "verdict_of_the_cut": cut["verdict"],
        "why": cut["why"],
        "verdict_after_the_cut": again["verdict"],
        "emulated": first["board"]["emulated"],
        "architecture": first["board"]["facts"].get("architecture"),
        "steps": {step["name"]: step["said"] for step in first["steps"]},
        "moved_bytes": [first["moved_bytes"], again["moved_bytes"]],
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for name, value in document.items():
            print(f"{name:26} {value}")
    expected = (first["exit_code"], cut["exit_code"], again["exit_code"]) == (0, 3, 0)
    sys.exit(0 if expected else 1)


if __name__ == "__main__":
    main()
