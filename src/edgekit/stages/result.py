"""The signed result of a gate: an in-toto statement in a DSSE envelope.

The statement's predicate is in-toto's "test result" (https://in-toto.io/attestation/test-result/v0.1), so that tools of
that framework read the verdict; all of edgekit's own is one extension field of it.  The subject is the bundle's
manifest, which hashes every other file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.bundle import MANIFEST, Bundle
from edgekit.bundle.envelope import seal, unseal
from edgekit.core.artifacts import sha256_file
from edgekit.core.errors import BundleError, InputError, os_reason
from edgekit.core.reports import ResultReport
from edgekit.stages.gate import Gated, GateOptions, revision
from edgekit.stages.tools import tool_versions

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
EXTENSION = "edgekit:gate-result/v1"
_CONTENTS = "bundle.json"  # the KPIs stand there


@dataclass(frozen=True)
class Checked:
    """A result whose signature is valid, and the SHA-256 of the manifest that it is about."""

    report: ResultReport
    manifest: str


def device_facts(bundle: Bundle) -> dict[str, str]:
    """What this machine is to the bundle's engines, such as processor and runtime.

    Raises:
        MissingRequirement: the runtime of its engines is not here.
    """
    return {key: str(value) for key, value in bundle.backend().fingerprint().items()}


def result(
    bundle: Bundle, gated: Gated, options: GateOptions, device: dict[str, str], given: tuple[str, ...] = ()
) -> ResultReport:
    """All that a gate was reached by, on the machine ``device``; ``given``: documents that were handed in."""
    return ResultReport(
        bundle.identity,
        bundle.digest,
        gated.gate,
        gated.evaluation,
        gated.profile,
        device,
        tool_versions(),
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
        revision() or "",
        given,
        options.beside,
    )


def signed(bundle: Bundle, report: ResultReport, key: Ed25519PrivateKey) -> bytes:
    """The envelope, as JSON."""
    subject = {"name": f"{bundle.identity}/{MANIFEST}", "digest": {"sha256": sha256_file(bundle.path / MANIFEST)}}
    kpis = {"name": _CONTENTS, "digest": {"sha256": bundle.manifest["files"][_CONTENTS]}}
    names = {verdict: sorted({k.name for k in report.gate.kpis if k.verdict == verdict}) for verdict in _LISTS}
    names["undecided"] = sorted({*names["undecided"], *report.gate.unmeasured})
    predicate = {
        "result": "PASSED" if report.gate.verdict == "pass" else "FAILED",
        "configuration": [kpis],
        **{_LISTS[verdict]: found for verdict, found in names.items()},
        EXTENSION: report.to_dict(),
    }
    statement = {"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": predicate}
    return seal(json.dumps(statement).encode(), PAYLOAD, key)


_LISTS = {"pass": "passedTests", "undecided": "warnedTests", "fail": "failedTests"}


def read_signed(path: Path, trusted: Path | str) -> Checked:
    """A signed result, once its signature was found to be from the holder of the public key ``trusted``.

    Raises:
        InputError: there is no such file, it is no signed result, or somebody else signed it.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write it with: edgekit gate BUNDLE --signed-result {path}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {os_reason(error)}") from error
    statement: dict[str, Any] = json.loads(unseal(content, PAYLOAD, trusted, str(path)))
    if (kind := statement.get("predicateType")) != PREDICATE or EXTENSION not in statement["predicate"]:
        raise InputError(f"{path}: a signed statement of type {kind!r}; expected a result of edgekit gate")
    try:
        report = TypeAdapter(ResultReport).validate_json(json.dumps(statement["predicate"][EXTENSION]))
    except ValidationError as error:
        raise InputError(f"{path}: a result of another version of edgekit: {error.errors()[0]['msg']}") from error
    (subject,) = statement["subject"]
    return Checked(report, subject["digest"]["sha256"])


def require_about(checked: Checked, bundle: Bundle) -> None:
    """Raise :class:`BundleError` unless the result is about this very bundle."""
    if checked.manifest != sha256_file(bundle.path / MANIFEST) or checked.report.digest != bundle.digest:
        raise BundleError(
            f"{bundle.path}: is {bundle.identity}, and the result is about {checked.report.bundle}; "
            "gate this bundle, or name the one that was judged"
        )
