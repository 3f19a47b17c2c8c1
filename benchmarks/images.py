"""Builds and runs the images that can be built here, and measures them: `make images`.

The base is debootstrapped, so no registry is needed; the wheels are those of pip's index, pinned.  Without
``DOCKER_HOST`` a podman of its own is started, whose storage is below --folder.

Exit codes: 0 every promise holds; 1 one does not; 3 something is not installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

from benchmarks.image_parts import measuring, podman  # noqa: E402

from edgekit.core.errors import EdgekitError  # noqa: E402
from edgekit.images.building import Recipe, build  # noqa: E402
from edgekit.images.files import content_of, kind_of  # noqa: E402
from edgekit.images.wheel import write_wheel  # noqa: E402

KINDS = ("runtime-cpu", "ros2")
PULLED_MB, DISK_MB, FIRST_S, STARTS = 250.0, 650.0, 5.0, 5
BASE = "localhost/edgekit-bookworm:latest"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a bundle of a segmentation network for this machine")
    parser.add_argument("--folder", type=Path, default=Path("build/images"))
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--keep", action="store_true", help="keep images and storage")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        figures = _measured(folder, given.bundle)
    except EdgekitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if not given.keep:
            shutil.rmtree(folder / "podman", ignore_errors=True)
    print(json.dumps(figures, indent=2))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    broken = [words for words, holds in _promises(figures) if not holds]
    print("\n".join(f"does not hold: {words}" for words in broken) or "every promise holds", file=sys.stderr)
    return 1 if broken else 0


def _measured(folder: Path, bundle: Path) -> dict[str, Any]:
    wheels = _wheels(folder)
    base = podman.base(folder)
    figures: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "images": {}}
    with podman.service(folder / "podman"):
        client = importlib.import_module("docker").from_env(timeout=600)
        repository, _, tag = BASE.partition(":")
        client.api.import_image_from_file(str(base), repository=repository, tag=tag)
        for kind in KINDS:
            name = f"localhost/edgekit-{kind}:measured"
            recipe = Recipe(kind, name, bundle, BASE, wheels, {"PIP_NO_INDEX": "1"}, "host")
            build(recipe, lambda line: print(line, file=sys.stderr))
            figures["images"][kind] = measuring.sizes(client, name) | measuring.properties(client, name)
            if kind == "ros2":
                taken = [round(measuring.first_result_s(client, name), 2) for _ in range(STARTS)]
                figures["images"][kind]["first_result_s"] = taken
        client.close()
    return figures


def _wheels(folder: Path) -> Path:
    """Everything that both images install, for this Python, which has to be the base's; made once."""
    if sys.version_info[:2] != (3, 11):
        raise SystemExit("the base's Python is 3.11: run this with Python 3.11, whose wheels it takes")
    wheels = folder / "wheels"
    if wheels.is_dir():
        return wheels
    partial = folder / "wheels.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in ("constraints.txt", "ros-constraints.txt", "ros2-requirements.txt", "ros2-generators.txt"):
        (folder / name).write_bytes(content_of(name))
    own = write_wheel(folder, kind_of("ros2").extras)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(partial)]
    subprocess.run([*pip, "-c", str(folder / "constraints.txt"), str(own)], check=True)
    lists = [word for name in ("ros2-requirements.txt", "ros2-generators.txt") for word in ("-r", str(folder / name))]
    subprocess.run([*pip, "-c", str(folder / "ros-constraints.txt"), *lists, f"{own}[bags,metrics]"], check=True)
    partial.rename(wheels)
    return wheels


def _promises(figures: dict[str, Any]) -> list[tuple[str, bool]]:
    images = figures["images"]
    found = []
    for kind, one in images.items():
        found += [
            (f"{kind}: runs without root", one["uid"] != 0),
            (f"{kind}: the root file system is read-only", one["read_only"]),
            (f"{kind}: nothing but /tmp is writable", one["writable"] == ["/tmp"]),
            (f"{kind}: no torch", not one["torch"]),
            (f"{kind}: the health check is kept", bool(one["health_check"])),
            (f"{kind}: the health check passes", one["health_check_exit_code"] == 0),
        ]
    cpu, first = images["runtime-cpu"], images["ros2"]["first_result_s"]
    return [
        *found,
        (f"runtime-cpu: {cpu['pulled_mb']} of {PULLED_MB} MB as pulled", cpu["pulled_mb"] <= PULLED_MB),
        (f"runtime-cpu: {cpu['disk_mb']} of {DISK_MB} MB on disk", cpu["disk_mb"] <= DISK_MB),
        (f"ros2: {max(first)} of {FIRST_S} s from start to the first result", max(first) <= FIRST_S),
    ]


if __name__ == "__main__":
    sys.exit(main())
