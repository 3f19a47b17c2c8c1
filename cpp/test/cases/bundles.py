"""Bundles, good, damaged and hostile, with what Python says of each: the kinds of tests/bundle, and more.

``cases.json`` lists them. A message has ``{path}`` for the bundle, or for the folder that it was unpacked to.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _bundles_archives import ARCHIVES, OLD
from _bundles_folders import FILES
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import edgekit
from edgekit.bundle import MANIFEST, SIGNATURE, open_bundle, write_bundle
from edgekit.bundle import archive as archives
from edgekit.bundle.contents import PREDICTIONS
from edgekit.bundle.frames import write_frame
from edgekit.bundle.signing import check, sign
from edgekit.core.artifacts import write_json
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
