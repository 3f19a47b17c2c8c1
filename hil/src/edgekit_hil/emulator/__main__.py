"""``python -m edgekit_hil.emulator build|on|off|cycle|status FOLDER [--port N]``: the emulated board and its power."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import APP_OPTIONS
from edgekit.core.errors import EdgekitError, InputError
from edgekit_hil.emulator.image import DISK, INITRD, KERNEL
from edgekit_hil.emulator.image import build as build_image

PORT = 22022
PID, CONSOLE = "qemu.pid", "console.log"
application = typer.Typer(no_args_is_help=True, **APP_OPTIONS)
FolderArgument = Annotated[Path, typer.Argument(help="Where the board's disk is.")]
PortOption = Annotated[int, typer.Option(help="SSH's port on the loopback.")]
MemoryOption = Annotated[int, typer.Option(help="MiB of memory.")]


@application.command()
def build(folder: FolderArgument) -> None:
    """Make the board's disk from Debian's packages; needs root."""
    build_image(folder)


@application.command()
def on(folder: FolderArgument, port: PortOption = PORT, memory: MemoryOption = 2048) -> None:
    """Power on; nothing, when it is on."""
    if running(folder) is not None:
        return
    if not (folder / DISK).is_file():
        raise InputError(f"{folder}: no {DISK}; make the board with: python -m edgekit_hil.emulator build {folder}")
    command = [
        "qemu-system-aarch64",
        "-M",
        "virt",
        "-cpu",
        "cortex-a76",
        "-smp",
        "2",
        "-m",
        str(memory),
        "-display",
        "none",
    ]
    command += [
        "-kernel",
        str(folder / KERNEL),
        "-initrd",
        str(folder / INITRD),
        "-append",
        "console=ttyAMA0 quiet panic=1",
    ]
    command += ["-drive", f"file={folder / DISK},format=raw,if=none,id=disk"]
    command += ["-device", "virtio-blk-device,drive=disk"]
    command += [
        "-netdev",
        f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device",
        "virtio-net-device,netdev=net",
    ]
    command += [
        "-serial",
        f"file:{folder / CONSOLE}",
        "-monitor",
        "none",
        "-no-reboot",
        "-daemonize",
        "-pidfile",
        str(folder / PID),
    ]
    subprocess.run(command, check=True)


@application.command()
def off(folder: FolderArgument) -> None:
    """Cut the power: the process is killed, the disk is what was written."""
    pid = running(folder)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        while running(folder) is not None:
            time.sleep(0.05)
    (folder / PID).unlink(missing_ok=True)


@application.command()
def cycle(folder: FolderArgument, port: PortOption = PORT, memory: MemoryOption = 2048) -> None:
    """Cut the power, and power on."""
    off(folder)
    on(folder, port, memory)


def running(folder: Path) -> int | None:
    """The emulator's process, or None."""
    try:
        pid = int((folder / PID).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if words[0].endswith(b"qemu-system-aarch64") else None


if __name__ == "__main__":
    try:
        application()
    except EdgekitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
