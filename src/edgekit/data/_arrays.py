"""Files that NumPy writes, shared by the formats that read arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array

ENDINGS = (".npy", ".npz")
ALONE = "array"
"""The name of the one array of a ``.npy`` file."""


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a ``.npz`` file by name, or that of a ``.npy`` file as ``array``; never unpickled.

    Raises:
        DataError: the file is missing, damaged, empty or holds objects.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {ALONE: loaded}
        with loaded:
            arrays = dict(loaded)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}; write it with numpy.save or savez") from error
    if not arrays:
        raise DataError(f"{path}: holds no array; write it with numpy.savez(path, name=array)")
    return arrays
