"""Building and pushing, against a server that speaks the daemon's part."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edgekit.cli.main import app
from edgekit.core.errors import EdgekitError, EnvironmentFault, InputError, MissingRequirement
from tests.support.docker_daemon import docker_daemon


def edgekit(host: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["image", *map(str, arguments)], env={"DOCKER_HOST": host})


def error_of(result: Result, kind: type[EdgekitError]) -> str:
    assert isinstance(result.exception, kind), result.exception or result.output
    return str(result.exception)


def test_build(tiny_bundle: Path) -> None:
    lines = [{"stream": "STEP 1/15: FROM base\n"}, {"stream": "done\n"}]
    with docker_daemon(build=lines, images={"edgekit/runtime-cpu:0.1.0"}) as daemon:
        result = edgekit(
            daemon.host, "build", "runtime-cpu", "--bundle", tiny_bundle, "--base", "mine:1", "--network", "host",
            "--build-arg", "PIP_NO_INDEX=1", "--json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        ((query, body),) = daemon.bodies("POST", "/build")
        assert daemon.bodies("POST", "/push") == []
    made: dict[str, Any] = json.loads(result.stdout)
    assert made["size_mib"] == 600
    assert made["bundle"].startswith("tiny-cpu@")
    assert not made["pushed"]
    assert "STEP 1/15: FROM base" in result.stderr
    assert query["t"] == ["edgekit/runtime-cpu:0.1.0"]
    assert query["dockerfile"] == ["runtime-cpu.Dockerfile"]
    assert query["networkmode"] == ["host"]
    assert json.loads(query["buildargs"][0]) == {"VERSION": "0.1.0", "PIP_NO_INDEX": "1", "BASE": "mine:1"}
    assert json.loads(query["labels"][0])["edgekit.bundle"] == made["bundle"]
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert "bundle/manifest.json" in archive.getnames()


def test_push() -> None:
    with docker_daemon(push=[{"status": "Pushed"}], images={"registry.example.com:5000/team/node:1"}) as daemon:
        result = edgekit(daemon.host, "build", "ros2", "--tag", "registry.example.com:5000/team/node:1", "--push")
        assert result.exit_code == 0, result.output
        ((query, _),) = daemon.bodies("POST", "/push")
    assert query["tag"] == ["1"]
    assert result.stdout.endswith("600 MiB on disk, pushed\n")


def test_a_push_that_is_refused_is_told() -> None:
    with docker_daemon(push=[{"error": "denied: not yours"}], images={"team/node:1"}) as daemon:
        result = edgekit(daemon.host, "build", "ros2", "--tag", "team/node:1", "--push")
    assert error_of(result, EnvironmentFault) == "pushing team/node:1 failed: denied: not yours"


def test_a_line_that_fails_is_told_with_what_it_printed() -> None:
    lines = [{"stream": f"line {number}\n"} for number in range(20)]
    with docker_daemon(build=[*lines, {"error": "RUN: exit status 1"}]) as daemon:
        result = edgekit(daemon.host, "build", "ros2")
    told = error_of(result, EnvironmentFault)
    assert told.startswith("building edgekit/ros2:0.1.0 failed: line 8 | ")
    assert told.endswith("line 19 | RUN: exit status 1")


@pytest.mark.parametrize("tag", ["Team/Node", "a b", "node:", "node:1:2", "-node", "node:1\n"])
def test_a_tag_that_is_none(tag: str) -> None:
    with docker_daemon() as daemon:
        assert "--tag" in error_of(edgekit(daemon.host, "build", "ros2", "--tag", tag), InputError)
        assert daemon.asked == []


def test_an_argument_without_a_value() -> None:
    told = error_of(edgekit("tcp://127.0.0.1:1", "build", "ros2", "--build-arg", "PIP_NO_INDEX"), InputError)
    assert "--build-arg" in told


def test_without_a_daemon(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        for host in (f"unix://{tmp_path}/absent.sock", f"tcp://127.0.0.1:{taken.getsockname()[1]}"):
            told = error_of(edgekit(host, "build", "ros2"), MissingRequirement)
            assert f"a container daemon at {host} is not available" in told
            assert "DOCKER_HOST=unix:///run/podman/podman.sock" in told
    assert MissingRequirement.exit_code == 3


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docker", None)
    told = error_of(edgekit("tcp://127.0.0.1:1", "build", "ros2"), MissingRequirement)
    assert "pip install 'edgekit[images]'" in told
