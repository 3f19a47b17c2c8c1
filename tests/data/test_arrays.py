"""Frames that are no images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.arrays import Config


def test_arrays_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", points=np.eye(3), speed=np.float32(2))
    np.save(tmp_path / "a.npy", np.arange(4))
    (tmp_path / "notes.txt").write_text("no frame")
    samples = list(Config(root=tmp_path).open())
    assert [sample.id for sample in samples] == ["a", "b"]
    assert samples[0].images["array"].tolist() == [0, 1, 2, 3]
    assert {name: array.shape for name, array in samples[1].images.items()} == {"points": (3, 3), "speed": ()}
    assert [sample.id for sample in Config(root=tmp_path, limit=1).open()] == ["a"]


def test_fingerprint_follows_names_and_content(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    seen = [Config(root=tmp_path).open().fingerprint()]
    np.save(tmp_path / "a.npy", np.arange(5))
    seen.append(Config(root=tmp_path).open().fingerprint())
    (tmp_path / "a.npy").rename(tmp_path / "b.npy")
    seen.append(Config(root=tmp_path).open().fingerprint())
    assert len(set(seen)) == 3


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no array; expected files that end in \.npy or \.npz"):
        Config(root=tmp_path).open()
    np.save(tmp_path / "a.npy", np.arange(4))
    np.savez(tmp_path / "a.npz", x=np.arange(4))
    with pytest.raises(DataError, match=r"a\.npz: has the same stem as a\.npy; rename one"):
        Config(root=tmp_path).open()
    (tmp_path / "a.npz").unlink()
    for content in (b"", (tmp_path / "a.npy").read_bytes()[:100], b"PK\x03\x04"):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npy: cannot be read as an array"):
            Config(root=tmp_path).open()[0]
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy: cannot be read as an array"):
        Config(root=tmp_path).open()[0]
    np.savez(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"b\.npz: holds no array"):
        Config(root=tmp_path).open()[1]
