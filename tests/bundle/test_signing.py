"""Signatures with real Ed25519 keys."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edgekit.bundle import MANIFEST, SIGNATURE, open_bundle
from edgekit.bundle.signing import check, sign
from edgekit.core.errors import BundleError, InputError, MissingRequirement


def write_keys(folder: Path, name: str, private: object = None) -> tuple[Path, Path]:
    key = private or ed25519.Ed25519PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub"
    secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))  # type: ignore[attr-defined]
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, spki))  # type: ignore[attr-defined]
    return secret, public


def test_signed_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    secret, public = write_keys(tmp_path, "ours")
    _, stranger = write_keys(tmp_path, "stranger")
    with pytest.raises(BundleError, match="not signed; sign it with: edgekit bundle sign"):
        check(open_bundle(tiny_bundle), public)
    sign(open_bundle(tiny_bundle), secret)
    check(open_bundle(tiny_bundle), public)
    with pytest.raises(BundleError, match=r"not from the holder of .*stranger.pub; do not run it"):
        check(open_bundle(tiny_bundle), stranger)


def test_manifest_changed_after_signing(tiny_bundle: Path, tmp_path: Path) -> None:
    secret, public = write_keys(tmp_path, "ours")
    sign(open_bundle(tiny_bundle), secret)
    bundle = open_bundle(tiny_bundle)
    (tiny_bundle / MANIFEST).write_text((tiny_bundle / MANIFEST).read_text() + "\n")
    with pytest.raises(BundleError, match="do not run it"):
        check(bundle, public)


@pytest.mark.parametrize("content", ["{", "{}", "[]", json.dumps({"signature": "no base64!"})])
def test_damaged_signature(tiny_bundle: Path, tmp_path: Path, content: str) -> None:
    _, public = write_keys(tmp_path, "ours")
    (tiny_bundle / SIGNATURE).write_text(content)
    with pytest.raises(BundleError, match=r"signature.json: damaged; sign the bundle again"):
        check(open_bundle(tiny_bundle), public)


def test_without_the_cryptography_package(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, public = write_keys(tmp_path, "ours")
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    for action, key in ((sign, secret), (check, public)):
        with pytest.raises(MissingRequirement, match=r"the cryptography package is not available.*pip install edgekit"):
            action(open_bundle(tiny_bundle), key)


def test_an_encrypted_key(tiny_bundle: Path, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (tmp_path / "locked.pem").write_bytes(pem)
    with pytest.raises(InputError, match=r"locked\.pem: not a readable PEM key"):
        sign(open_bundle(tiny_bundle), tmp_path / "locked.pem")


def test_one_changed_byte_of_a_signature(tiny_bundle: Path, tmp_path: Path) -> None:
    secret, public = write_keys(tmp_path, "ours")
    bundle = open_bundle(tiny_bundle)
    document = json.loads(sign(bundle, secret).read_text())
    raw = base64.b64decode(document["signature"])
    for position in (0, 31, 63):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        (tiny_bundle / SIGNATURE).write_text(json.dumps({"signature": base64.b64encode(changed).decode()}))
        with pytest.raises(BundleError, match="do not run it"):
            check(bundle, public)


def test_keys_of_another_kind(tiny_bundle: Path, tmp_path: Path) -> None:
    secret, _ = write_keys(tmp_path, "curve", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InputError, match=r"PrivateKey; expected Ed25519PrivateKey"):
        sign(open_bundle(tiny_bundle), secret)
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(InputError, match=r"not a readable PEM key .* openssl genpkey -algorithm ed25519"):
        sign(open_bundle(tiny_bundle), tmp_path / "text.pem")
    with pytest.raises(InputError, match=r"missing\.pem: no such file; make a key with: openssl genpkey"):
        sign(open_bundle(tiny_bundle), tmp_path / "missing.pem")
    with pytest.raises(InputError, match=r": cannot be read: is a directory"):
        sign(open_bundle(tiny_bundle), tmp_path)
    assert not (tiny_bundle / SIGNATURE).exists()
