"""Who may use the board: one lease with an owner, a heartbeat and an end, kept on the board itself.

labgrid's coordinator forgets who holds a place when it restarts; the board does not.  Times are seconds since boot
(``CLOCK_BOOTTIME``), so that a set clock neither ends nor stretches a lease; a reboot ends it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from edgekit_hil.onboard.disk import locked, read, write

LEASE, LOG, LOCK = "lease.json", "lease.log", ".lease.lock"


def boot() -> str:
    """What changes when the board boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def now() -> float:
    """Seconds since boot, those of sleep among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def holder(folder: Path) -> dict[str, Any] | None:
    """The lease that holds now, or None."""
    lease: dict[str, Any] | None = read(folder / LEASE)
    if lease is None or lease["boot"] != boot() or now() >= lease["end"]:
        return None
    return lease


def take(folder: Path, owner: str, run: str, token: str, seconds: float) -> dict[str, Any]:
    """Take the lease for some seconds, if nobody else holds it; taking one's own is renewing it."""
    with locked(folder / LOCK):
        held = holder(folder)
        if held is not None and held["token"] != token:
            return {"held": False, "holder": _shown(held)}
        begin = now()
        taken = begin if held is None else held["taken"]
        lease = {"owner": owner, "run": run, "token": token, "boot": boot(), "taken": taken}
        write(folder / LEASE, lease | {"heartbeat": begin, "end": begin + seconds})
        _log(folder, "taken" if held is None else "renewed", lease)
        return {"held": True}


def renew(folder: Path, token: str, seconds: float) -> dict[str, Any]:
    """A heartbeat: ``held`` is False when the lease ended or is another's."""
    with locked(folder / LOCK):
        held = holder(folder)
        if held is None or held["token"] != token:
            return {"held": False, "holder": None if held is None else _shown(held)}
        write(folder / LEASE, held | {"heartbeat": now(), "end": now() + seconds})
        return {"held": True}


def release(folder: Path, token: str) -> dict[str, Any]:
    """Give the lease back; one that is no longer held is left as it is."""
    with locked(folder / LOCK):
        held = holder(folder)
        if held is None or held["token"] != token:
            return {"held": False}
        (folder / LEASE).unlink()
        _log(folder, "released", held)
        return {"held": False}


def holds(folder: Path, token: str) -> bool:
    """Whether this token's lease holds now."""
    held = holder(folder)
    return held is not None and held["token"] == token


def _shown(lease: dict[str, Any]) -> dict[str, Any]:
    """A lease without its token, which is what proves it."""
    return {key: lease[key] for key in ("owner", "run")} | {"ends_in_s": round(lease["end"] - now(), 1)}


def _log(folder: Path, event: str, lease: dict[str, Any]) -> None:
    line = {"at": now(), "boot": lease["boot"], "event": event, "owner": lease["owner"], "run": lease["run"]}
    with (folder / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
