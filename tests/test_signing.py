"""Signatures with real Ed25519 keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edgekit.bundle import MANIFEST, SIGNATURE, open_bundle
from edgekit.core.errors import BundleError, InputError
from edgekit.signing import check, sign


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


def test_keys_of_another_kind(tiny_bundle: Path, tmp_path: Path) -> None:
    secret, _ = write_keys(tmp_path, "curve", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InputError, match=r"PrivateKey; expected Ed25519PrivateKey"):
        sign(open_bundle(tiny_bundle), secret)
    (tmp_path / "text.pem").write_text("no key")
    for key in (tmp_path / "text.pem", tmp_path / "missing.pem"):
        with pytest.raises(InputError, match=r"not a readable PEM key .* openssl genpkey -algorithm ed25519"):
            sign(open_bundle(tiny_bundle), key)
    assert not (tiny_bundle / SIGNATURE).exists()
