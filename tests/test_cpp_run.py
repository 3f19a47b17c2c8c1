"""``edgekit-run``, the program of the C++ runtime, beside edgekit's own commands; ``make cpp`` builds it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from edgekit.bundle import Bundle, open_bundle, pack
from edgekit.bundle.signing import check, sign
from edgekit.core.errors import BundleError
from tests.support.shell import edgekit, error_of

PROGRAM = Path(__file__).parents[1] / "build" / "cpp" / "release" / "src" / "run" / "edgekit-run"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="edgekit-run is not built: make cpp")


def edgekit_run(bundle: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Run a bundle over the golden frames of the folder."""
    frames = bundle if bundle.is_dir() else bundle.with_suffix("")
    words = map(str, (PROGRAM, bundle, frames / "golden", *options))
    return subprocess.run(list(words), capture_output=True, text=True, check=False)


def document(bundle: Path, *options: object) -> Any:
    """What ``edgekit-run --json`` writes."""
    done = edgekit_run(bundle, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Files of a private key, of its public one, and of a stranger's public one."""
    ours, stranger = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    pem, secret = serialization.Encoding.PEM, tmp_path / "ours.pem"
    secret.write_bytes(ours.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    files = (tmp_path / "ours.pub", tmp_path / "stranger.pub")
    for file, key in zip(files, (ours, stranger), strict=True):
        file.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return (secret, *files)


def refusals(bundle: Path, opened: Bundle, key: Path) -> tuple[str, str]:
    """What edgekit and edgekit-run say of a bundle that the holder of ``key`` did not sign."""
    with pytest.raises(BundleError) as refused:
        check(opened, key)
    done = edgekit_run(bundle, "--key", key)
    assert (done.returncode, done.stdout) == (2, "")
    return str(refused.value), done.stderr.strip().removeprefix("edgekit-run: ")


def test_only_the_holder_of_the_key_is_trusted(tiny_bundle: Path, keys: tuple[Path, Path, Path]) -> None:
    secret, public, stranger = keys
    python, ours = refusals(tiny_bundle, open_bundle(tiny_bundle), public)
    assert "not signed; sign it with: edgekit bundle sign" in ours
    assert ours == python
    sign(open_bundle(tiny_bundle), secret)
    assert edgekit_run(tiny_bundle, "--key", public).returncode == 0
    python, ours = refusals(tiny_bundle, open_bundle(tiny_bundle), stranger)
    assert f"the signature is not from the holder of {stranger}" in ours
    assert ours == python
    packed = tiny_bundle.with_suffix(".edgekit")
    pack(open_bundle(tiny_bundle), packed)
    assert edgekit_run(packed, "--key", public).returncode == 0
    done = edgekit_run(packed, "--key", stranger)
    assert done.returncode == 2
    assert "not from the holder of" in done.stderr
    done = edgekit_run(tiny_bundle, "--key", secret)
    assert done.returncode == 2
    assert "not a readable PEM key" in done.stderr


def test_the_control_runs_in_place_of_the_candidate(tiny_bundle: Path) -> None:
    contents = open_bundle(tiny_bundle).contents
    assert contents.control is not None
    for options, role in (((), contents.candidate), (("--role", "control"), contents.control)):
        made = document(tiny_bundle, *options)
        assert (made["engine"], list(made["times_ms"])) == (role.file, [role.file])
        assert made["settings"]["precision"] == role.precision
        assert made["size_mib"] == pytest.approx((tiny_bundle / role.file).stat().st_size / 2**20)
    done = edgekit_run(tiny_bundle, "--role", "referee")
    assert done.returncode == 2
    assert "referee" in done.stderr


def test_the_gate_judges_its_document(tiny_bundle: Path, tmp_path: Path) -> None:
    written = tmp_path / "run.json"
    made = document(tiny_bundle, "--repeat", 20)
    written.write_text(json.dumps(made))
    words = ("gate", tiny_bundle, "--profile", written, "--history", "off", "--json", "--allow-undecided")
    done = edgekit(*words)
    assert done.returncode == 0, done.stderr
    (judged,) = [kpi for kpi in json.loads(done.stdout)["kpis"] if kpi["name"] == "latency_p50_ms"]
    assert judged["value"] == made["latency_ms"]["p50"]
    control = document(tiny_bundle, "--role", "control")
    written.write_text(json.dumps(control))
    said = error_of(edgekit(*words), 2)
    assert said.startswith(f"the profile is of {control['engine']}, and {made['engine']} is judged; measure that one")
