"""The connection to a daemon that speaks Docker's interface, and its errors in words."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement

INSTALL = "pip install 'edgekit[images]'"
TIMEOUT_S = 600
"""Of one answer: a daemon that unpacks a large image is silent for minutes."""
_START = "start it (systemctl start docker), or with podman: systemctl start podman.socket and export DOCKER_HOST=unix:///run/podman/podman.sock"


@contextmanager
def connected() -> Iterator[Any]:
    """A client of the docker SDK, as ``DOCKER_HOST`` and the other variables of the docker command say.

    Raises:
        MissingRequirement: the SDK is not installed, or no daemon answers.
        InputError: the daemon knows no such image.
        EnvironmentFault: anything else that the daemon refuses.
    """
    try:
        # By name: for type checkers a checkout's folder docker/ is in the way of the untyped SDK.
        docker: Any = importlib.import_module("docker")
        from requests.exceptions import RequestException
    except ImportError as error:
        raise MissingRequirement("the docker SDK", INSTALL) from error
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        client = docker.from_env(timeout=TIMEOUT_S)
    except docker.errors.DockerException as error:
        # The SDK asks for the version at once, so this is where a daemon that is not there shows.
        raise MissingRequirement(f"a container daemon at {where}", note=_START) from error
    try:
        yield client
    except docker.errors.ImageNotFound as error:
        raise InputError(f"the daemon has no such image: {_told(error)}; edgekit image build makes one") from error
    except docker.errors.APIError as error:
        raise EnvironmentFault(f"the container daemon at {where} refused: {_told(error)}") from error
    except (docker.errors.DockerException, RequestException) as error:
        raise EnvironmentFault(f"the container daemon at {where}: {error}") from error
    finally:
        client.close()


def _told(error: Any) -> str:
    return str(error.explanation or error)
