"""Write the first inputs of the fuzz targets, a folder each, from the cases of the tests.

python cpp/fuzz/seeds.py CASES FOLDER
"""

from __future__ import annotations

import shutil
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

LARGEST = 64 * 2**10
"""Bytes: a fuzzer gets on faster with small inputs."""


def main(cases: Path, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    write_contents(cases / "bundles", fresh(root / "contents"))
    copy((cases / "bundles").glob("*.edgekit"), fresh(root / "archive"))
    copy((cases / "pictures").glob("*.[pj][np]g"), fresh(root / "picture"))
    good = cases / "bundles" / "good"
    copy([*cases.glob("*/*.npz"), *good.glob("*.npz"), *(good / "golden").glob("*.npz")], fresh(root / "npz"))
    write_headers(root / "npz")
    write_frames(fresh(root / "frame"))


def fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def copy(files: Iterable[Path], folder: Path) -> None:
    for number, file in enumerate(sorted(files)):
        if file.stat().st_size <= LARGEST:
            shutil.copyfile(file, folder / f"{number}-{file.name}")


def write_contents(bundles: Path, folder: Path) -> None:
    """The first byte chooses: 0 a manifest, 1 a bundle.json."""
    for bundle in sorted(path for path in bundles.iterdir() if path.is_dir()):
        for choice, name in enumerate(("manifest.json", "bundle.json")):
            if (bundle / name).is_file():
                (folder / f"{bundle.name}-{name}").write_bytes(bytes([choice]) + (bundle / name).read_bytes())


def write_headers(folder: Path) -> None:
    """Headers of arrays alone."""
    for number, shape in enumerate(("()", "(3,)", "(1, 3, 8, 12)", "(-1,)", "(9999999999999999999,)")):
        for order in ("True", "False"):
            text = f"{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
            (folder / f"header-{number}-{order}").write_bytes(text)
            (folder / f"array-{number}-{order}").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text)


def write_frames(folder: Path) -> None:
    """Height, width, stride, encoding, whether there are data, and those."""
    for encoding in range(19):
        for height, width, stride, size in (
            (4, 6, 0, 200),
            (4, 6, 64, 400),
            (5, 7, 0, 400),
            (2**31 - 1, 2**31 - 1, 0, 1),
        ):
            head = struct.pack("<iiqBB", height, width, stride, encoding, 1)
            (folder / f"{encoding}-{height}-{stride}").write_bytes(head + bytes(size))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
