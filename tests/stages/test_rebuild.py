"""Bundles that meet another runtime: refused with the command that helps, and that command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle, pack
from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import BundleError, CheckFailed, InputError
from tests.support import warm
from tests.support.shell import COMMAND, ENVIRONMENT, error_of, listing
from tests.support.shell import edgekit as run


def forge(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest, whose hashes and digest are made to fit."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest.pop("digest")
    manifest["files"] = {name: sha256_file(bundle / name) for name in manifest["files"]}
    manifest["sizes"] = {name: (bundle / name).stat().st_size for name in manifest["files"]}
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))
    return bundle


@pytest.fixture
def foreign(tiny_bundle: Path) -> Path:
    """The tiny bundle as a machine with an older runtime would have built it, signed."""
    forge(tiny_bundle, lambda manifest: manifest["device"].update(onnxruntime="1.0.0"))
    (tiny_bundle / SIGNATURE).write_text("{}")
    return tiny_bundle


def test_in_place(foreign: Path) -> None:
    old = open_bundle(foreign)
    models = {name: digest for name, digest in old.manifest["files"].items() if name.startswith(("models/", "golden"))}
    done = edgekit.rebuild(foreign)
    new = open_bundle(foreign)
    assert done.made
    assert done.bundle.digest == new.digest != old.digest
    assert models.items() <= new.manifest["files"].items()
    assert new.contents == old.contents
    assert set(new.manifest["files"]) == set(old.manifest["files"])
    assert [proof.verdict for proof in new.proofs] == ["pass", "pass"]
    assert edgekit.verify(new).verdict == "pass"
    assert not (foreign / SIGNATURE).exists()
    kept = ("inputs", "calibration", "evaluation", "seed", "placement")
    assert {key: new.manifest[key] for key in kept} == {key: old.manifest[key] for key in kept}
    (parent,) = new.parents
    assert (parent["digest"], parent["signed"], parent["device"]["onnxruntime"]) == (old.digest, True, "1.0.0")


def test_what_fits_is_left_alone(tiny_bundle: Path) -> None:
    before = listing(tiny_bundle)
    assert not edgekit.rebuild(tiny_bundle).made
    assert listing(tiny_bundle) == before
    assert "nothing was rebuilt" in run("bundle", "rebuild", tiny_bundle).stdout


def test_a_chain_of_parents(foreign: Path, tmp_path: Path) -> None:
    first = edgekit.rebuild(foreign, tmp_path / "first").bundle
    second = edgekit.rebuild(first, tmp_path / "second").bundle
    assert [parent["digest"] for parent in second.parents] == [first.digest, open_bundle(foreign).digest]
    assert second.parents[1]["device"]["onnxruntime"] == "1.0.0"


@pytest.mark.parametrize("name", ["other", "other.edgekit", "new/folder"])
def test_to_another_place(name: str, foreign: Path, tmp_path: Path) -> None:
    before = listing(foreign)
    made = edgekit.rebuild(foreign, tmp_path / name).bundle
    assert (tmp_path / name).is_file() == name.endswith(".edgekit")
    assert edgekit.verify(tmp_path / name).verdict == "pass"
    assert open_bundle(tmp_path / name).digest == made.digest
    assert listing(foreign) == before


def test_a_single_file_in_its_place(foreign: Path, tmp_path: Path) -> None:
    file = pack(open_bundle(foreign), tmp_path / "packed bundle")
    shutil.rmtree(foreign)
    with pytest.raises(BundleError, match=r"edgekit bundle rebuild '.*/packed bundle'$"):
        open_bundle(file).engine()
    result = run("bundle", "rebuild", file)
    assert result.returncode == 0, result.stderr
    assert f"wrote {file}" in result.stdout
    assert edgekit.verify(file).verdict == "pass"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_through_a_link(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(foreign)
    edgekit.rebuild(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert edgekit.verify(foreign).verdict == "pass"


def test_nothing_but_a_bundle_is_replaced(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("more years")
    for place in ("mine", "file"):
        with pytest.raises(InputError, match=f"--out .*{place}: a .* that is no bundle"):
            edgekit.rebuild(foreign, tmp_path / place)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    assert (tmp_path / "file").read_text() == "more years"


def test_the_command(foreign: Path, tmp_path: Path) -> None:
    digest = open_bundle(foreign).digest
    refused = error_of(run("gate", foreign), 2)
    assert refused.endswith(f"make its engines anew for this machine: edgekit bundle rebuild {foreign}")
    document = json.loads(run("bundle", "rebuild", foreign, "--out", tmp_path / "o", "--json").stdout)
    assert document["bundle"] == str(tmp_path / "o")
    assert (document["rebuilt"], document["parent"], document["signed"]) == (True, digest, False)
    said = run("bundle", "rebuild", foreign).stdout
    assert "unsigned: the signature of the old bundle is not valid for it; edgekit bundle sign" in said
    assert f"edgekit gate {foreign}" in said
    shown = run("bundle", "inspect", foreign).stdout
    assert all(word in shown for word in ("rebuilt from", digest, "onnxruntime 1.0.0"))


@pytest.mark.parametrize("named_by", ["manifest", "record"])
def test_another_placement_is_told(named_by: str, foreign: Path) -> None:
    if named_by == "manifest":
        forge(foreign, lambda manifest: manifest.update(placement="ort-arm"))
    else:
        record = foreign / "calibration.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"profile": "ort-arm"}))
        forge(foreign, lambda manifest: manifest.pop("placement"))
    result = run("bundle", "rebuild", foreign)
    assert result.returncode == 0, result.stderr
    assert "keeps its Q/DQ placement ort-arm, and this machine would want ort-x86" in result.stdout
    assert edgekit.verify(foreign).verdict == "pass"


def test_the_placement_that_fits_is_not_mentioned(foreign: Path) -> None:
    done = edgekit.rebuild(foreign)
    assert (done.placement, done.wanted, done.misplaced) == ("ort-x86", "ort-x86", False)


def departing(bundle: Path) -> Path:
    """Golden outputs that no engine of the bundle's models gives."""
    golden = open_bundle(bundle).golden()
    wrong = [{name: 3 * array for name, array in golden.outputs(frame).items()} for frame in range(golden.frames)]
    golden.with_reference("fp32", wrong).write(bundle / "golden.npz")
    return forge(bundle, lambda manifest: None)


