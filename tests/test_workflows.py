"""Workflows, the action and the GitLab template: what they may do, and that their commands are commands of edgekit."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from edgekit.cli.main import app
from edgekit.images import KINDS

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
GITLAB = ROOT / "templates" / "edgekit-gate.gitlab-ci.yml"
PRIVILEGED = [path for path in WORKFLOWS if path.name != "ci.yml"]
WRITES = {"nightly-hil.yml": {"issues": ["issues"]}, "release.yml": {
    "attest": ["attestations", "id-token"], "images": ["packages"], "publish": ["id-token"]},
}  # fmt: skip


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text("utf-8"))


def steps(path: Path) -> Iterator[dict[str, Any]]:
    document = read(path)
    if "runs" in document:
        yield from document["runs"]["steps"]
    for job in document.get("jobs", {}).values():
        yield from job["steps"]


def runs(path: Path) -> list[str]:
    return [step["run"] for step in steps(path) if "run" in step]


@pytest.mark.parametrize("path", [*PRIVILEGED, ACTION], ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    used = [line.split("uses:")[1].strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_write_only_what_it_is_for(path: Path) -> None:
    document = read(path)
    assert document["permissions"] in ({}, {"contents": "read"})
    writes = {
        name: sorted(key for key, value in job.get("permissions", {}).items() if value != "read")
        for name, job in document["jobs"].items()
    }
    assert {name: found for name, found in writes.items() if found} == WRITES.get(path.name, {})
    assert all(job.get("timeout-minutes") for job in document["jobs"].values())


@pytest.mark.parametrize("path", [*PRIVILEGED, ACTION], ids=lambda path: path.name)
def test_no_expression_is_put_into_a_script_and_secrets_go_through_env(path: Path) -> None:
    assert [run for run in runs(path) if "${{" in run] == []
    for step in steps(path):
        rest = json.dumps({key: value for key, value in step.items() if key not in ("env", "with")})
        assert not re.search(r"secrets\.|github\.token|inputs\.(token|signing-key) *\}", rest), step


def test_checkouts_leave_no_token_behind() -> None:
    for path in WORKFLOWS:
        for step in steps(path):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, path.name


def test_the_night_is_the_script_that_tests_run() -> None:
    document = read(ROOT / ".github" / "workflows" / "nightly-hil.yml")
    commands = {name: [s["run"] for s in job["steps"] if "run" in s] for name, job in document["jobs"].items()}
    assert commands == {
        "board": ["make hil", 'hil/nightly.sh night "$PLAN" "$STATE" nights'],
        "issues": ["make hil", "hil/nightly.sh issues nights"],
    }
    board = document["jobs"]["board"]
    assert board["runs-on"] == ["self-hosted", "edgekit-hil", "${{ matrix.board }}"]
    assert board["concurrency"] == {"group": "hil-${{ matrix.board }}", "cancel-in-progress": False}
    assert set(board["env"]) >= {"PLAN", "STATE"}
    assert "GITHUB_TOKEN" not in json.dumps(board)


def commands(texts: list[str]) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip().startswith("edgekit ")]


def test_github_and_gitlab_run_the_same_commands() -> None:
    ours, theirs = commands(runs(ACTION)), commands(read(GITLAB)[".edgekit-gate"]["script"])
    assert [line for line in ours if not line.startswith("edgekit comment")] == theirs
    assert [line.split()[1] for line in ours] == ["verify", "gate", "comment"]
    (comment,) = commands(read(GITLAB)[".edgekit-gate"]["after_script"])
    assert comment.replace("--forge gitlab ", "").replace("CI_MERGE_REQUEST_IID", "EDGEKIT_NUMBER") == ours[-1]


@pytest.mark.parametrize(("token", "number", "comments"), [("t", "7", True), ("", "7", False), ("t", "", False)])
def test_gitlab_comments_where_there_is_a_merge_request_and_a_token(
    token: str, number: str, comments: bool, tmp_path: Path
) -> None:
    job = read(GITLAB)[".edgekit-gate"]
    given = {**job["variables"], "EDGEKIT_GITLAB_TOKEN": token, "CI_MERGE_REQUEST_IID": number}
    script = "\n".join(line.replace("/tmp/edgekit/bin:", "") for line in job["after_script"])
    words = words_of(script, tmp_path, **given)
    assert bool(words) == comments
    if comments:
        told = parse([*words, "--repo", "17"])
        assert (told["forge"], told["number"], told["topic"]) == ("gitlab", 7, "gate")
        assert told["file"] == Path(job["variables"]["EDGEKIT_OUT"]) / "gate.md"


def test_gitlab_keeps_what_the_gate_writes() -> None:
    job = read(GITLAB)[".edgekit-gate"]
    out, kept = job["variables"]["EDGEKIT_OUT"], job["artifacts"]
    assert (kept["when"], kept["paths"], kept["reports"]) == ("always", [f"{out}/"], {"junit": f"{out}/gate.xml"})
    assert read(ACTION)["inputs"]["out"]["default"] == out


def test_a_release_pushes_images_whose_bases_are_free() -> None:
    job = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["images"]
    assert job["strategy"]["matrix"]["kind"] == ["runtime-cpu", "ros2"]
    assert set(job["strategy"]["matrix"]["kind"]) < KINDS.keys()
    (command,) = [step["run"] for step in job["steps"] if "edgekit" in step.get("run", "")]
    assert command.startswith('edgekit image build "$KIND" --tag ')
    assert command.endswith(" --push")


def words_of(line: str, folder: Path, shell: str = "sh", **variables: str) -> list[str]:
    """What a shell makes of a command line, read by a stand-in for ``edgekit``."""
    stand_in = folder / "edgekit"
    stand_in.write_text("#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done\n")
    stand_in.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    made = subprocess.run([shell, "-euc", line], env=environment, capture_output=True, text=True, check=True)
    return made.stdout.split("\0")[:-1]


def parse(words: list[str]) -> dict[str, Any]:
    """The parameters of a command, by edgekit's own parser; nothing runs."""
    command, name = typer.main.get_command(app), "edgekit"
    context = command.make_context(name, list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    return context.params


@pytest.mark.parametrize("full", [True, False])
def test_every_command_is_one_of_edgekit(full: bool, tmp_path: Path) -> None:
    for name in ("my data", "my models"):
        (tmp_path / name).mkdir()
    bundle = tmp_path / "my models"
    needed = {"EDGEKIT_BUNDLE": str(bundle), "EDGEKIT_OUT": "out", "EDGEKIT_NUMBER": "7", "EDGEKIT_TOPIC": "cpu"}
    wished = {
        "EDGEKIT_ROOT": str(tmp_path / "my data"), "EDGEKIT_AGAINST": "last-good", "EDGEKIT_BUDGET": "10m",
        "EDGEKIT_SIGNING_KEY": "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----",
    }  # fmt: skip
    given = {**needed, **(wished if full else dict.fromkeys(wished, ""))}
    verify, gate, comment = commands(runs(ACTION))
    assert parse(words_of(verify, tmp_path, **given))["bundle"] == bundle
    words = words_of(gate, tmp_path, **given)
    asked = parse(words)
    assert (asked["bundle"], asked["junit"], asked["markdown"]) == (
        bundle, Path("out/gate.xml"), Path("out/gate.md"),
    )  # fmt: skip
    assert "secret" not in " ".join(words)
    found = (asked["root"], asked["against"], asked["budget"], asked["signed_result"], asked["key"])
    expected = (tmp_path / "my data", "last-good", "10m", Path("out/result.json"), "env://EDGEKIT_SIGNING_KEY")
    assert found == (expected if full else (None,) * 5)
    told = parse([*words_of(comment, tmp_path, **given), "--repo", "a/b"])
    assert (told["file"], told["number"], told["topic"]) == (Path("out/gate.md"), 7, "cpu")


def test_a_release_pushes_images_of_its_version(tmp_path: Path) -> None:
    (line,) = commands(runs(ROOT / ".github" / "workflows" / "release.yml"))
    given = {"KIND": "runtime-cpu", "GITHUB_REPOSITORY": "Example/Perception", "GITHUB_REF_NAME": "v1.2.3"}
    asked = parse(words_of(line, tmp_path, "bash", **given))
    assert (asked["kind"], asked["push"]) == ("runtime-cpu", True)
    assert asked["tag"] == "ghcr.io/example/perception/runtime-cpu:1.2.3"


def test_what_the_action_takes_is_what_its_steps_use() -> None:
    text, document = ACTION.read_text("utf-8"), read(ACTION)
    assert [name for name in document["inputs"] if text.count(f"inputs.{name}") == 0] == []
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(document["inputs"])
    variables = {name for step in steps(ACTION) for name in step.get("env", {})}
    used = set(re.findall(r"\$\{?(EDGEKIT_\w+)", text))
    assert used <= variables
