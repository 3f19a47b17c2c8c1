"""Running an image so that it can do as little harm as it needs: no root, no capability, nothing writable but /tmp."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import InputError
from edgekit.images.daemon import connected

TMPFS = {"/tmp": "rw,nosuid,nodev,size=512m,mode=1777"}
LOOK_S = 0.05
"""How often an end is looked for: podman's own way of waiting for one hangs."""


@dataclass(frozen=True)
class Running:
    """How a container is run.

    Attributes:
        tag: the image.
        command: after the image's entry point; empty: the image's own.
        bundle: mounted over ``/bundle``, read-only; None: the one inside the image.
        writable: host folders that the container may write to, by their place inside: a bag, a report.
        network: ``none``, ``bridge`` or ``host``; ROS 2 finds its peers on ``host``.
        ipc: ``host``: shared memory with other containers and the host, which Fast DDS sends frames through.
        gpus: pass all NVIDIA GPUs in.
        environment: variables.
        user: ``uid:gid`` in place of the image's; never root.
        name: of the container; empty: the daemon's choice.
    """

    tag: str
    command: Sequence[str] = ()
    bundle: Path | None = None
    writable: Sequence[tuple[Path, str]] = ()
    network: str = "none"
    ipc: str = ""
    gpus: bool = False
    environment: Sequence[str] = ()
    user: str = ""
    name: str = ""

    def options(self) -> dict[str, Any]:
        """Arguments of the SDK's ``containers.create``.

        Raises:
            InputError: the user is root, a folder is not there, or a variable is no NAME=VALUE.
        """
        if self.user.split(":")[0] in ("0", "root"):
            raise InputError(f"--user {self.user}: images run without root; name another uid:gid")
        volumes = {str(host.resolve()): {"bind": inside, "mode": "rw"} for host, inside in self.writable}
        if self.bundle is not None:
            volumes[str(self.bundle.resolve())] = {"bind": "/bundle", "mode": "ro"}
        for host in volumes:
            if not Path(host).exists():
                raise InputError(f"{host}: no such folder; it is mounted into the container")
        for variable in self.environment:
            if "=" not in variable:
                raise InputError(f"--env {variable}: no NAME=VALUE")
        chosen: dict[str, Any] = {
            "command": list(self.command) or None,
            "environment": list(self.environment),
            "volumes": volumes,
            "network_mode": self.network,
            "read_only": True,
            "tmpfs": TMPFS,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
        }
        chosen |= {key: value for key, value in (("user", self.user), ("name", self.name)) if value}
        if self.ipc:
            chosen["ipc_mode"] = self.ipc
        if self.gpus:
            chosen["device_requests"] = [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]
        return chosen


@dataclass(frozen=True)
class Ran:
    """A container that ended, or was left running (``exit_code`` None)."""

    tag: str
    container: str
    exit_code: int | None


def start(running: Running, heard: Callable[[bytes], None], detach: bool = False) -> Ran:
    """Run a container to its end, passing its output on, and remove it; with ``detach`` leave it running.

    Raises:
        InputError: see :meth:`Running.options`; or there is no such image.
        MissingRequirement: no SDK or no daemon.
        EnvironmentFault: the daemon refused.
    """
    with connected() as client:
        container = client.containers.create(running.tag, **running.options())
        if detach:
            container.start()
            return Ran(running.tag, str(container.name), None)
        with _removed(container):
            container.start()
            for part in container.logs(stream=True, follow=True):
                heard(part)
            return Ran(running.tag, str(container.name), _ended(container))


@contextmanager
def _removed(container: Any) -> Iterator[None]:
    """Whatever happens, Ctrl-C included, nothing is left of it."""
    try:
        yield
    finally:
        container.remove(force=True)


def _ended(container: Any) -> int:
    """The exit code, when it is there; the log ends a moment before."""
    while True:
        container.reload()
        state = container.attrs["State"]
        if state["Status"] not in ("created", "initialized", "running", "stopping"):
            return int(state["ExitCode"])
        time.sleep(LOOK_S)