def test_an_engine_that_departs_leaves_the_old_bundle(foreign: Path) -> None:
    before = listing(departing(foreign))
    with pytest.raises(CheckFailed, match="engine fp32"):
        edgekit.rebuild(foreign)
    assert listing(foreign) == before


KILLED = """
import os, signal, sys
from edgekit.core import artifacts
from edgekit.engine import ort
from edgekit.cli.main import main

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

build, calls = ort.Backend.build, []

def second_dies(*args):
    calls.append(args)
    build(*args) if len(calls) == 1 else die()

if sys.argv.pop(1) == "build":
    ort.Backend.build = second_dies
else:
    artifacts._swap = die
main()
"""


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("at", ["build", "swap"])
def test_killed_in_the_middle(at: str, packed: bool, foreign: Path, tmp_path: Path) -> None:
    path = pack(open_bundle(foreign), tmp_path / "b.edgekit") if packed else foreign
    digest = open_bundle(path).digest
    command = [sys.executable, "-c", KILLED, at, "bundle", "rebuild", str(path)]
    killed = warm.run(command, env={**os.environ, **ENVIRONMENT})
    assert killed.returncode == -signal.SIGKILL
    assert open_bundle(path).digest == digest
    assert edgekit.rebuild(path).made
    assert edgekit.verify(path).verdict == "pass"
    assert not list(path.parent.glob("*.partial"))


BLOCKED = """
import sys
absent = sys.argv.pop(1).split(",")

class Absent:
    def find_spec(self, name, path, target=None):
        if any(name == each or name.startswith(each + ".") for each in absent):
            raise ModuleNotFoundError(f"no {name}", name=name)

sys.meta_path.insert(0, Absent())
from edgekit.cli.main import main
main()
"""


def without(packages: str, *words: object) -> subprocess.CompletedProcess[str]:
    """A command of a machine that lacks packages."""
    command = [sys.executable, "-c", BLOCKED, packages, *map(str, words)]
    return subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)


BOARD = "torch,onnx,onnx_ir,onnxscript,polygraphy,edgekit.model,edgekit.quantize,edgekit.training"


@pytest.mark.parametrize("words", ["bundle rebuild", "verify", "evaluate", "gate"])
def test_a_board_needs_neither_pytorch_nor_the_rooms_that_use_it(words: str, foreign: Path) -> None:
    if words != "bundle rebuild":
        edgekit.rebuild(foreign)
    result = without(BOARD, *words.split(), foreign)
    assert result.returncode == 0, result.stderr


