"""Bundles, frames and KPIs that cannot be used: exit code 2, one line that names the fix, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgekit as api
from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import TensorError
from tests.support.projects import write_frames
from tests.support.shell import edgekit, error_of, untouched

BUNDLE_COMMANDS = ("verify", "evaluate", "profile", "gate", "bundle inspect")


def labelled_elsewhere(bundle: Path, tmp_path: Path) -> Path:
    """Evaluation frames of the bundle's own, so that a test may damage them."""
    write_frames(tmp_path / "frames", count=2)
    document = json.loads((bundle / "bundle.json").read_text())
    document["evaluation"] |= {"images": f"{tmp_path}/frames/images", "masks": f"{tmp_path}/frames/masks"}
    (bundle / "bundle.json").write_text(json.dumps(document))
    resign(bundle, lambda manifest: manifest["files"].update({"bundle.json": sha256_file(bundle / "bundle.json")}))
    return tmp_path / "frames" / "masks" / "f1.png"


def test_class_id_out_of_range(tiny_bundle: Path, tmp_path: Path) -> None:
    path = labelled_elsewhere(tiny_bundle, tmp_path)
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[5:7, 5:7] = 7
    cv2.imwrite(str(path), mask)
    message = untouched(tmp_path, "evaluate", tiny_bundle, "--json")
    assert message.startswith(
        "sample 'f1': truth has the class id 7 in 4 pixels; allowed: 0..2 (ignore_index 255); correct"
    )


def test_mask_of_another_size_in_evaluation(tiny_bundle: Path, tmp_path: Path) -> None:
    path = labelled_elsewhere(tiny_bundle, tmp_path)
    cv2.imwrite(str(path), np.zeros((16, 24), np.uint8))
    assert "the mask is 24x16, but its image f1.png is 48x32" in untouched(tmp_path, "evaluate", tiny_bundle)


def test_folder_without_images_to_run(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = untouched(tmp_path, "run", tiny_bundle, "--images", tmp_path / "empty", "--out", tmp_path / "out")
    assert message.startswith(f"{tmp_path}/empty: holds no image; expected files that end in ")
    message = untouched(tmp_path, "run", tiny_bundle, "--images", tmp_path / "none", "--out", tmp_path / "out")
    assert message.startswith(f"--images {tmp_path}/none: no such folder; ")
    file = tmp_path / "f.png"
    file.write_bytes(b"")
    message = untouched(tmp_path, "run", tiny_bundle, "--images", file)
    assert message == f"--images {file}: is a file; name a folder of images"


@pytest.mark.parametrize("command", ["evaluate", "profile", "gate", "report"])
def test_data_that_are_not_where_the_option_says(command: str, tmp_path: Path) -> None:
    message = untouched(tmp_path, command, tmp_path, "--root", "/nosuch")
    assert message.startswith("--root /nosuch: no such folder; ")


# --- tensors (the Python API) --------------------------------------------------


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        (
            {"image": np.zeros((1, 3, 16, 16), np.float32)},
            "shape [1, 3, 16, 16]; expected image: float32[1, 3, 32, 48]",
        ),
        ({"image": np.zeros((1, 3, 32, 48))}, "dtype float64; expected float32: make an array of float32"),
        ({"picture": np.zeros((1, 3, 32, 48), np.float32)}, "missing input 'image', unknown input 'picture'; expected"),
    ],
)
def test_input_of_wrong_shape_dtype_or_name(tiny_bundle: Path, feeds: dict[str, Any], message: str) -> None:
    with api.open_bundle(tiny_bundle).engine() as engine:
        with pytest.raises(TensorError) as caught:
            engine.infer(feeds)
        assert message in str(caught.value)
        good = engine.infer({"image": np.zeros((1, 3, 32, 48), np.float32)})  # it still works
    assert good["logits"].shape == (1, 3, 32, 48)


# --- bundles -----------------------------------------------------------------


