"""A container is run with as little as it needs, is gone afterwards, and its exit code is the command's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import InputError
from edgekit.images.running import Running
from tests.images.test_building import edgekit, error_of
from tests.support.docker_daemon import Daemon, docker_daemon

IMAGE = "edgekit/ros2:0.1.0"


def created(daemon: Daemon) -> dict[str, Any]:
    ((_, body),) = daemon.bodies("POST", "/containers/create")
    document: dict[str, Any] = json.loads(body)
    return document


def test_run_with_as_little_as_it_needs(tiny_bundle: Path, tmp_path: Path) -> None:
    with docker_daemon(images={IMAGE}, output=b"first result\n", running=3) as daemon:
        result = edgekit(
            daemon.host, "run", IMAGE, "--bundle", tiny_bundle, "--network", "host", "--ipc", "host",
            "--write", f"{tmp_path}:/bags", "--env", "ROS_DOMAIN_ID=7", "--name", "node", "--", "-p", "rate_hz:=20.0",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        asked, host = created(daemon), created(daemon)["HostConfig"]
        assert len(daemon.bodies("DELETE", "/containers/c1")) == 1
    assert result.stdout == "first result\n"
    assert asked["Cmd"] == ["-p", "rate_hz:=20.0"]
    assert asked["Env"] == ["ROS_DOMAIN_ID=7"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Tmpfs"].keys() == {"/tmp"}
    assert (host["NetworkMode"], host["IpcMode"]) == ("host", "host")
    assert sorted(host["Binds"]) == sorted([f"{tiny_bundle}:/bundle:ro", f"{tmp_path}:/bags:rw"])
    assert "Privileged" not in host or not host["Privileged"]


def test_by_default_there_is_no_network_and_nothing_of_the_host() -> None:
    with docker_daemon(images={IMAGE}) as daemon:
        assert edgekit(daemon.host, "run", IMAGE).exit_code == 0
        host = created(daemon)["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert not host.get("Binds")
    assert not host.get("DeviceRequests")


def test_gpus() -> None:
    with docker_daemon(images={IMAGE}) as daemon:
        assert edgekit(daemon.host, "run", IMAGE, "--gpus").exit_code == 0
        (request,) = created(daemon)["HostConfig"]["DeviceRequests"]
    assert (request["Count"], request["Capabilities"]) == (-1, [["gpu"]])


@pytest.mark.parametrize("code", [1, 2, 137])
def test_ends_as_the_container_did(code: int) -> None:
    with docker_daemon(images={IMAGE}, output=b"words", code=code, running=1) as daemon:
        result = edgekit(daemon.host, "run", IMAGE, "--json")
        assert len(daemon.bodies("DELETE", "/containers/c1")) == 1
    assert result.exit_code == code
    assert json.loads(result.stdout) == {"image": IMAGE, "container": "quiet_name", "exit_code": code}
    assert "words" in result.stderr


def test_detached_it_is_left_running() -> None:
    with docker_daemon(images={IMAGE}) as daemon:
        result = edgekit(daemon.host, "run", IMAGE, "--detach")
        assert daemon.bodies("DELETE", "/containers/c1") == []
    assert result.stdout == "quiet_name\n"


def test_an_image_that_is_not_there() -> None:
    with docker_daemon() as daemon:
        told = error_of(edgekit(daemon.host, "run", "absent"), InputError)
    assert "No such image: absent" in told
    assert "edgekit image build" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "0"}, "without root"),
        ({"user": "0:10001"}, "without root"),
        ({"user": "root"}, "without root"),
        ({"bundle": Path("/absent/bundle")}, "no such folder"),
        ({"writable": ((Path("/absent"), "/bags"),)}, "no such folder"),
        ({"environment": ("NAME",)}, "NAME=VALUE"),
    ],
)
def test_what_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Running(IMAGE, **options).options()
