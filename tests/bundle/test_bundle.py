"""Bundles: complete, unchanged and for this machine, or refused by name."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bundle import MANIFEST, SIGNATURE, EvaluationData, open_bundle, pack, write_bundle
from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import BundleError, DataError
from edgekit.pipeline import build


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and give it a digest that fits, as a forger could."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest.pop("digest")
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))


def test_holds_what_a_target_needs(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert bundle.name == "tiny-cpu"
    assert bundle.contents.candidate.precision == "int8"
    assert bundle.contents.control is not None
    assert set(bundle.manifest["files"]) == {
        "bundle.json",
        "calibration.json",
        "engines/fp32.ort.onnx",
        "engines/int8.ort.onnx",
        "golden.npz",
        "golden/0.image.png",
        "golden/1.image.png",
        "golden/predictions.json",
        "models/fp32.onnx",
        "models/int8.onnx",
        "parity.json",
    }
    assert bundle.manifest["tools"]["onnxruntime"]
    assert {"weights", "code", "calibration"} == set(bundle.manifest["inputs"])
    dataset = bundle.dataset()
    assert bundle.evaluation_data == EvaluationData("image_mask", len(dataset), dataset.fingerprint())


@pytest.mark.parametrize("where", [0.0, 0.37, 0.99])
def test_one_changed_byte_in_any_file_is_found(tiny_bundle: Path, where: float) -> None:
    for name in json.loads((tiny_bundle / MANIFEST).read_text())["files"]:
        file = tiny_bundle / name
        content = file.read_bytes()
        position = int(where * len(content))
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(BundleError, match=f"{name} was truncated or edited"):
            open_bundle(tiny_bundle)
        file.write_bytes(content)
    open_bundle(tiny_bundle)


def test_truncated_file(tiny_bundle: Path) -> None:
    os.truncate(tiny_bundle / "golden.npz", 100)
    with pytest.raises(BundleError, match=r"golden.npz was truncated or edited .* build or copy the bundle again"):
        open_bundle(tiny_bundle)


def test_missing_and_added_files(tiny_bundle: Path) -> None:
    (tiny_bundle / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"extra.bin is not in the manifest"):
        open_bundle(tiny_bundle)
    (tiny_bundle / "extra.bin").unlink()
    (tiny_bundle / "golden.npz").unlink()
    with pytest.raises(BundleError, match=r"golden.npz is missing"):
        open_bundle(tiny_bundle)


def test_symbolic_link(tiny_bundle: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.npz"
    (tiny_bundle / "golden.npz").rename(moved)
    (tiny_bundle / "golden.npz").symlink_to(moved)
    with pytest.raises(BundleError, match=r"golden.npz was truncated or edited"):
        open_bundle(tiny_bundle)


def test_edited_manifest(tiny_bundle: Path) -> None:
    text = (tiny_bundle / MANIFEST).read_text()
    (tiny_bundle / MANIFEST).write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BundleError, match="the manifest was edited"):
        open_bundle(tiny_bundle)
    (tiny_bundle / MANIFEST).write_text(text[:-20])
    with pytest.raises(BundleError, match="damaged"):
        open_bundle(tiny_bundle)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("version", 99, "bundle version 99; this edgekit reads 1 and 2"),
        ("format", "zip", "not a manifest of an edgekit bundle"),
    ],
)
def test_manifest_of_another_kind(tiny_bundle: Path, key: str, value: object, words: str) -> None:
    rewrite(tiny_bundle, lambda manifest: manifest.update({key: value}))
    with pytest.raises(BundleError, match=words):
        open_bundle(tiny_bundle)


def test_engine_of_another_machine(tiny_bundle: Path) -> None:
    rewrite(tiny_bundle, lambda manifest: manifest["device"].update(onnxruntime="0.0.1"))
    bundle = open_bundle(tiny_bundle)
    with pytest.raises(
        BundleError, match=r"built for onnxruntime '0.0.1', this machine has .* edgekit bundle rebuild .*tiny-cpu"
    ):
        bundle.engine()


def test_single_file(tiny_bundle: Path, tmp_path: Path) -> None:
    first, second = (pack(open_bundle(tiny_bundle), tmp_path / f"{i}.edgekit") for i in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    opened = open_bundle(first)
    assert opened.digest == open_bundle(tiny_bundle).digest
    with opened.engine() as engine:
        assert engine.infer({"image": np.zeros((1, 3, 32, 48), np.float32)})["logits"].shape == (1, 3, 32, 48)
    first.write_bytes(first.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"not a bundle, or truncated"):
        open_bundle(first)


def test_archive_that_points_outside(tmp_path: Path) -> None:
    evil = tmp_path / "evil.edgekit"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr(MANIFEST, "{}")
        archive.writestr("../outside.txt", "x")
    with pytest.raises(BundleError, match="points outside the bundle"):
        open_bundle(evil)
    assert not (tmp_path.parent / "outside.txt").exists()


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle; make one with: edgekit build"):
        open_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"not a bundle .no manifest.json."):
        open_bundle(tmp_path)


def test_data_on_another_machine(tiny_bundle: Path, tiny_project: Path, tmp_path: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert bundle.contents.evaluation.images.is_absolute()
    moved = tmp_path / "moved"
    (tiny_project / "data").rename(moved)
    assert bundle.dataset(root=moved).fingerprint() == bundle.dataset().fingerprint()
    with pytest.raises(DataError, match="no such folder"):
        bundle.dataset(root=tmp_path / "nowhere")


def test_a_build_that_changes_nothing_keeps_the_signature(tiny_project: Path) -> None:
    first = build(tiny_project, "cpu")
    (first.path / SIGNATURE).write_text("{}")
    assert (build(tiny_project, "cpu").path / SIGNATURE).is_file()
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("min: 0.6", "min: 0.5"))
    assert not (build(tiny_project, "cpu").path / SIGNATURE).exists()


@pytest.mark.parametrize("key", ["files", "device", "sizes"])
@pytest.mark.parametrize("value", [None, "text", ["list"]])
def test_forged_manifest_of_another_shape(tiny_bundle: Path, key: str, value: object) -> None:
    rewrite(tiny_bundle, lambda manifest: manifest.update({key: value}))
    with pytest.raises(BundleError, match=f"'{key}' is not a mapping"):
        open_bundle(tiny_bundle)


def test_forged_path_outside_the_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")

    def forge(manifest: dict[str, Any]) -> None:
        manifest["files"]["../secret"] = "0" * 64
        manifest["sizes"]["../secret"] = 1

    rewrite(tiny_bundle, forge)
    with pytest.raises(BundleError, match=r"\.\./secret is missing"):
        open_bundle(tiny_bundle)


def test_linked_folder(tiny_bundle: Path, tmp_path: Path) -> None:
    (tiny_bundle / "models").rename(tmp_path / "models")
    (tiny_bundle / "models").symlink_to(tmp_path / "models")
    with pytest.raises(BundleError, match=r"models/fp32\.onnx is missing|models is not in the manifest"):
        open_bundle(tiny_bundle)


def test_every_part_of_the_manifest_is_covered(tiny_bundle: Path) -> None:
    content = (tiny_bundle / MANIFEST).read_bytes()
    for position in range(0, len(content), 37):
        damaged = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        (tiny_bundle / MANIFEST).write_bytes(damaged)
        with pytest.raises(BundleError):
            open_bundle(tiny_bundle)


def test_damaged_single_file_is_refused_or_the_same(tiny_bundle: Path, tmp_path: Path) -> None:
    """Bytes that decide content are covered by hashes; those of the archive must not crash its reader."""
    digest = open_bundle(tiny_bundle).digest
    file = pack(open_bundle(tiny_bundle), tmp_path / "b.edgekit")
    content = file.read_bytes()
    refused = 0
    directory = range(len(content) - 700, len(content), 5)
    for position in (0, 3, 8, 40, len(content) // 3, len(content) // 2, *directory):
        for mask in (0x01, 0x80):
            file.write_bytes(content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :])
            try:
                assert open_bundle(file).digest == digest
            except BundleError:
                refused += 1
    assert refused > 100


def test_writing_replaces_the_whole_bundle_or_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    old = open_bundle(tiny_bundle)
    files = {name: tiny_bundle / name for name in old.manifest["files"] if name != "bundle.json"}
    written_anew = ("format", "version", "name", "target", "files", "sizes", "digest")
    facts = {key: value for key, value in old.manifest.items() if key not in written_anew}
    final = tmp_path / "out" / "bundle"
    first = write_bundle(final, old.contents, files, facts)
    assert first.digest == old.digest
    missing = files | {"golden.npz": tmp_path / "absent.npz"}
    with pytest.raises(FileNotFoundError):
        write_bundle(final, old.contents, missing, facts)
    assert open_bundle(final).digest == old.digest
    fewer = {name: file for name, file in files.items() if name != "calibration.json"}
    second = write_bundle(final, old.contents, fewer, facts | {"seed": 7})
    assert second.manifest["seed"] == 7
    assert not (final / "calibration.json").exists()
    assert [p.name for p in final.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    "found", ["noise", {"format": "noise"}, {"format": "noise", "frames": "8", "dataset_hash": ""}]
)
def test_a_record_of_the_evaluation_data_that_is_none(found: object, tiny_bundle: Path) -> None:
    rewrite(tiny_bundle, lambda manifest: manifest.update(evaluation=found))
    with pytest.raises(BundleError, match=r"'evaluation' is .*expected format, frames, dataset_hash; build the bundle"):
        open_bundle(tiny_bundle)
