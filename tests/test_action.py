"""The action's steps as a runner runs them: a bundle is verified, gated, signed and commented on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundle.test_signing import write_keys
from tests.cli.test_bad_bundle import with_kpis
from tests.support.github_server import TOKEN, github
from tests.support.shell import ENVIRONMENT, edgekit
from tests.test_workflows import ACTION, commands, runs


def _bash(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-e", "-c", line], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_pull_request_from_the_bundle_to_the_comment(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, public = write_keys(tmp_path, "runner")
    key, out, step = secret.read_text(), tmp_path / "edgekit gate", tmp_path / "step.md"
    secret.unlink()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "edgekit").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgekit "$@"\n')
    (tmp_path / "bin" / "edgekit").chmod(0o755)
    given = {
        "EDGEKIT_BUNDLE": tiny_bundle, "EDGEKIT_OUT": out, "EDGEKIT_BUDGET": "10m", "EDGEKIT_HISTORY": "off",
        "EDGEKIT_ROOT": "", "EDGEKIT_AGAINST": "", "EDGEKIT_SIGNING_KEY": key, "EDGEKIT_NUMBER": 7,
        "EDGEKIT_TOPIC": "cpu", "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "example/perception",
        "GITHUB_STEP_SUMMARY": step, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", **ENVIRONMENT,
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    steps = commands(runs(ACTION))
    said = []
    with github() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.address)
        for limit, codes in (({"min": 2.0}, [0, 1, 0]), ({"min": 0.0}, [0, 0, 0])):
            with_kpis(tiny_bundle, {"miou": limit})
            ran = [
                subprocess.run(["bash", "-e", "-c", line], capture_output=True, text=True, check=False)
                for line in steps
            ]
            assert [one.returncode for one in ran] == codes, [one.stderr for one in ran]
            said += [one.stdout + one.stderr for one in ran]
        (comment,) = server.comments
        assert "PASS" in comment["body"].partition("\n")[0]
        assert step.read_text().count("## ") == 2
        checked = edgekit("result", "check", out / "result.json", "--public-key", public, "--bundle", tiny_bundle)
        assert checked.returncode == 0, checked.stderr
    written = [*said, *(one.read_text(errors="replace") for one in tmp_path.rglob("*") if one.is_file())]
    assert [hidden for hidden in (TOKEN, key.splitlines()[1]) if hidden in "".join(written)] == []
