"""Golden inputs and outputs: read, written, asked, and never changed in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import BundleError
from edgekit.core.golden import Golden, read_arrays, write_arrays
from edgekit.core.tensors import TensorSpec


def filled() -> Golden:
    frames = Golden(tuple({"image": np.full((1, 2), i, np.float32), "gain.x": np.array([i])} for i in range(2)))
    frames = frames.with_reference("fp32", [{"y": np.full((1, 3), 10 + i, np.float32)} for i in range(2)])
    return frames.with_reference("int8", [{"y": np.full((1, 3), 20 + i, np.float32)} for i in range(2)])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    filled().write(tmp_path / "golden.npz")
    found = Golden.read(tmp_path / "golden.npz")
    assert (found.frames, set(found.references)) == (2, {"fp32", "int8"})
    assert found.feeds(1)["image"].tolist() == [[1, 1]]
    assert found.feeds(1)["gain.x"].tolist() == [1]
    assert found.output(1, "y").tolist() == [[11, 11, 11]]
    assert found.outputs(0, "int8")["y"].tolist() == [[20, 20, 20]]
    found.write(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "golden.npz").read_bytes()


def test_names_in_the_file_are_those_of_version_1(tmp_path: Path) -> None:
    filled().write(tmp_path / "golden.npz")
    assert sorted(read_arrays(tmp_path / "golden.npz")) == [
        "input.0.gain.x", "input.0.image", "input.1.gain.x", "input.1.image",
        "int8.0.y", "int8.1.y", "output.0.y", "output.1.y",
    ]  # fmt: skip


def test_interface() -> None:
    assert filled().interface("input") == (TensorSpec("image", (1, 2)), TensorSpec("gain.x", (1,), "int64"))
    assert filled().interface("output") == (TensorSpec("y", (1, 3)),)


def test_a_reference_more_leaves_the_others_as_they_were() -> None:
    first = filled()
    second = first.with_reference("int8", [{"y": np.zeros((1, 3), np.float32)}] * 2)
    assert first.output(0, "y", "int8").tolist() == [[20, 20, 20]]
    assert second.output(0, "y", "int8").tolist() == [[0, 0, 0]]
    first.feeds(0).clear()
    first.outputs(0).clear()
    assert first.feeds(0)
    assert first.outputs(0)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"outputs of fp16 on frame 0 \(it has those of: fp32, int8\)"):
        filled().outputs(0, "fp16")
    with pytest.raises(BundleError, match=r"output 'z' of int8 on frame 1 \(it has: y\)"):
        filled().output(1, "z", "int8")
    write_arrays(tmp_path / "golden.npz", {"input.first.x": np.zeros(1)})
    with pytest.raises(BundleError, match=r"array 'input\.first\.x'; expected <role>\.<frame>\.<tensor>"):
        Golden.read(tmp_path / "golden.npz")


@pytest.mark.parametrize("name", ["int8.new", "input", "output"])
def test_references_that_no_file_could_tell_apart(name: str) -> None:
    with pytest.raises(ValueError, match=f"reference '{name}'"):
        filled().with_reference(name, [{}, {}])


def test_a_reference_has_outputs_of_every_frame() -> None:
    with pytest.raises(ValueError, match="outputs of 1 frames; expected 2"):
        filled().with_reference("fp16", [{"y": np.zeros(1)}])
