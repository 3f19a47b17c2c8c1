"""Signed envelopes against another implementation of DSSE, securesystemslib."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from edgekit.bundle.envelope import seal, unseal
from edgekit.bundle.keys import private_key, public_key
from edgekit.core.errors import InputError
from tests.bundle.test_signing import write_keys

KIND = "application/vnd.in-toto+json"
PAYLOAD = '{"a": "ä, and 漢"}'.encode()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "ours")


def test_the_other_implementation_takes_ours(keys: tuple[Path, Path]) -> None:
    secret, public = keys
    envelope = Envelope.from_dict(json.loads(seal(PAYLOAD, KIND, private_key(secret))))
    key = SSlibKey.from_crypto(load_pem_public_key(public.read_bytes()), keyid=next(iter(envelope.signatures)))
    assert envelope.verify([key], 1)
    assert envelope.payload == PAYLOAD
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_we_take_that_of_the_other_implementation(keys: tuple[Path, Path]) -> None:
    secret, public = keys
    envelope = Envelope(PAYLOAD, KIND, {})
    envelope.sign(CryptoSigner(private_key(secret)))
    assert unseal(json.dumps(envelope.to_dict()).encode(), KIND, public) == PAYLOAD


def test_one_of_several_signatures_is_enough(keys: tuple[Path, Path], tmp_path: Path) -> None:
    secret, public = keys
    other, _ = write_keys(tmp_path, "other")
    both = json.loads(seal(PAYLOAD, KIND, private_key(other)))
    both["signatures"] += json.loads(seal(PAYLOAD, KIND, private_key(secret)))["signatures"]
    assert unseal(json.dumps(both).encode(), KIND, public) == PAYLOAD


@pytest.mark.parametrize("part", ["payload", "payloadType", "sig", "nothing"])
def test_what_was_changed_is_refused(keys: tuple[Path, Path], tmp_path: Path, part: str) -> None:
    secret, public = keys
    document = json.loads(seal(PAYLOAD, KIND, private_key(secret)))
    match part:
        case "payload":
            document["payload"] = base64.b64encode(PAYLOAD + b" ").decode()
        case "payloadType":
            document["payloadType"] = "text/plain"
        case "sig":
            raw = base64.b64decode(document["signatures"][0]["sig"])
            document["signatures"][0]["sig"] = base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()
        case "nothing":
            _, public = write_keys(tmp_path, "stranger")
    kind = document["payloadType"]
    with pytest.raises(InputError, match=r"r\.json: not signed by the holder of .*\.pub, or changed since"):
        unseal(json.dumps(document).encode(), kind, public, "r.json")


def test_another_kind_is_refused_before_its_signature_counts(keys: tuple[Path, Path]) -> None:
    secret, public = keys
    with pytest.raises(InputError, match=f"holds 'text/plain'; expected '{KIND.replace('+', '.')}'"):
        unseal(seal(PAYLOAD, "text/plain", private_key(secret)), KIND, public)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b'{"payload": "!", "payloadType": "", "signatures": []}']
)
def test_what_is_no_envelope(keys: tuple[Path, Path], content: bytes) -> None:
    with pytest.raises(InputError, match="no signed document, or a damaged one"):
        unseal(content, KIND, keys[1])


def test_an_envelope_without_signatures(keys: tuple[Path, Path]) -> None:
    bare = {"payload": base64.b64encode(PAYLOAD).decode(), "payloadType": KIND, "signatures": []}
    with pytest.raises(InputError, match="not signed by the holder"):
        unseal(json.dumps(bare).encode(), KIND, keys[1])


def test_keys_in_variables(keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    secret, public = keys
    monkeypatch.setenv("SECRET", secret.read_text())
    monkeypatch.setenv("TRUSTED", public.read_text())
    sealed = seal(PAYLOAD, KIND, private_key("env://SECRET"))
    assert unseal(sealed, KIND, "env://TRUSTED") == PAYLOAD
    monkeypatch.setenv("SECRET", " \n")
    with pytest.raises(InputError, match=r"env://SECRET: the variable SECRET is not set"):
        private_key("env://SECRET")
    monkeypatch.setenv("SECRET", secret.read_text()[:-40])
    with pytest.raises(InputError, match=r"env://SECRET: not a readable PEM key") as caught:
        private_key("env://SECRET")
    assert secret.read_text().splitlines()[1] not in str(caught.value)
    with pytest.raises(InputError, match=r"a Ed25519PrivateKey|not a readable PEM key"):
        public_key(secret)
