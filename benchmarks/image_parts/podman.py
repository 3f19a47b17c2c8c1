"""A podman of its own with its own storage, where no container daemon is; and a base without a registry."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.core.errors import EnvironmentFault, MissingRequirement

SUITE = "bookworm"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def require(*commands: str) -> None:
    """All of these commands, or an error that says how to install them."""
    for command in commands:
        if shutil.which(command) is None:
            raise MissingRequirement(command, "apt-get install podman runc netavark mmdebstrap")


def base(folder: Path) -> Path:
    """Debian 12 with apt and nothing else, as a tar file; made once."""
    made = folder / "base.tar"
    if not made.exists():
        require("mmdebstrap")
        partial = folder / "base.partial.tar"
        # Merged /usr from the start: its package otherwise brings all of Perl.
        command = ["mmdebstrap", "--variant=apt", "--include=usr-is-merged"]
        command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
        command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright", SUITE, str(partial)]
        subprocess.run(command, check=True)
        partial.rename(made)
    return made


@contextmanager
def service(folder: Path) -> Iterator[None]:
    """``DOCKER_HOST`` leads to a podman whose images lie in ``folder``; one that is set already is taken as it is."""
    if "DOCKER_HOST" in os.environ:
        yield
        return
    require("podman", "runc")
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "podman.sock"
    os.environ |= {
        "CONTAINERS_CONF": str(_written(folder / "containers.conf", _settings())),
        "CONTAINERS_STORAGE_CONF": str(_written(folder / "storage.conf", _storage(folder))),
        "DOCKER_HOST": f"unix://{socket}",
    }
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            ["podman", "system", "service", "--time=0", os.environ["DOCKER_HOST"]], stdout=log, stderr=log
        )
        try:
            _answers(process, socket)
            yield
        finally:
            subprocess.run(["podman", "rm", "--all", "--force"], check=False, capture_output=True)
            process.terminate()
            process.wait()


def _answers(process: subprocess.Popen[bytes], socket: Path) -> None:
    while not socket.exists():
        if process.poll() is not None:
            raise EnvironmentFault(
                f"podman's service ended with exit code {process.returncode}: {socket.parent}/service.log"
            )
        time.sleep(0.05)


def _settings() -> str:
    """For root in a machine without systemd; limits that this machine allows."""
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    allowed = {name: resource.getrlimit(kind)[1] for name, kind in limits.items()}
    words = [f'"{name}={value}:{value}"' for name, found in allowed.items() for value in [min(4096, found)]]
    return (
        f'[containers]\ndefault_ulimits = [{", ".join(words)}]\nnetns = "host"\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
        '[network]\nnetwork_backend = "netavark"\n'
    )


def _storage(folder: Path) -> str:
    return f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
