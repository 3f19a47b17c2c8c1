"""Ed25519 keys in PEM, from a file or, so that a secret need not be written to one, from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.errors import InputError, MissingRequirement, os_reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ENVIRONMENT = "env://"
"""Before the name of a variable that holds the key itself, as cosign has it: ``env://EDGEKIT_SIGNING_KEY``."""
_MAKE = "openssl genpkey -algorithm ed25519"


def private_key(where: Path | str) -> Ed25519PrivateKey:
    """The key to sign with; ``where`` is a file, or ``env://NAME``.

    Raises:
        InputError: it is no unencrypted Ed25519 private key in PEM.
        MissingRequirement: the cryptography package is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise _no_library() from error
    key = _read(where, lambda data: load_pem_private_key(data, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise _another(where, key, "Ed25519PrivateKey")
    return key


def public_key(where: Path | str) -> Ed25519PublicKey:
    """The key that is trusted; ``where`` and errors as of :func:`private_key`."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise _no_library() from error
    key = _read(where, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise _another(where, key, "Ed25519PublicKey")
    return key


def _read(where: Path | str, load: Callable[[bytes], object]) -> object:
    data = _content(where)
    try:
        return load(data)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not a readable PEM key ({error}); make one with: {_MAKE}") from error


def _another(where: Path | str, key: object, expected: str) -> InputError:
    return InputError(f"{where}: a {type(key).__name__}; expected {expected}")


def _content(where: Path | str) -> bytes:
    if isinstance(where, str) and where.startswith(ENVIRONMENT):
        name = where.removeprefix(ENVIRONMENT)
        held = os.environ.get(name, "")
        if not held.strip():
            raise InputError(f"{where}: the variable {name} is not set; put a PEM key into it, made with: {_MAKE}")
        return held.encode()
    try:
        return Path(where).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{where}: no such file; make a key with: {_MAKE}") from None
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {os_reason(error)}") from error


def _no_library() -> MissingRequirement:
    return MissingRequirement("the cryptography package", "pip install edgekit")
