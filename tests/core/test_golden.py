"""Golden inputs and outputs: read, written, asked, and never changed in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import BundleError
from edgekit.core.golden import KEPT, WHOLE, Golden, read_arrays, write_arrays
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


@pytest.mark.parametrize("name", ["int8.new", "input", "output", "shape"])
def test_references_that_no_file_could_tell_apart(name: str) -> None:
    with pytest.raises(ValueError, match=f"reference '{name}'"):
        filled().with_reference(name, [{}, {}])


def test_a_reference_has_outputs_of_every_frame() -> None:
    with pytest.raises(ValueError, match="outputs of 1 frames; expected 2"):
        filled().with_reference("fp16", [{"y": np.zeros(1)}])


# --- some values of large outputs --------------------------------------------------


def large(seed: int = 0) -> Golden:
    random = np.random.default_rng(seed)
    frames = Golden(tuple({"image": np.zeros((1, 2), np.float32)} for _ in range(2)))
    for reference in ("fp32", "int8"):
        outputs = [
            {"map": random.normal(size=(1, 3, 256, 256)).astype(np.float32), "few": np.ones(3)} for _ in range(2)
        ]
        frames = frames.with_reference(reference, outputs)
    return frames


def test_large_outputs_are_thinned_and_small_ones_are_not(tmp_path: Path) -> None:
    whole = large()
    assert whole.whole(0)
    whole.thinned().write(tmp_path / "golden.npz", deflated=True)
    kept = Golden.read(tmp_path / "golden.npz")
    assert (tmp_path / "golden.npz").stat().st_size < 4 * 4 * KEPT * 1.1
    assert not kept.whole(0)
    assert kept.interface("output") == whole.interface("output")
    for reference in ("fp32", "int8"):
        assert kept.output(1, "few", reference).tolist() == [1, 1, 1]
        assert kept.output(1, "map", reference).shape == (KEPT,)
        np.testing.assert_array_equal(
            kept.output(1, "map", reference), kept.kept(1, "map", whole.output(1, "map", reference))
        )
    assert kept.kept(0, "few", np.zeros(3)).shape == (3,)
    wrong = np.zeros((1, 3, 256, 255), np.float32)
    assert kept.kept(0, "map", wrong) is wrong
    assert whole.kept(0, "map", whole.output(0, "map")) is whole.output(0, "map")


def test_places_are_those_of_the_formula_and_spread_over_rows_and_columns() -> None:
    size = 512 * 1024  # a stride of 16 would see few columns
    flat = np.arange(size, dtype=np.int64).reshape(1, 512, 1024)
    golden = Golden(({},)).with_reference("fp32", [{"y": flat}]).thinned()
    places = golden.output(0, "y")
    assert places[:5].tolist() == [(k * 2654435769 % 2**32) * size // 2**32 for k in range(5)]
    assert len(set(places.tolist())) == KEPT
    assert len(set((places % 1024).tolist())) == 1024
    assert np.bincount(places // 1024, minlength=512).min() > 0.8 * KEPT / 512


def test_outputs_that_stay_whole() -> None:
    assert large().thinned(whole=("map",)).whole(0)
    assert len(large().thinned().shapes[0]) == 1
    assert WHOLE >= 2 * KEPT
    other = large().with_reference("fp16", [{"map": np.zeros((1, 3, 128, 256), np.float32)}] * 2)
    assert other.thinned().whole(1)  # another number of rows: a selection would not meet its partner