def test_an_engine_that_departs_is_found_on_a_board_too(foreign: Path) -> None:
    """Which layer it is may take packages that a board lacks; that it departs does not."""
    assert "engine fp32" in error_of(without(BOARD, "bundle", "rebuild", departing(foreign)), 1)


def test_the_runtime_of_the_engines_is_not_here(foreign: Path) -> None:
    contents = json.loads((foreign / "bundle.json").read_text())
    contents["engine"] = {"engine": "trt", "precision": "int8"}
    (foreign / "bundle.json").write_text(json.dumps(contents))
    forge(foreign, lambda manifest: manifest["device"].update(engine="trt"))
    before = listing(foreign)
    absent = "tensorrt,tensorrt_rtx,tensorrt_rtx_bindings,tensorrt_lean,tensorrt_dispatch"
    message = error_of(without(absent, "bundle", "rebuild", foreign), 3)
    assert "TensorRT is not available on this machine; install it with: " in message
    assert listing(foreign) == before


def test_a_forged_list_of_parents(tiny_bundle: Path) -> None:
    for forged in ("text", [1], [{"digest": 1}], {"digest": "a"}):
        forge(tiny_bundle, lambda manifest, forged=forged: manifest.update(parents=forged))  # type: ignore[misc]
        with pytest.raises(BundleError, match="'parents' is no list of digest, device, tools"):
            open_bundle(tiny_bundle)


OTHER = "1.23.2"
"""The last ONNX Runtime for Python 3.10, which JetPack 6 and ROS 2 Humble have."""
NEEDED = ("numpy", "opencv-python-headless", "pydantic", "rich", "ruamel.yaml", "scipy", "typer", "typing_extensions")


@pytest.fixture
def other_runtime(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with ONNX Runtime 1.23 and neither PyTorch nor onnx; kept in pytest's cache."""
    folder = request.config.cache.mkdir(f"onnxruntime-{OTHER}-{sys.version_info[0]}.{sys.version_info[1]}")  # type: ignore[union-attr]
    python = folder / "bin" / "python"
    if not (folder / "complete").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        pins = Path(__file__).parents[2] / "constraints.txt"
        kept = [line for line in pins.read_text().splitlines() if not line.startswith("onnxruntime")]
        (folder / "constraints.txt").write_text("\n".join(kept))
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-input", "--retries=1"]
        command = [*pip, "--timeout=15", "-c", str(folder / "constraints.txt"), f"onnxruntime=={OTHER}", *NEEDED]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            pytest.skip(f"onnxruntime {OTHER} cannot be had from the package index: {done.stderr.strip()[-200:]}")
        (folder / "complete").touch()
    return python


@pytest.mark.slow
def test_to_an_older_runtime_and_back(other_runtime: Path, tiny_bundle: Path) -> None:
    def there(*words: object) -> subprocess.CompletedProcess[str]:
        command = [str(other_runtime), *COMMAND[1:], *map(str, words)]
        return subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)

    absent = subprocess.run([other_runtime, "-c", "import onnx"], capture_output=True, check=False)
    assert absent.returncode == 1
    start = open_bundle(tiny_bundle)
    here = start.manifest["device"]["onnxruntime"]
    refused = error_of(there("verify", tiny_bundle), 2)
    assert f"was built for onnxruntime '{here}', this machine has '{OTHER}'" in refused
    for words in (refused.split("edgekit ")[-1].split(), ["verify", tiny_bundle], ["gate", tiny_bundle]):
        result = there(*words)
        assert result.returncode == 0, result.stderr
    board = open_bundle(tiny_bundle)
    assert board.manifest["device"]["onnxruntime"] == OTHER
    assert board.parents[0]["digest"] == start.digest

    assert f"was built for onnxruntime '{OTHER}', this machine has '{here}'" in error_of(run("verify", tiny_bundle), 2)
    assert edgekit.rebuild(tiny_bundle).made
    back: Bundle = open_bundle(tiny_bundle)
    assert edgekit.verify(back).verdict == "pass"
    assert [parent["digest"] for parent in back.parents] == [board.digest, start.digest]
    same = {name for name, digest in start.manifest["files"].items() if back.manifest["files"][name] == digest}
    assert {
        "models/int8.onnx",
        "models/fp32.onnx",
        "engines/int8.ort.onnx",
        "engines/fp32.ort.onnx",
        "golden.npz",
    } <= same
