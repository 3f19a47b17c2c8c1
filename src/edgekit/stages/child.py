"""A step in a process of its own, which is started afresh and gone when the step is done.

Its errors are raised here again as they were, its progress is shown here, what it prints goes to stderr, and it ends
with this process, however this one ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.core import errors
from edgekit.core.artifacts import write_json
from edgekit.core.errors import EdgekitError, EnvironmentFault, MissingRequirement, ModelError, SpecError
from edgekit.core.progress import Progress

# The search path is given, not inherited: the working folder is on it only where it was before.
_CODE = (
    "import sys; sys.path[:] = {path!r}; from edgekit.stages.child import main; main({module!r}, {folder!r}, {pipe})"
)
_ORDER, _ANSWER = "order.json", "answer.json"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}


def run(module: str, order: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    """What ``module.work(order, progress)`` returns in a fresh process.

    Args:
        module: dotted name; the order and the answer are JSON.
        order: what to do.
        folder: for the files of both sides; it is not left as it was.
        progress: shows the steps of the process.

    Raises:
        EdgekitError: the one that was raised there.
        EnvironmentFault: the process was killed.
        ModelError: it ended itself.
    """
    write_json(folder / _ORDER, {**order, "verbose": logging.getLogger("edgekit").isEnabledFor(logging.INFO)})
    reading, writing = os.pipe()
    code = _CODE.format(path=sys.path, module=module, folder=str(folder), pipe=writing)
    # Names in a set, which decide the order of a user's layers, would come in another order each time.
    environment = {"PYTHONHASHSEED": "0", **os.environ}
    try:
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, pass_fds=(writing,), stdout=2)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as events:
            _show(events, progress)
        process.wait()
    finally:
        process.kill()
        process.wait()
    return _answer(folder, process.returncode)


def _show(events: Iterator[str], progress: Progress) -> None:
    """Show the steps that a process reports, as far as it got."""
    with contextlib.ExitStack() as steps:
        open_steps: list[contextlib.ExitStack] = []
        advances: list[Callable[[], None]] = []
        for line in events:
            event = json.loads(line)
            if "begin" in event:
                open_steps.append(steps.enter_context(contextlib.ExitStack()))
                shown = progress.track(event["begin"], event["total"], done=event["done"], frames=event["frames"])
                advances.append(open_steps[-1].enter_context(shown))
            elif event["what"] == "advance":
                advances[-1]()
            else:
                open_steps.pop().close()
                advances.pop()


def _answer(folder: Path, code: int) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads((folder / _ANSWER).read_bytes())
    except FileNotFoundError:
        raise _died(code) from None
    finally:
        for name in (_ORDER, _ANSWER):
            (folder / name).unlink(missing_ok=True)
    if "error" in answer:
        raise _raised(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result


def _died(code: int) -> EdgekitError:
    what = "the process that loads and exports the model"
    if code < 0:
        name = signal.Signals(-code).name
        hint = "memory may have run out" if -code == signal.SIGKILL else "compiled code that the model uses crashed"
        return EnvironmentFault(f"{what} was ended by {name}: {hint}")
    return ModelError(f"{what} ended with exit code {code} before it was done: the model's code must not end it")


def _raised(described: Mapping[str, Any]) -> EdgekitError:
    """The error of the other process."""
    if described["kind"] == "MissingRequirement":
        return MissingRequirement(described["what"], described["install"], note=described["note"])
    if described["kind"] == "SpecError":
        return SpecError(described["message"], tuple(described["problems"]))
    error: EdgekitError = _ERRORS[described["kind"]](described["message"])
    return error


# --- the other process -----------------------------------------------------------


class _Told:
    """Progress that is reported through a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    @contextlib.contextmanager
    def track(
        self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0
    ) -> Iterator[Callable[[], None]]:
        """See :class:`edgekit.core.progress.Progress`."""
        self._tell({"begin": title, "total": total, "done": done, "frames": frames})
        try:
            yield lambda: self._tell({"what": "advance"})
        finally:
            self._tell({"what": "end"})

    def _tell(self, event: Mapping[str, Any]) -> None:
        os.write(self._pipe, (json.dumps(event) + "\n").encode())


def main(module: str, folder: str, pipe: int) -> None:
    """The process: reads the order, writes the answer."""
    parent = os.getppid()
    os.set_inheritable(pipe, False)  # what the user's code starts may stay longer
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
    # Ctrl-C reaches both: the other one says so.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    sys.argv[:] = ["edgekit"]  # a factory that reads the command line finds none
    order = json.loads((Path(folder) / _ORDER).read_bytes())
    if order["verbose"]:
        logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("edgekit").setLevel(logging.INFO)
    try:
        answer = {"result": importlib.import_module(module).work(order, _Told(pipe))}
    except EdgekitError as error:
        logging.getLogger("edgekit").info("the error in the process of the model:", exc_info=error)
        answer = {"error": _described(error)}
    write_json(Path(folder) / _ANSWER, answer)


def _described(error: EdgekitError) -> dict[str, Any]:
    kind = next(base.__name__ for base in type(error).__mro__ if _ERRORS.get(base.__name__) is base)
    described: dict[str, Any] = {"kind": kind, "message": str(error)}
    if isinstance(error, MissingRequirement):
        described |= {"what": error.what, "install": error.install, "note": error.note}
    if isinstance(error, SpecError):
        described |= {"problems": list(error.problems)}
    return described
