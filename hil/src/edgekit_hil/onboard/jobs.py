"""Commands that outlive the link: started once by name, asked for later, ended when the lease is no longer held."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgekit_hil.onboard import lease
from edgekit_hil.onboard.disk import locked, read, write

LOOK_S = 0.2
GRACE_S = 10.0
STATUS, REQUEST, OUT, ERR, PID = "status.json", "request.json", "stdout", "stderr", "supervisor.json"


def start(folder: Path, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Start a job, or find the one of this name.

    ``request``: ``argv``, ``environment`` (added to the board's), ``cwd``, ``token`` (of the lease it runs under) and
    ``seconds`` (its limit).
    """
    job = folder / "jobs" / name
    with locked(folder / ".jobs.lock"):
        if (job / REQUEST).exists():
            return {"started": False}
        job.mkdir(parents=True, exist_ok=True)
        write(job / REQUEST, request)
        if os.fork() == 0:
            _detach(job)
            _supervise(folder, job, request)
            os._exit(0)
    return {"started": True}


def poll(folder: Path, name: str, offset: int, wait_s: float) -> dict[str, Any]:
    """Whether a job runs, and what it wrote to stderr behind ``offset`` bytes; waits a little for its end.

    ``code`` is its exit code when it ended; ``why`` says why it was ended: ``lease``, ``limit`` or ``asked``; ``gone``:
    its supervisor was killed with it.
    """
    job, end = folder / "jobs" / name, time.monotonic() + wait_s
    while (status := _status(job)) is None and time.monotonic() < end:
        time.sleep(LOOK_S / 2)
    text = _behind(job / ERR, offset)
    answer = {"running": status is None, "said": text.decode(errors="replace"), "offset": offset + len(text)}
    return answer | (status or {})


def stop(folder: Path, name: str, number: int) -> dict[str, Any]:
    """Send a signal to a job's processes."""
    found = read(folder / "jobs" / name / PID)
    if found is not None and _status(folder / "jobs" / name) is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(found["group"], number)
    return {}


def stop_all(folder: Path) -> dict[str, Any]:
    """Kill every job's processes."""
    names = sorted(path.name for path in (folder / "jobs").glob("*"))
    for name in names:
        stop(folder, name, signal.SIGKILL)
    return {"jobs": names}


def _status(job: Path) -> dict[str, Any] | None:
    status: dict[str, Any] | None = read(job / STATUS)
    if status is not None:
        return status
    supervisor = read(job / PID)
    if supervisor is not None and supervisor["boot"] == lease.boot() and Path(f"/proc/{supervisor['pid']}").exists():
        return None
    # Not begun yet, or ended between the two looks.
    if supervisor is None:
        return None
    return read(job / STATUS) or {"code": None, "why": "gone"}


def _behind(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read()
    except FileNotFoundError:
        return b""


def _detach(job: Path) -> None:
    """Away from the link: its descriptors would keep it open, its signals end the job."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, 256)


def _supervise(folder: Path, job: Path, request: dict[str, Any]) -> None:
    if not lease.holds(folder, request["token"]):
        write(job / STATUS, {"code": None, "why": "lease"})
        return
    with (job / OUT).open("wb") as out, (job / ERR).open("wb") as err:
        try:
            child = subprocess.Popen(
                request["argv"],
                cwd=request.get("cwd") or folder,
                env={**os.environ, **request.get("environment", {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            err.write(f"{request['argv'][0]}: {error.strerror}\n".encode())
            write(job / PID, {"pid": os.getpid(), "group": os.getpid(), "boot": lease.boot()})
            write(job / STATUS, {"code": 127, "why": "start"})
            return
        write(job / PID, {"pid": os.getpid(), "group": child.pid, "boot": lease.boot()})
        why = _watch(folder, child, request)
        write(job / STATUS, {"code": child.returncode, "why": why})


def _watch(folder: Path, child: subprocess.Popen[bytes], request: dict[str, Any]) -> str:
    """Wait for the child; end it, and say why, when its lease or its time is over."""
    end = lease.now() + request["seconds"]
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(LOOK_S)
            return "asked" if child.returncode < 0 else ""
        why = "lease" if not lease.holds(folder, request["token"]) else "limit" if lease.now() > end else ""
        if why:
            _end(child)
            return why


def _end(child: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            if number == signal.SIGKILL:
                return
    sys.stdout.flush()
