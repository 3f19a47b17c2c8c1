"""``python3 onboard.zip FOLDER WHAT [JSON]``: one request, one JSON answer on stdout.

A failure of this side answers ``{"error": ..., "kind": ...}``; an exit status of its own means Python itself failed.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit_hil.onboard import jobs, lease, store

Request = dict[str, Any]
COMMANDS: dict[str, Callable[[Path, Request], dict[str, Any]]] = {
    "where": lambda f, r: {"folder": str(f.absolute())},
    "lease-take": lambda f, r: lease.take(f, r["owner"], r["run"], r["token"], r["seconds"]),
    "lease-renew": lambda f, r: lease.renew(f, r["token"], r["seconds"]),
    "lease-release": lambda f, r: lease.release(f, r["token"]),
    "lease-show": lambda f, r: {"lease": lease.holder(f)},
    "job-start": lambda f, r: jobs.start(f, r["name"], r),
    "job-poll": lambda f, r: jobs.poll(f, r["name"], r["offset"], r["wait_s"]),
    "job-stop": lambda f, r: jobs.stop(f, r["name"], r["signal"]),
    "jobs-stop": lambda f, r: jobs.stop_all(f),
    "store-missing": lambda f, r: store.missing(f, r["wanted"], r["thorough"]),
    "store-receive": lambda f, r: store.receive(f, sys.stdin.buffer),
    "store-assemble": lambda f, r: store.assemble(f, r["kind"], r["name"], r["entries"]),
    "store-tidy": lambda f, r: store.tidy(f, r["keep"], r["token"]),
}


def main() -> None:
    """Answer the request that the arguments, or for long ones stdin, name."""
    folder, what = Path(sys.argv[1]).expanduser(), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    given = sys.argv[3] if len(sys.argv) > 3 else sys.stdin.read()
    try:
        answer = COMMANDS[what](folder, json.loads(given))
    except OSError as error:
        kind = "disk" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else "system"
        answer = {"error": f"{error.filename or folder}: {error.strerror}", "kind": kind}
    except ValueError as error:
        answer = {"error": str(error), "kind": "data"}
    print(json.dumps(answer))
