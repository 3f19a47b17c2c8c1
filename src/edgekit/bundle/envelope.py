"""A document and its signature in one JSON file: DSSE 1.0.2 with Ed25519.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md: the type is signed with the payload, so that a
document of one kind is never taken for another, and the payload is kept as the bytes that were signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.bundle.keys import public_key
from edgekit.core.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def seal(payload: bytes, kind: str, key: Ed25519PrivateKey) -> bytes:
    """The envelope of a payload of the media type ``kind``, as JSON."""
    signature = key.sign(_signed(payload, kind))
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"keyid": _identity(key.public_key()), "sig": base64.b64encode(signature).decode()}],
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def unseal(envelope: bytes, kind: str, trusted: Path | str, name: str = "the envelope") -> bytes:
    """The payload, if the holder of the public key ``trusted`` signed it as ``kind``.

    Only what this returns may be looked at: what an envelope says of itself is not signed.

    Raises:
        InputError: it is no envelope, holds another kind, or none of its signatures is from that key.
    """
    key = public_key(trusted)
    from cryptography.exceptions import InvalidSignature

    try:
        document = json.loads(envelope)
        payload = base64.b64decode(document["payload"], validate=True)
        found = str(document["payloadType"])
        signatures = [base64.b64decode(one["sig"], validate=True) for one in document["signatures"]]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise InputError(f"{name}: no signed document, or a damaged one; expected a DSSE envelope") from error
    if found != kind:
        raise InputError(f"{name}: holds {found!r}; expected {kind!r}")
    for signature in signatures:
        try:
            key.verify(signature, _signed(payload, kind))
        except InvalidSignature:
            continue
        return payload
    raise InputError(f"{name}: not signed by the holder of {trusted}, or changed since; do not trust it")


def _signed(payload: bytes, kind: str) -> bytes:
    """What the signature is over: the pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _identity(key: Ed25519PublicKey) -> str:
    """A hint at the key for people: SHA-256 of its DER form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
