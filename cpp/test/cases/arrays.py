"""NumPy archives: every type that is read, in both orders of memory, and some that are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

TYPES = ("f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?")


def write(folder: Path) -> None:
    made = {np.dtype(kind).name: np.arange(24).reshape(2, 3, 4).astype(kind) for kind in TYPES}
    # With the last index running slowest in the file; the same values, and what they have to become.
    made |= {"fortran": np.asfortranarray(made["float32"]), "c": made["float32"]}
    made |= {"scalar": np.float64(2.5), "one": np.zeros(1, np.uint8), "nothing": np.zeros((0, 3), np.int16)}
    np.savez(folder / "stored.npz", **made)
    np.savez_compressed(folder / "deflated.npz", **made)
    np.savez(folder / "text.npz", text=np.array("text"))
    np.savez(folder / "big-endian.npz", array=np.arange(3, dtype=">f4"))
    np.savez(folder / "deep.npz", array=np.zeros((1,) * 9))
    np.savez(folder / "object.npz", array=np.array([None], object))
    np.savez_compressed(folder / "large.npz", array=np.zeros(2**20, np.uint8))
    content = (folder / "stored.npz").read_bytes()
    (folder / "cut.npz").write_bytes(content[: len(content) // 2])
    at = content.index(b"\x93NUMPY") + 140  # among the values
    (folder / "flipped.npz").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with zipfile.ZipFile(folder / "other.npz", "w") as zipped:
        zipped.writestr("array.npy", b"no array")