def resign(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the manifest and give it a digest that matches."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["digest"]
    edit(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def link(path: Path) -> None:
    copy = path.parents[2] / "copy"
    shutil.move(path, copy)
    path.symlink_to(copy)


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated engine": (
        "engines/int8.ort.onnx",
        truncate,
        "engines/int8.ort.onnx was truncated or edited (hash differs)",
    ),
    "edited engine": (
        "engines/int8.ort.onnx",
        lambda p: p.write_bytes(p.read_bytes().replace(b"logits", b"logitz")),
        "engines/int8.ort.onnx was truncated or edited (hash differs)",
    ),
    "edited KPIs": (
        "bundle.json",
        lambda p: p.write_text(p.read_text().replace("0.9", "0.1")),
        "bundle.json was trunc",
    ),
    "edited manifest": (
        "manifest.json",
        lambda p: p.write_text(p.read_text().replace('"seed": 0', '"seed": 1')),
        "the manifest was edited (its digest does not match)",
    ),
    "truncated manifest": ("manifest.json", truncate, "manifest.json: damaged ("),
    "added file": ("engines/extra.bin", lambda p: p.write_bytes(b"x"), "engines/extra.bin is not in the manifest"),
    "missing file": ("golden.npz", Path.unlink, "golden.npz is missing"),
    "link": ("golden.npz", link, "golden.npz was truncated or edited"),
    "other version": (
        "manifest.json",
        lambda p: resign(p.parent, lambda m: m.update(version=99)),
        "bundle version 99; this edgekit reads 1 and 2: build it again",
    ),
    "not a manifest": ("manifest.json", lambda p: p.write_text("{}"), "not a manifest of an edgekit bundle"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_bundle(case: str, tiny_bundle: Path) -> None:
    name, damage, message = DAMAGE[case]
    damage(tiny_bundle / name)
    found = untouched(tiny_bundle, "bundle", "inspect", tiny_bundle, "--json")
    assert found.startswith(str(tiny_bundle))
    assert message in found


@pytest.mark.parametrize("command", BUNDLE_COMMANDS)
def test_every_command_checks_the_bundle_first(command: str, tiny_bundle: Path) -> None:
    truncate(tiny_bundle / "golden.npz")
    assert "golden.npz was truncated or edited" in untouched(tiny_bundle, *command.split(), tiny_bundle)


def test_truncated_single_file(tiny_bundle: Path, tmp_path: Path) -> None:
    single = tmp_path / "tiny.edgekit"
    assert edgekit("bundle", "create", tiny_bundle, single).returncode == 0
    truncate(single)
    message = untouched(tmp_path, "verify", single)
    assert message.startswith(f"{single}: not a bundle, or truncated (")
    assert message.endswith("copy it again")


def test_path_that_is_no_bundle(tiny_project: Path) -> None:
    absent = untouched(tiny_project, "gate", "absent")
    assert absent == "absent: no such bundle; make one with: edgekit build edgekit.yaml --target NAME"
    folder = untouched(tiny_project, "gate", "data")
    assert folder == "data: not a bundle (no manifest.json); edgekit build prints the folder it wrote"
    assert "not a bundle, or truncated" in untouched(tiny_project, "gate", "edgekit.yaml")


def test_bundle_of_another_machine(tiny_bundle: Path) -> None:
    resign(tiny_bundle, lambda manifest: manifest["device"].update(machine="aarch64"))
    message = untouched(tiny_bundle, "verify", tiny_bundle)
    assert "the engine was built for machine 'aarch64', this machine has '" in message
    assert message.endswith(f"make its engines anew for this machine: edgekit bundle rebuild {tiny_bundle}")


def test_bundle_whose_engine_needs_a_package(tiny_bundle: Path) -> None:
    resign(tiny_bundle, lambda manifest: manifest["device"].update(operators=1000))
    message = error_of(edgekit("verify", tiny_bundle), 3)
    assert message.startswith("edgekit-ops with version 1000 of the operators, with which the engine was built")
    assert "install it with: pip install edgekit-ops" in message


# --- judging and measuring -----------------------------------------------------


def with_kpis(bundle: Path, kpis: dict[str, Any]) -> None:
    document = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(document | {"kpis": kpis}))
    resign(bundle, lambda manifest: manifest["files"].update({"bundle.json": sha256_file(bundle / "bundle.json")}))


KPIS = {
    "not measured": ({"mio": {"min": 0.5}}, "kpis.mio: mio was not measured; did you mean 'miou'? (one of "),
    "contradiction": ({"miou": {"max": 0.5}}, "kpis.miou: max contradicts the metric (higher is better); use min"),
    "none": ({}, "no KPI applies to target 'cpu'; add one under kpis"),
}


@pytest.mark.parametrize("case", KPIS)
def test_kpis_that_cannot_be_judged(case: str, tiny_bundle: Path) -> None:
    kpis, message = KPIS[case]
    with_kpis(tiny_bundle, kpis)
    assert untouched(tiny_bundle, "gate", tiny_bundle, "--json").startswith(message)


def test_too_few_queries(tiny_bundle: Path) -> None:
    message = untouched(tiny_bundle, "profile", tiny_bundle, "--queries", 20)
    assert message == "20 queries cannot show a 99th percentile; use at least 100"
