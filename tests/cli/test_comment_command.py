"""``edgekit comment`` against a server that checks every request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import gitlab_server
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


def test_the_same_in_a_merge_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With GitLab's own variables; those of GitHub, which may be there too, are not looked at."""
    file = tmp_path / "gate.md"
    monkeypatch.setenv("GITHUB_REPOSITORY", "example/perception")
    words = ("comment", file, "--forge", "gitlab", "--number", 7, "--json")
    with gitlab_server.gitlab() as server:
        file.write_text("## FAIL", encoding="utf-8")
        monkeypatch.delenv("CI_MERGE_REQUEST_PROJECT_ID", raising=False)
        lost = edgekit(*words)
        assert (lost.returncode, "set CI_MERGE_REQUEST_PROJECT_ID" in lost.stderr) == (2, True)
        monkeypatch.setenv("CI_MERGE_REQUEST_PROJECT_ID", "17")
        monkeypatch.setenv("CI_API_V4_URL", server.api)
        monkeypatch.delenv("EDGEKIT_GITLAB_TOKEN", raising=False)
        lost = edgekit(*words)
        assert (lost.returncode, "a token in EDGEKIT_GITLAB_TOKEN" in lost.stderr) == (3, True)
        monkeypatch.setenv("EDGEKIT_GITLAB_TOKEN", gitlab_server.TOKEN)
        said = edgekit(*words)
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["outcome"] == "created"
        assert server.notes[0]["body"].startswith("## FAIL")
        assert gitlab_server.TOKEN not in said.stdout + said.stderr
