"""Bundles, good, damaged and hostile, with what Python says of each: the kinds of tests/bundle, and more.

``cases.json`` lists them. A message has ``{path}`` for the bundle, or for the folder that it was unpacked to.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import edgekit
from edgekit.bundle import MANIFEST, SIGNATURE, open_bundle, write_bundle
from edgekit.bundle import archive as archives
from edgekit.bundle.contents import PREDICTIONS
from edgekit.bundle.frames import write_frame
from edgekit.bundle.signing import check, sign
from edgekit.core.artifacts import sha256_file, sha256_of, write_json
from edgekit.core.decoded import Frame, GeometryRecord, PredictionsDocument, recorded
from edgekit.core.errors import EdgekitError
from edgekit.core.predictions import (
    ClassScores,
    Detections,
    Embedding,
    LabelMap,
    Tensors,
    Values,
)

OLD = Path(__file__).parents[3] / "tests" / "golden" / "bundle_v1.edgekit"
Edit = Callable[[Path], object]
FILES: dict[str, Edit] = {}
"""Name to what makes a copy of the good folder bad, or another."""
ARCHIVES: dict[str, Edit] = {}
"""The same of the good single file."""
BOMB = 64 * 2**20


def write(folder: Path) -> None:
    good = _good(folder)
    secret, keys = _keys(folder)
    cases = [_case(good), _case(folder / "good.edgekit"), _case(folder / "old.edgekit")]
    for name, edit in FILES.items():
        shutil.copytree(good, folder / name)
        edit(folder / name)
        cases.append(_case(folder / name))
    for name, edit in ARCHIVES.items():
        file = folder / f"{name}.edgekit"
        shutil.copy(folder / "good.edgekit", file)
        edit(file)
        cases.append(_case(file))
    cases += _signed(folder, good, secret, keys)
    cases += [_case(folder / "nothing"), _case(folder / "keys")]
    document = {
        "cases": cases,
        "flips": [_flip(good / MANIFEST, good, at, 1) for at in range(0, (good / MANIFEST).stat().st_size, 37)],
        "archive flips": list(_archive_flips(folder / "good.edgekit")),
    }
    (folder / "cases.json").write_text(json.dumps(document, indent=1))


# --- good ones -------------------------------------------------------------------


def _good(folder: Path) -> Path:
    """A folder and a single file of version 2, with golden frames, and one of version 1."""
    shutil.copy(OLD, folder / "old.edgekit")
    with open_bundle(OLD) as old:
        made = edgekit.rebuild(old, folder / "rebuilt").bundle
    files = {name: made.path / name for name in made.manifest["files"] if name != "bundle.json"}
    files |= _golden_frames(folder / "scratch")
    written = ("format", "version", "name", "target", "files", "sizes", "digest")
    facts = {key: value for key, value in made.manifest.items() if key not in written}
    good = write_bundle(folder / "good", made.contents, files, facts)
    archives.pack(good.path, folder / "good.edgekit")
    shutil.rmtree(folder / "rebuilt")
    shutil.rmtree(folder / "scratch")
    return good.path


def _golden_frames(scratch: Path) -> dict[str, Path]:
    """A frame for each kind of prediction and of source; the arrays that they hold go to ``frames.npz`` too."""
    random = np.random.default_rng(0)
    colour = random.integers(0, 255, (6, 8, 3), np.uint8)
    wide = random.integers(0, 65535, (6, 8, 3), np.uint16)
    sources: list[dict[str, Any] | None] = [
        {"image": colour},
        {"image": np.repeat(colour[..., :1], 3, axis=2)},
        {"image": wide, "left/far": colour},
        {"depth": wide[..., 0], "points": random.normal(size=(5, 4)).astype(np.float32), "gain": np.float64(3.5)},
        {"image": colour, "four": random.integers(0, 255, (6, 8, 4), np.uint8)},
        None,
        {},
    ]
    labels = random.integers(0, 3, (6, 8)).astype(np.uint8)
    boxes = random.uniform(0, 8, (3, 4)).astype(np.float32)
    predictions = [
        LabelMap(labels),
        Detections(boxes, random.uniform(size=3).astype(np.float32), np.array([2, 0, 1]), (6, 8)),
        ClassScores(np.array([0.25, 0.5, 0.25], np.float32)),
        Embedding(random.normal(size=5).astype(np.float32)),
        Values(("zeta", "alpha"), np.array([1.5, -2e-30])),
        {"wet": ClassScores(np.array([0.1, 0.9], np.float32)), "area": LabelMap(labels), "raw": Tensors({})},
        Tensors({"logits": np.zeros(3, np.float32)}),
    ]
    frames, kept = [], {}
    place = GeometryRecord(original=(6, 8), tensor=(8, 12), content=(1, -2, 6, 8))
    for number, (images, prediction) in enumerate(zip(sources, predictions, strict=True)):
        listed = None if images is None else write_frame(scratch, number, {k: np.asarray(v) for k, v in images.items()})
        kept |= {f"{number}.{name}": np.asarray(array) for name, array in (images or {}).items()}
        frames.append(Frame(id=f"frame {number}", sources=listed, geometry=place, prediction=recorded(prediction)))
    document = PredictionsDocument(task="segmentation", reference="int8", frames=tuple(frames))
    write_json(scratch / PREDICTIONS, document.model_dump(mode="json"))
    np.savez(scratch.parent / "frames.npz", **kept, labels=labels, boxes=boxes)
    return {path.relative_to(scratch).as_posix(): path for path in scratch.rglob("*") if path.is_file()}


def _keys(folder: Path) -> tuple[Path, dict[str, Path]]:
    """A secret key outside the cases' folders, and public ones by name."""
    (folder / "keys").mkdir()
    spki, pem = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    ours = ed25519.Ed25519PrivateKey.generate()
    made = {
        "ours": ours,
        "stranger": ed25519.Ed25519PrivateKey.generate(),
        "curve": ec.generate_private_key(ec.SECP256R1()),
    }
    for name, key in made.items():
        (folder / "keys" / f"{name}.pem").write_bytes(key.public_key().public_bytes(pem, spki))
    (folder / "keys" / "text.pem").write_text("no key")
    secret = folder / "keys" / "secret.pem"
    plain = serialization.NoEncryption()
    secret.write_bytes(ours.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return secret, {name: folder / "keys" / f"{name}.pem" for name in (*made, "text", "secret", "missing")}


# --- what Python says --------------------------------------------------------------


def _case(path: Path, key: Path | None = None) -> dict[str, Any]:
    verdict, said = _verdict(path, key)
    text = re.sub(r"/\S*/edgekit-bundle-[^/:\s]+", "{path}", said.replace(str(path), "{path}"))
    text = text if key is None else text.replace(str(key), "{key}")
    return {"path": path.name, "key": key and key.name, "verdict": verdict, "said": text}


def _verdict(path: Path, key: Path | None = None) -> tuple[str, str]:
    """``opens`` and the digest, or ``refused`` and the message."""
    try:
        with open_bundle(path) as bundle:
            if key is not None:
                check(bundle, key)
            return "opens", bundle.digest
    except EdgekitError as error:
        return "refused", str(error)


def _flip(file: Path, bundle: Path, at: int, mask: int) -> list[Any]:
    """Where a bit of ``file`` is changed, and the verdict on the bundle then."""
    content = file.read_bytes()
    file.write_bytes(content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verdict = _verdict(bundle)[0]
    file.write_bytes(content)
    return [at, mask, verdict]


def _archive_flips(file: Path) -> Iterator[list[Any]]:
    size = file.stat().st_size
    for at in (0, 3, 8, 40, size // 3, size // 2, *range(size - 700, size, 11)):
        for mask in (0x01, 0x80):
            yield _flip(file, file, at, mask)


# --- folders -----------------------------------------------------------------------


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


# --- single files --------------------------------------------------------------------


def _archive(name: str) -> Callable[[Edit], Edit]:
    def keep(edit: Edit) -> Edit:
        ARCHIVES[name] = edit
        return edit

    return keep


def more(name: str, member: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """A single file with one more member."""

    def edit(file: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as zipped:
            warnings.simplefilter("ignore")
            zipped.writestr(member, content, compression)

    ARCHIVES[name] = edit


def other(name: str, member: str | None, content: bytes, source: str = "good") -> None:
    """A deflated single file, with another member of that name."""

    def edit(file: Path) -> None:
        given = file.with_name(f"{source}.edgekit")
        with zipfile.ZipFile(given) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            for found in old.namelist():
                made.writestr(found, content if found == member else old.read(found))

    ARCHIVES[name] = edit


more("member-unknown", "engines/zeros.bin", bytes(2**17))
more("member-unknown-bomb", "engines/zeros.bin", bytes(BOMB), zipfile.ZIP_DEFLATED)
more("member-twice", "golden.npz", b"x")
more("member-outside", "../outside", b"x")
more("member-inside-outside", "golden/../../outside", b"x")
more("member-absolute", "/etc/edgekit", b"x")
more("member-folder", "nothing/", b"")
more("signature-large", SIGNATURE, bytes(2**17))
more("signature-of-nobody", SIGNATURE, b"{}")
more("name-in-utf-8", "ä", b"x")
other("deflated", None, b"")
other("bomb", "golden.npz", bytes(BOMB))
other("bomb-manifest", MANIFEST, bytes(BOMB))
other("other-content", "calibration.json", b"x")
other("old-compressed", "golden.npz", bytes(BOMB), "old")


@_archive("old-with-more")
def _old_with_more(file: Path) -> None:
    shutil.copy(OLD, file)
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.writestr("zeros.bin", bytes(2**10))


@_archive("same-size")
def _same_size(file: Path) -> None:
    with zipfile.ZipFile(file) as given:
        size = given.getinfo("golden.npz").file_size
    other("", "golden.npz", bytes(size))
    ARCHIVES.pop("")(file)


@_archive("short")
def _short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


@_archive("ends-in-golden")
def _ends_in_golden(file: Path) -> None:
    """A truncated file that shows the archive inside golden.npz."""
    content = file.read_bytes()
    with zipfile.ZipFile(file) as given:
        golden = given.read("golden.npz")
    file.write_bytes(content[: content.index(golden) + len(golden)])


@_archive("nothing-inside")
def _nothing_inside(file: Path) -> None:
    file.write_bytes(b"")


@_archive("text-inside")
def _text_inside(file: Path) -> None:
    file.write_bytes(b"no archive\n" * 100)


@_archive("empty-archive")
def _empty_archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w"):
        pass


@_archive("damaged-member")
def _damaged_member(file: Path) -> None:
    content = bytearray(file.read_bytes())
    at = content.index(b"PK\x03\x04", 4)  # the second member's header
    content[at + 60] ^= 1
    file.write_bytes(content)


@_archive("encrypted")
def _encrypted(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[6] |= 1  # of the first member: local header, then central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)


@_archive("link-inside")
def _link_inside(file: Path) -> None:
    """A member that says it is a symbolic link, instead of a file."""
    given = file.with_name("good.edgekit")
    with zipfile.ZipFile(given) as old, zipfile.ZipFile(file, "w") as made:
        for found in old.infolist():
            if found.filename == "golden.npz":
                found.external_attr = 0o120777 << 16
                made.writestr(found, b"/etc/passwd")
            else:
                made.writestr(found, old.read(found.filename))


@_archive("streamed")
def _streamed(file: Path) -> None:
    """As a program that cannot seek writes it: sizes behind the data."""
    given = file.with_name("good.edgekit")

    class Stream:
        def __init__(self, path: Path) -> None:
            self.file = path.open("wb")

        def write(self, data: bytes) -> int:
            return self.file.write(data)

        def flush(self) -> None:
            self.file.flush()

    stream = Stream(file)
    with zipfile.ZipFile(given) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:  # type: ignore[call-overload]
        for found in old.namelist():
            made.writestr(found, old.read(found))
    stream.file.close()


@_archive("with-a-comment")
def _with_a_comment(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.comment = b"a comment"


# --- signatures ------------------------------------------------------------------------


def _signed(folder: Path, good: Path, secret: Path, keys: dict[str, Path]) -> list[dict[str, Any]]:
    cases = [_case(good, key) for key in keys.values()]
    shutil.copytree(good, folder / "signed")
    with open_bundle(folder / "signed") as bundle:
        written = json.loads(sign(bundle, secret).read_text())
        archives.pack(bundle.path, folder / "signed.edgekit")
    cases += [_case(path, key) for path in (folder / "signed", folder / "signed.edgekit") for key in keys.values()]
    raw = base64.b64decode(written["signature"])
    damaged = {"brace": "{", "mapping": "{}", "list": "[]", "text": json.dumps({"signature": "no base64!"})}
    damaged |= {"number": json.dumps({"signature": 1}), "empty": json.dumps({"signature": ""})}
    damaged |= {"short": json.dumps({"signature": base64.b64encode(raw[:63]).decode()})}
    for at in (0, 31, 63):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        damaged[f"byte-{at}"] = json.dumps({"signature": base64.b64encode(changed).decode()})
    for name, content in damaged.items():
        shutil.copytree(good, folder / f"signature-{name}")
        (folder / f"signature-{name}" / SIGNATURE).write_text(content)
        cases.append(_case(folder / f"signature-{name}", keys["ours"]))
    shutil.copytree(folder / "signed", folder / "signed-then-changed")
    manifest = folder / "signed-then-changed" / MANIFEST
    manifest.write_text(manifest.read_text() + "\n")
    cases.append(_case(folder / "signed-then-changed", keys["ours"]))
    return cases
