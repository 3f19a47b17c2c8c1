"""Ed25519 signatures over a bundle's manifest, which in turn hashes every file (RFC 8032)."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path

from edgekit.bundle import MANIFEST, SIGNATURE, Bundle
from edgekit.bundle.keys import private_key, public_key
from edgekit.core.artifacts import write_json
from edgekit.core.errors import BundleError


def sign(bundle: Bundle, key: Path | str) -> Path:
    """Write ``signature.json`` into the bundle folder; returns its path.

    Raises:
        InputError: ``key`` is no unencrypted Ed25519 private key in PEM.
    """
    signature = private_key(key).sign((bundle.path / MANIFEST).read_bytes())
    target = bundle.path / SIGNATURE
    write_json(target, {"algorithm": "ed25519", "signature": base64.b64encode(signature).decode()})
    return target


def check(bundle: Bundle, trusted: Path | str) -> None:
    """Raise :class:`BundleError` unless the holder of the public key ``trusted`` signed this manifest."""
    key = public_key(trusted)
    from cryptography.exceptions import InvalidSignature

    file = bundle.path / SIGNATURE
    if not file.is_file():
        raise BundleError(f"{bundle.path}: not signed; sign it with: edgekit bundle sign BUNDLE --key KEY.pem")
    try:
        signature = base64.b64decode(json.loads(file.read_text(encoding="utf-8"))["signature"], validate=True)
        key.verify(signature, (bundle.path / MANIFEST).read_bytes())
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BundleError(f"{file}: damaged; sign the bundle again") from error
    except InvalidSignature as error:
        raise BundleError(f"{bundle.path}: the signature is not from the holder of {trusted}; do not run it") from error
