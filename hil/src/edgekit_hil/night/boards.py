"""The runner of real boards: ``edgekit hil run`` in a process of its own for each run.

A run that crashes, hangs or is ended takes no other board of the night with it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

from edgekit.bundle import open_bundle
from edgekit.core.errors import EnvironmentFault, InputError
from edgekit_hil.night.runner import Request, read_run
from edgekit_hil.report import BoardFacts, RunReport

COMMAND = (sys.executable, "-m", "edgekit", "hil", "run")
_WAY_BACK_S = 300.0
"""What a run has to give its board back in, when it is ended."""


class BoardRunner:
    """Runs requests on boards; ``timeout_s`` ends a run, ``command`` is what is started."""

    def __init__(self, timeout_s: float, command: tuple[str, ...] = COMMAND) -> None:
        self._timeout_s = timeout_s
        self._command = command
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def __call__(self, request: Request) -> RunReport:
        """See :class:`edgekit_hil.night.runner.Runner`; the process's words are kept in ``run.log`` of the folder."""
        request.out.mkdir(parents=True, exist_ok=True)
        document, log = request.out / "stdout.json", request.out / "run.log"
        began = datetime.now(timezone.utc)
        with document.open("wb") as out, log.open("wb") as err:
            process = self._start(request, out, err)
        try:
            code = self._wait(process)
        finally:
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise EnvironmentFault("the night was ended; start it again, and it goes on where it was")
        if code == InputError.exit_code:
            raise InputError(f"{request.environment}: {_last_error(log)}")
        try:
            return read_run(document)
        except ValueError:
            if code == EnvironmentFault.exit_code:
                raise EnvironmentFault(_last_error(log)) from None
        why = (
            f"the run was ended after {self._timeout_s / 60:g} minutes"
            if code is None
            else f"edgekit hil run ended with code {code}"
        )
        return _fault(request, f"{why}; see {log}", began)

    def stop(self) -> None:
        """End every run, so that each gives its board back; no other one is started."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)

    def _start(self, request: Request, out: object, err: object) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise EnvironmentFault("the night was ended; start it again, and it goes on where it was")
            words = [*self._command, *arguments(request)]
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)  # type: ignore[call-overload]
            self._running.add(process)
        return process  # type: ignore[no-any-return]

    def _wait(self, process: subprocess.Popen[bytes]) -> int | None:
        """The exit code; None: it took too long and was ended, with time to give the board back."""
        try:
            return process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            process.terminate()
        try:
            process.wait(_WAY_BACK_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


def arguments(request: Request) -> list[str]:
    """The options of ``edgekit hil run``."""
    words = ["--env", str(request.environment), "--bundle", str(request.bundle), "--out", str(request.out)]
    given: dict[str, object] = {
        "--place": request.place,
        "--against": request.against,
        "--data": request.data,
        "--queries": request.queries,
        "--bag": request.bag,
        "--soak": request.soak_minutes,
        "--keep": request.keep,
    }
    for option, value in given.items():
        words += [option, str(value)] if value else []
    return [*words, "--json"]


def _last_error(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    found = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return found[-1] if found else f"edgekit hil run was refused; see {log}"


def _fault(request: Request, why: str, began: datetime) -> RunReport:
    with open_bundle(request.bundle) as bundle:
        identity = bundle.identity
    return RunReport(
        run=request.out.name,
        verdict="infrastructure",
        why=why,
        bundle=identity,
        environment=request.environment.name,
        board=BoardFacts(request.place or request.environment.stem, request.place),
        began=began.isoformat(timespec="seconds"),
        seconds=(datetime.now(timezone.utc) - began).total_seconds(),
        steps=(),
    )
