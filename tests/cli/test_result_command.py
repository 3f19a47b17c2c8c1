"""``edgekit gate --signed-result`` and ``edgekit result check``, as processes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.bundle import MANIFEST, open_bundle
from edgekit.core.artifacts import sha256_file
from tests.bundle.test_signing import write_keys
from tests.cli.test_bad_bundle import with_kpis
from tests.support.shell import edgekit


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "ours")


def _statement(file: Path) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))
    return statement


@pytest.mark.slow
def test_a_gate_that_passed_is_signed_and_checked(tiny_bundle: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    secret, public = keys
    with_kpis(tiny_bundle, {"latency_p50_ms": {"max": 1e6}, "miou": {"min": 0.0}})
    file = tmp_path / "result.json"
    gated = edgekit("gate", tiny_bundle, "--queries", 700, "--signed-result", file, "--key", secret, "--json")
    assert gated.returncode == 0, gated.stderr
    found = edgekit("result", "check", file, "--public-key", public, "--bundle", tiny_bundle, "--json")
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["gate"] == json.loads(gated.stdout)
    bundle = open_bundle(tiny_bundle)
    assert report["digest"] == bundle.digest
    (times,) = (v for name, v in report["profile"]["times_ms"].items() if name == report["profile"]["engine"])
    assert len(times) == report["profile"]["latency_ms"]["samples"] >= 700
    assert report["device"]
    assert report["tools"]["onnxruntime"]
    assert report["given"] == []
    statement = _statement(file)
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["subject"][0]["digest"] == {"sha256": sha256_file(tiny_bundle / MANIFEST)}
    assert statement["predicate"]["result"] == "PASSED"
    assert statement["predicate"]["passedTests"] == ["latency_p50_ms", "miou"]
    shown = edgekit("result", "check", file, "--public-key", public)
    assert "PASS" in shown.stdout
    assert f"bundle {bundle.digest}; --bundle BUNDLE says" in shown.stdout


@pytest.fixture
def documents(tiny_bundle: Path, tmp_path: Path) -> tuple[str, ...]:
    """Options that name an evaluation and a profile, so that nothing is measured again."""
    with_kpis(tiny_bundle, {"miou": {"min": 2.0}, "latency_p99_ms": {"max": 1000}, "latency_p50_ms": {"max": 1e6}})
    for command, options in (("evaluate", ()), ("profile", ("--queries", 100))):
        (tmp_path / f"{command}.json").write_text(edgekit(command, tiny_bundle, *options, "--json").stdout)
    return ("--evaluation", str(tmp_path / "evaluate.json"), "--profile", str(tmp_path / "profile.json"))


@pytest.mark.slow
def test_a_gate_that_failed_is_signed_too(
    tiny_bundle: Path, tmp_path: Path, keys: tuple[Path, Path], documents: tuple[str, ...]
) -> None:
    secret, public = keys
    file = tmp_path / "result.json"
    gated = edgekit("gate", tiny_bundle, *documents, "--signed-result", file, "--key", secret)
    assert gated.returncode == 1, gated.stderr
    found = edgekit("result", "check", file, "--public-key", public)
    assert found.returncode == 1
    assert "FAIL" in found.stdout
    assert "not measured in that run, but handed in: evaluation, profile" in found.stdout
    predicate = _statement(file)["predicate"]
    assert (predicate["result"], predicate["failedTests"]) == ("FAILED", ["miou"])
    assert (predicate["warnedTests"], predicate["passedTests"]) == (["latency_p99_ms"], ["latency_p50_ms"])


@pytest.mark.slow
def test_a_result_of_somebody_else_or_about_another_bundle(
    tiny_bundle: Path, tmp_path: Path, keys: tuple[Path, Path], documents: tuple[str, ...]
) -> None:
    secret, public = keys
    _, stranger = write_keys(tmp_path, "stranger")
    file = tmp_path / "result.json"
    edgekit("gate", tiny_bundle, *documents, "--signed-result", file, "--key", secret)
    foreign = edgekit("result", "check", file, "--public-key", stranger)
    assert (foreign.returncode, "not signed by the holder of" in foreign.stderr) == (2, True)
    with_kpis(tiny_bundle, {"miou": {"min": 0.1}})
    other = edgekit("result", "check", file, "--public-key", public, "--bundle", tiny_bundle)
    assert other.returncode == 2
    assert "and the result is about tiny-cpu@" in other.stderr
    document = json.loads(file.read_text())
    payload = base64.b64decode(document["payload"]).replace(b'"FAILED"', b'"PASSED"')
    file.write_text(json.dumps(document | {"payload": base64.b64encode(payload).decode()}))
    assert edgekit("result", "check", file, "--public-key", public).returncode == 2


def test_a_key_is_asked_for_before_anything_is_measured(tiny_bundle: Path, tmp_path: Path) -> None:
    for words in (("--signed-result", tmp_path / "r.json"), ("--key", tmp_path / "k.pem")):
        alone = edgekit("gate", tiny_bundle, *words)
        assert (alone.returncode, "--signed-result and --key belong together" in alone.stderr) == (2, True)
    missing = edgekit("gate", tiny_bundle, "--signed-result", tmp_path / "r.json", "--key", tmp_path / "k.pem")
    assert (missing.returncode, "k.pem: no such file" in missing.stderr) == (2, True)
    assert edgekit("result", "check", tmp_path / "r.json", "--public-key", tmp_path / "k.pem").returncode == 2
