"""Folders of a bundle made bad, or another, one edit a name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.bundle import MANIFEST
from edgekit.core.artifacts import sha256_file, sha256_of, write_json

Edit = Callable[[Path], object]
FILES: dict[str, Edit] = {}
"""Name to what makes a copy of the good folder bad, or another."""


def _folder(name: str) -> Callable[[Edit], Edit]:
    def keep(edit: Edit) -> Edit:
        FILES[name] = edit
        return edit

    return keep


def forged(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A folder whose manifest was changed and given a digest that fits, as a forger could."""

    def edit(bundle: Path) -> None:
        manifest = json.loads((bundle / MANIFEST).read_text())
        manifest.pop("digest")
        change(manifest)
        (bundle / MANIFEST).write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))

    FILES[name] = edit


def text(name: str, change: Callable[[str], str]) -> None:
    """A folder whose manifest's text was changed."""
    FILES[name] = lambda bundle: (bundle / MANIFEST).write_text(change((bundle / MANIFEST).read_text()))


def contents(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A folder whose bundle.json was changed, and the manifest with it."""

    def edit(bundle: Path) -> None:
        document = json.loads((bundle / "bundle.json").read_text())
        change(document)
        write_json(bundle / "bundle.json", document)
        manifest = json.loads((bundle / MANIFEST).read_text())
        manifest.pop("digest")
        manifest["files"]["bundle.json"] = sha256_file(bundle / "bundle.json")
        manifest["sizes"]["bundle.json"] = (bundle / "bundle.json").stat().st_size
        (bundle / MANIFEST).write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))

    FILES[name] = edit


def _changed_bytes() -> None:
    def changing(name: str, where: float) -> Edit:
        def edit(bundle: Path) -> None:
            content = bytearray((bundle / name).read_bytes())
            content[int(where * len(content))] ^= 1
            (bundle / name).write_bytes(content)

        return edit

    for name in ("bundle.json", "engines/int8.ort.onnx", "golden.npz", "golden/0.image.png", "models/fp32.onnx"):
        for where in (0.0, 0.37, 0.99):
            FILES[f"changed-{name.replace('/', '-')}-{where}"] = changing(name, where)


_changed_bytes()


@_folder("truncated")
def _truncated(bundle: Path) -> None:
    os.truncate(bundle / "golden.npz", 100)


@_folder("added")
def _added(bundle: Path) -> None:
    (bundle / "extra.bin").write_bytes(b"x")


@_folder("missing")
def _missing(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()


@_folder("linked-file")
def _linked_file(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    (bundle / "golden.npz").symlink_to("../good/golden.npz")


@_folder("linked-folder")
def _linked_folder(bundle: Path) -> None:
    shutil.rmtree(bundle / "models")
    (bundle / "models").symlink_to("../good/models")


@_folder("link-to-nowhere")
def _link_to_nowhere(bundle: Path) -> None:
    (bundle / "extra").symlink_to("nowhere")


@_folder("linked-manifest")
def _linked_manifest(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    (bundle / MANIFEST).symlink_to("../good/manifest.json")


@_folder("folder-instead-of-a-file")
def _folder_instead(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    (bundle / "golden.npz").mkdir()


@_folder("empty-folder-more")
def _empty_folder(bundle: Path) -> None:
    (bundle / "nothing").mkdir()


@_folder("without-manifest")
def _without_manifest(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()


@_folder("pipe")
def _pipe(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    os.mkfifo(bundle / "golden.npz")


text("edited", lambda text: text.replace('"seed": 0', '"seed": 1').replace('"command": "', '"command": "x'))
text("cut", lambda text: text[:-20])
text("empty", lambda text: "")
text("other-layout", lambda text: json.dumps(json.loads(text)))
text("keys-in-another-order", lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=7))
text("key-twice", lambda text: text.replace("{", '{"format": "edgekit-bundle",', 1))
text("key-twice-another", lambda text: text.replace("{", '{"version": 1,', 1))
text("digest-twice", lambda text: text.replace("{", '{"digest": "",', 1))
text("byte-order-mark", lambda text: "\ufeff" + text)
text("a-list", lambda text: "[]")
text("a-text", lambda text: '"manifest"')
text("without-digest", lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "digest"}))
text("comment", lambda text: text + "// more")
text("comma", lambda text: text.rstrip()[:-1] + ",}")
FILES["latin-1"] = lambda bundle: (bundle / MANIFEST).write_bytes((bundle / MANIFEST).read_bytes() + b"\xe9")

forged("version-99", lambda manifest: manifest.update(version=99))
forged("version-0", lambda manifest: manifest.update(version=0))
forged("version-true", lambda manifest: manifest.update(version=True))
forged("version-2.0", lambda manifest: manifest.update(version=2.0))
forged("version-text", lambda manifest: manifest.update(version="2"))
forged("version-none", lambda manifest: manifest.pop("version"))
forged("version-list", lambda manifest: manifest.update(version=[2, 1.5, "a'b", None, True]))
forged("format-zip", lambda manifest: manifest.update(format="zip"))
for _key in ("files", "device", "sizes"):
    for _value in (None, "text", ["list"]):
        forged(f"{_key}-{type(_value).__name__}", lambda manifest, k=_key, v=_value: manifest.update({k: v}))
forged("path-outside", lambda m: (m["files"].update({"../secret": "0" * 64}), m["sizes"].update({"../secret": 1})))
forged("path-absolute", lambda m: (m["files"].update({"/etc/passwd": "0" * 64}), m["sizes"].update({"/etc/passwd": 1})))
forged("path-with-nul", lambda m: (m["files"].update({"a\0b": "0" * 64}), m["sizes"].update({"a\0b": 1})))
forged("size-missing", lambda manifest: manifest["sizes"].pop("golden.npz"))
forged("size-of-another", lambda manifest: manifest["sizes"].update(other=1))
forged("size-negative", lambda manifest: manifest["sizes"].update({"golden.npz": -1}))
forged("size-text", lambda manifest: manifest["sizes"].update({"golden.npz": "1"}))
forged("size-fraction", lambda manifest: manifest["sizes"].update({"golden.npz": 1.0}))
forged("size-other", lambda manifest: manifest["sizes"].update({"golden.npz": 1}))
forged("hash-number", lambda manifest: manifest["files"].update({"golden.npz": 1}))
forged("hash-upper", lambda m: m["files"].update({"golden.npz": m["files"]["golden.npz"].upper()}))
for _number, _found in enumerate(
    ("noise", {"format": "noise"}, {"format": "noise", "frames": "8", "dataset_hash": ""})
):
    forged(f"evaluation-{_number}", lambda manifest, found=_found: manifest.update(evaluation=found))
forged("evaluation-none", lambda manifest: manifest.update(evaluation=None))
forged("parents-none", lambda manifest: manifest.update(parents=None))
forged("parents-empty", lambda manifest: manifest.update(parents=[]))
forged("parents-half", lambda manifest: manifest.update(parents=[{"digest": "0"}]))
forged("another-machine", lambda manifest: manifest["device"].update(onnxruntime="0.0.1"))
forged("another-isa", lambda manifest: manifest["device"].update(isa=["mmx", "x87"]))
forged("another-fact", lambda manifest: manifest["device"].update(moon="full"))
forged(
    "numbers",
    lambda manifest: manifest.update(
        export={
            "floats": [0.0, -0.0, 1.0, 0.1, 1e-5, 1e-4, 1e15, 1e16, 1.5e300, 5e-324, 123456789.125, 2.5e-10, 1 / 3],
            "integers": [0, -1, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**40],
            "texts": ["ä", "漢", "😀", "\x7f\x00\x1f", '"\\/\b\f\n\r\t', "\u2028", "\uffff", ""],
            "ä": {"b": 1, "a": [], "B": {}, "é": [[]], "😀": None, "\uffff": True},
        }
    ),
)

contents("contents-key-unknown", lambda document: document.update(more=1))
contents("contents-key-missing", lambda document: document.pop("outputs"))
contents("contents-name-number", lambda document: document.update(name=1))
contents("contents-inputs-mapping", lambda document: document.update(inputs={}))
contents("contents-shape-text", lambda document: document["inputs"][0].update(shape="big"))
contents("contents-engine-unknown", lambda document: document["engine"].update(speed=9))
contents("contents-threads-0", lambda document: document["engine"].update(threads=0))
contents("contents-threads-text", lambda document: document["engine"].update(threads="two"))
contents("contents-pin-twice", lambda document: document["engine"].update(threads=2, pin=[1, 1]))
contents("contents-pin-short", lambda document: document["engine"].update(threads=2, pin=[1]))
contents("contents-provider", lambda document: document["engine"].update(provider="npu"))
contents("contents-candidate-unknown", lambda document: document["candidate"].update(more=1))
contents("contents-candidate-none", lambda document: document.update(candidate=None))
contents("contents-candidate-file", lambda document: document["candidate"].pop("file"))
contents("contents-task-none", lambda document: document.update(task=None))
contents("contents-task-kind", lambda document: document["task"].pop("kind"))
contents("contents-without-control", lambda document: document.update(control=None))
contents("contents-dynamic", lambda document: document["inputs"][0].update(shape=[None, 3, 8, 12]))
contents("contents-shape-negative", lambda document: document["inputs"][0].update(shape=[-1, 3, 8, 12]))
