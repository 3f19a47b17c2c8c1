"""A labgrid driver for what a Jetson has beside Linux: power modes, clocks, tegrastats, thermal state, versions.

It needs any driver with labgrid's CommandProtocol (SSHDriver, ShellDriver).  Programs and files are those of Jetson
Linux: https://docs.nvidia.com/jetson/archives/r36.4/DeveloperGuide/SD/PlatformPowerAndPerformance.html.
**Not run on an Orin yet**: the tests run it over SSH against stand-ins that print what boards printed.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attr
from labgrid.binding import StateError
from labgrid.driver import Driver, ExecutionError
from labgrid.factory import target_factory
from labgrid.protocol import CommandProtocol

from edgekit.core.errors import EnvironmentFault
from edgekit.sensors import Reading, tegrastats
from edgekit_hil.drivers import jetson_text as text
from edgekit_hil.drivers.clocks import ClocksProtocol

GUARD = Path(__file__).with_name("jetson_guard.sh")
PACKAGES = ("nvidia-jetpack", "nvidia-l4t-core", "tensorrt", "libnvinfer-bin")
ANSWER_S = 60.0
_SSH_FAILED = 255
_MEANS = {
    3: "jetson_clocks --store failed",
    4: "the former power mode is not back",
    5: "the power mode was not taken",
    6: "jetson_clocks failed",
}


@target_factory.reg_driver
@attr.s(eq=False)
class JetsonDriver(Driver, ClocksProtocol):
    """Power mode, clocks, monitor and versions of a Jetson.

    Args:
        mode: name or number of the power mode to measure in; empty: the one that the board is in.
        jetpack: the JetPack that the board must have; ``6.2`` is any 6.2; empty: any.
        heartbeat: a file on the board that changes while the run lives: the lease in the folder of the ``AgentDriver``.
        silent_s: after so many seconds without a change the board puts power mode and clocks back by itself.
        sudo: what stands before nvpmodel and jetson_clocks; empty for root.
        folder: on the board, where the former mode is kept; it must outlive a reboot, as the power mode does.
        sys, release: where the kernel and Jetson Linux show theirs.
    """

    bindings = {"command": CommandProtocol}  # noqa: RUF012 - labgrid's own form
    mode: str = attr.ib(default="", converter=str)
    jetpack: str = attr.ib(default="", converter=str)
    heartbeat: str = attr.ib(default="~/edgekit-hil/lease.json", validator=attr.validators.instance_of(str))
    silent_s: int = attr.ib(default=90, validator=attr.validators.instance_of(int))
    sudo: str = attr.ib(default="sudo -n", validator=attr.validators.instance_of(str))
    folder: str = attr.ib(default="/var/tmp/edgekit-jetson", validator=attr.validators.instance_of(str))
    sys: str = attr.ib(default="/sys", validator=attr.validators.instance_of(str))
    release: str = attr.ib(default="/etc/nv_tegra_release", validator=attr.validators.instance_of(str))

    def power_mode(self) -> text.PowerMode:
        """The mode that the board is in."""
        return text.power_mode(self._run(f"{self.sudo} nvpmodel -q"))

    def power_modes(self) -> tuple[text.PowerMode, ...]:
        """Every mode that the board has."""
        return text.power_modes(self._run(f"{self.sudo} nvpmodel -p --verbose 2>&1"))

    def clocks(self) -> text.Clocks:
        """What the clocks of CPUs, GPU and memory may be, and are."""
        return text.clocks(self._run(f"{self.sudo} jetson_clocks --show"))

    def thermal(self) -> text.Thermal:
        """Temperatures, what is held back now, and how often the power supply was too weak."""
        return text.thermal(self._run(text.THERMAL.format(sys=self.sys)))

    def versions(self) -> dict[str, str]:
        """Of L4T, and of JetPack and TensorRT where their packages are installed."""
        # dpkg-query ends with 1 when one of them is not installed.
        asked = f"dpkg-query -W -f '${{Package}} ${{Version}}\\n' {' '.join(PACKAGES)} 2>/dev/null || true"
        found = text.packages(self._run(asked))
        names = {"jetpack": "nvidia-jetpack", "tensorrt": "tensorrt"}
        versions = {name: found[package] for name, package in names.items() if package in found}
        if "tensorrt" not in versions and "libnvinfer-bin" in found:
            versions["tensorrt"] = found["libnvinfer-bin"]
        return {"l4t": text.l4t("\n".join(self._run(f"cat {shlex.quote(self.release)}")))} | versions

    def facts(self) -> dict[str, str]:
        """What a run's report says of the board."""
        mode = self.power_mode()
        said = {
            "power_mode": f"{mode.name} ({mode.number})",
            "clocks": "locked" if self.clocks().locked else "free",
            "throttled": ", ".join(self.thermal().throttled) or "nothing",
        }
        return self.versions() | said

    def check_jetpack(self, wanted: str) -> None:
        """That the board has this JetPack; ``6.2`` is any 6.2.

        Raises:
            EnvironmentFault: it has another one, or does not say which.
        """
        versions = self.versions()
        have = versions.get("jetpack")
        if have is None:
            raise EnvironmentFault(
                f"{self.target.name}: no package nvidia-jetpack says which JetPack this is (L4T {versions['l4t']}); "
                "sudo apt-get install nvidia-jetpack"
            )
        parts = wanted.split(".")
        if have.split("+")[0].split(".")[: len(parts)] != parts:
            raise EnvironmentFault(
                f"{self.target.name}: JetPack {have} (L4T {versions['l4t']}), and {wanted} is wanted: flash the board "
                f"with JetPack {wanted}, or build the bundle for this one"
            )

    def mode_named(self, wanted: str | int) -> text.PowerMode:
        """A mode by its name or number.

        Raises:
            EnvironmentFault: the board has none such.
        """
        modes = self.power_modes()
        for mode in modes:
            if str(wanted) in (mode.name, str(mode.number)):
                return mode
        have = ", ".join(f"{mode.number} {mode.name}" for mode in modes)
        raise EnvironmentFault(f"{self.target.name}: no power mode {wanted!r}; the board has {have or 'none'}")

    def lock(self, timeout_s: float) -> None:
        """Take the wanted power mode and all clocks at its highest.

        Before anything is changed a watcher is started on the board; it puts the former ones back when the heartbeat
        stops.  After a power cut the next ``lock`` or ``restore`` does.

        Raises:
            EnvironmentFault: another JetPack; no such mode; it needs a reboot; not done in time.
        """
        if self.jetpack:
            self.check_jetpack(self.jetpack)
        wanted = self.mode_named(self.mode) if self.mode else self.power_mode()
        words = ("lock", str(wanted.number), self.heartbeat, str(self.silent_s))
        self._guard(*words, said=f" {wanted.name}", timeout_s=timeout_s)

    def unlock(self) -> None:
        """Put the former power mode and clocks back; see ``restore``."""
        self.restore()

    @contextmanager
    def locked(self, timeout_s: float = 60.0) -> Iterator[None]:
        """Locked inside the block, the former state afterwards, whatever happens; see ``lock`` and ``restore``."""
        self.lock(timeout_s)
        try:
            yield
        except BaseException:
            # What happened inside is what is reported; the watcher goes on where the link is gone.
            with suppress(EnvironmentFault):
                self.restore()
            raise
        self.restore()

    def restore(self) -> None:
        """Put power mode and clocks back that a run, also one that died, has changed; nothing to do is no error.

        Raises:
            EnvironmentFault: they are not back.
        """
        self._guard("restore")

    @contextmanager
    def monitored(self, interval_ms: int = 500, most_s: int = 7200) -> Iterator[list[Reading]]:
        """tegrastats beside what runs inside; the list is filled at the end.  It ends by itself after ``most_s``."""
        log = shlex.quote(f"{self.folder}/tegrastats.log")
        pid = shlex.quote(f"{self.folder}/tegrastats.pid")
        starts = f"timeout {most_s} tegrastats --interval {interval_ms} >{log} 2>&1 </dev/null & echo $! >{pid}"
        self._run(f"mkdir -p {shlex.quote(self.folder)} && {{ {starts}; }}")
        readings: list[Reading] = []
        try:
            yield readings
        finally:
            lines = self._run(f"kill $(cat {pid}); cat {log}; rm -f {log} {pid}")
            # The last line may be cut off where tegrastats was ended.
            whole = lines if lines and lines[-1].endswith(("W", "C")) else lines[:-1]
            readings.extend(tegrastats.parse(line) for line in whole if line.strip())

    def _guard(self, *words: str, said: str = "", timeout_s: float = ANSWER_S) -> None:
        """Bring the script over and run it."""
        path = f"{self.folder}/{GUARD.name}"
        quoted, folder = shlex.quote(path), shlex.quote(self.folder)
        script = shlex.quote(GUARD.read_text("utf-8"))
        self._run(
            f"mkdir -p {folder} && printf %s {script} >{quoted}.$$ && chmod 755 {quoted}.$$ && mv {quoted}.$$ {quoted}"
        )
        command = " ".join(shlex.quote(word) for word in (path, self.folder, self.sudo, *words))
        lines, errors, status = self._ask(command, timeout_s)
        if status:
            why = " / ".join((*errors, *lines)) or f"exit status {status}"
            hint = "; boot the board in that mode" if "reboot" in why.lower() else ""
            raise EnvironmentFault(f"{self.target.name}: {_MEANS.get(status, 'the guard failed')}{said}: {why}{hint}")

    def _run(self, command: str) -> Sequence[str]:
        lines, errors, status = self._ask(command)
        if status:
            why = " / ".join((*errors, *lines)) or f"exit status {status}"
            raise EnvironmentFault(f"{self.target.name}: {command} failed: {why}")
        return lines

    def _ask(self, command: str, timeout_s: float = ANSWER_S) -> tuple[list[str], list[str], int]:
        try:
            lines, errors, status = self.command.run(command, timeout=timeout_s)
        except StateError as error:
            # A driver whose connection was lost and not made again is inactive.
            raise EnvironmentFault(f"{self.target.name}: the board does not answer: its connection was lost") from error
        except ExecutionError as error:
            raise EnvironmentFault(f"{self.target.name}: the board does not answer: {error.msg}") from error
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFault(f"{self.target.name}: no answer in {timeout_s:g} s: {command[:60]}") from error
        if status == _SSH_FAILED:
            raise EnvironmentFault(f"{self.target.name}: the board does not answer: {' '.join(errors) or 'SSH failed'}")
        return lines, errors, status
