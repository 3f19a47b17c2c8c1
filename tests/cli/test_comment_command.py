"""``edgekit comment`` against a server that checks every request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.github_server import BOT, TOKEN, github
from tests.support.shell import edgekit


def test_one_comment_that_the_next_call_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gate.md"
    with github() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.address)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_REPOSITORY", "example/perception")
        said = []
        for text in ("## ❌ FAIL", "## ✅ PASS"):
            file.write_text(text, encoding="utf-8")
            found = edgekit("comment", file, "--number", 7, "--topic", "cpu", "--json")
            assert found.returncode == 0, found.stderr
            said.append(found.stdout + found.stderr)
        assert [json.loads(one)["outcome"] for one in said] == ["created", "changed"]
        ((login, body),) = [(one["user"]["login"], one["body"]) for one in server.comments]
        assert (login, body.partition("\n")[0]) == (BOT, "## ✅ PASS")
        assert TOKEN not in "".join(said)
        missing = edgekit("comment", tmp_path / "no.md", "--number", 7)
        assert (missing.returncode, "edgekit gate --markdown" in missing.stderr) == (2, True)
