"""Ed25519 signatures over a bundle's manifest, which in turn hashes every file (RFC 8032)."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from edgekit.bundle import MANIFEST, SIGNATURE, Bundle
from edgekit.core.artifacts import write_json
from edgekit.core.errors import BundleError, InputError, MissingRequirement, os_reason


def sign(bundle: Bundle, private_key: Path) -> Path:
    """Write ``signature.json`` into the bundle folder; returns its path.

    Raises:
        InputError: the file is no unencrypted Ed25519 private key in PEM.
    """
    serialization, ed25519 = _library()
    key = _read_key(private_key, lambda data: serialization.load_pem_private_key(data, None), ed25519.Ed25519PrivateKey)
    signature = key.sign((bundle.path / MANIFEST).read_bytes())
    target = bundle.path / SIGNATURE
    write_json(target, {"algorithm": "ed25519", "signature": base64.b64encode(signature).decode()})
    return target


def check(bundle: Bundle, public_key: Path) -> None:
    """Raise :class:`BundleError` unless the holder of ``public_key`` signed this manifest."""
    serialization, ed25519 = _library()
    from cryptography.exceptions import InvalidSignature

    key = _read_key(public_key, serialization.load_pem_public_key, ed25519.Ed25519PublicKey)
    file = bundle.path / SIGNATURE
    if not file.is_file():
        raise BundleError(f"{bundle.path}: not signed; sign it with: edgekit bundle sign BUNDLE --key KEY.pem")
    try:
        signature = base64.b64decode(json.loads(file.read_text(encoding="utf-8"))["signature"], validate=True)
        key.verify(signature, (bundle.path / MANIFEST).read_bytes())
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BundleError(f"{file}: damaged; sign the bundle again") from error
    except InvalidSignature as error:
        raise BundleError(
            f"{bundle.path}: the signature is not from the holder of {public_key}; do not run it"
        ) from error


def _read_key(path: Path, read: Any, kind: type) -> Any:
    try:
        key = read(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make a key with: openssl genpkey -algorithm ed25519") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {os_reason(error)}") from error
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not a readable PEM key ({error}); make one with: openssl genpkey -algorithm ed25519"
        ) from error
    if not isinstance(key, kind):
        raise InputError(f"{path}: a {type(key).__name__}; expected {kind.__name__}")
    return key


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingRequirement("the cryptography package", "pip install edgekit") from error
    return serialization, ed25519
