"""edgekit on the board: a Python there, or one made from wheels that are carried over; its commands are jobs there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attr
from labgrid.driver import SSHDriver
from labgrid.driver.common import Driver
from labgrid.factory import target_factory

from edgekit.core import errors
from edgekit.core.errors import EdgekitError, EnvironmentFault
from edgekit.core.progress import Progress, Silent
from edgekit_hil.deploy import deploy
from edgekit_hil.lease import Lease
from edgekit_hil.link import Link
from edgekit_hil.site import site

POLL_S = 2.0
_REASONS = {
    "lease": "the lease was lost, so it was ended",
    "limit": "it took longer than its limit, so it was ended",
    "gone": "its process is gone: the board booted, or it was killed",
    "asked": "it was ended by a signal",
    "start": "it could not be started",
}


@dataclass(frozen=True)
class Ran:
    """How a command of the board's edgekit ended; ``code`` is 0 or 1."""

    code: int
    document: Any


@target_factory.reg_driver
@attr.s(eq=False)
class AgentDriver(Driver):
    """A light edgekit in a folder of the board.

    Args:
        folder: on the board: store, jobs, lease, environment.
        python: on the board: with edgekit installed, unless ``wheels`` are given.
        wheels: a folder here with edgekit's wheels and those it needs, for the board's Python and machine: neither
            internet nor pip is needed there.
        ros_python: on the board: a Python with rclpy and edgekit; empty: no node is run.
        environment: variables of every command there; ``ros_environment``: those of ROS 2, beside them.
        emulated: whether the board is an emulator: its times mean nothing.
        rebuild: whether an engine that was made for another machine is built anew on the board.
        patience_s: seconds for which a dropped connection is made anew.
    """

    bindings = {"ssh": SSHDriver}  # noqa: RUF012 - labgrid's way
    folder: str = attr.ib(default="~/edgekit-hil", validator=attr.validators.instance_of(str))
    python: str = attr.ib(default="python3", validator=attr.validators.instance_of(str))
    wheels: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    ros_python: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    environment: dict[str, str] = attr.ib(factory=dict, validator=attr.validators.instance_of(dict))
    ros_environment: dict[str, str] = attr.ib(factory=dict, validator=attr.validators.instance_of(dict))
    emulated: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))
    rebuild: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))
    patience_s: float = attr.ib(default=60.0, validator=attr.validators.instance_of(float))

    def on_activate(self) -> None:
        """Nothing is asked of the board before the first command."""
        self.link = Link(self.ssh, self.folder, self.python, self.patience_s)
        self._paths: dict[str, str] = {}

    def prepare(self, progress: Progress | None = None) -> None:
        """Bring the environment that the wheels make to the board; of what is there already nothing is sent.

        Raises:
            InputError: the folder of wheels has none of edgekit, or a damaged one.
        """
        if not self.wheels:
            return
        folder = Path(self.target.env.config.resolve_path(self.wheels)) if self.target.env else Path(self.wheels)
        with (progress or Silent()).track(f"environment on {self.link.name}"):
            carried = deploy(self.link, site(folder), "sites", thorough=False)
        self._paths = {"PYTHONPATH": carried.path}

    def edgekit(
        self, lease: Lease, name: str, arguments: Sequence[str], seconds: float, progress: Progress | None = None
    ) -> Ran:
        """Run ``edgekit ARGUMENTS --json`` there as job ``name``, through dropped connections; 0 and 1 have a document.

        Raises:
            EdgekitError: the error of the board's edgekit, as it would be raised here.
            EnvironmentFault: the job was ended: its lease, its limit, or the power.
        """
        self.start(lease, name, [self.python, "-m", "edgekit", *arguments, "--json"], seconds, self._paths)
        code, said = self.wait(lease, name, progress)
        if code not in (0, 1):
            raise self._raised(arguments, code, said)
        output = self.output(lease, name)
        if not output.strip():  # exit code 1 without a document: a check that failed
            raise self._raised(arguments, code, said)
        return Ran(code, json.loads(output))

    def start(
        self,
        lease: Lease,
        name: str,
        argv: Sequence[str],
        seconds: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a job under the lease; one of this name that runs already is the one."""
        more = {**self.environment, "EDGEKIT_HISTORY": "off", **(environment or {})}
        request = {"name": _job(lease, name), "argv": list(argv), "environment": more}
        self.link.ask("job-start", request | {"token": lease.token, "seconds": seconds})

    def wait(self, lease: Lease, name: str, progress: Progress | None = None) -> tuple[int, str]:
        """Wait for a job's end; its exit code, and what it said on stderr.

        Raises:
            EnvironmentFault: it was ended before its own end.
        """
        said, offset = "", 0
        with (progress or Silent()).track(name):
            while True:
                lease.check()
                answer = self.link.ask("job-poll", {"name": _job(lease, name), "offset": offset, "wait_s": POLL_S})
                said, offset = said + answer["said"], answer["offset"]
                if not answer["running"]:
                    break
        if answer["why"] in _REASONS:
            if answer["why"] == "lease":
                lease.confirm()  # which says who has the board
            lease.check()
            raise EnvironmentFault(f"{self.link.name}: {name}: {_REASONS[answer['why']]}{_last(said)}")
        return answer["code"], said

    def heard(self, lease: Lease, name: str, words: str, seconds: float) -> bool:
        """Wait until a job said ``words`` on stderr; False: it ended, or the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lease.check()
            answer = self.link.ask("job-poll", {"name": _job(lease, name), "offset": 0, "wait_s": 0.2})
            if words in answer["said"]:
                return True
            if not answer["running"]:
                return False
        return False

    def stop(self, lease: Lease, name: str, number: int) -> None:
        """Send a signal to a job."""
        self.link.ask("job-stop", {"name": _job(lease, name), "signal": number})

    def output(self, lease: Lease, name: str, stream: str = "stdout") -> str:
        """What a job wrote."""
        return self.link.read(f"{self.link.home}/jobs/{_job(lease, name)}/{stream}").decode(errors="replace")

    def _raised(self, arguments: Sequence[str], code: int, said: str) -> EdgekitError:
        """The board's error here, of the class that its exit code stands for."""
        words = next((line for line in reversed(said.splitlines()) if line.startswith("error: ")), "")
        message = words.removeprefix("error: ") or f"exit status {code}{_last(said)}"
        # A crash of Python ends with 1 too, and without an error line: it says nothing of the bundle.
        kinds = {1: errors.CheckFailed, 2: errors.InputError} if words else {}
        kind = kinds.get(code, errors.EnvironmentFault)
        return kind(f"{self.link.name}: edgekit {arguments[0]}: {message}")


def _job(lease: Lease, name: str) -> str:
    return f"{lease.run}-{name.replace(' ', '-')}"


def _last(said: str) -> str:
    lines = said.strip().splitlines()
    return f"; it said: {lines[-1]}" if lines else ""
