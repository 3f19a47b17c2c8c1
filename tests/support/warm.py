"""Processes that begin with their imports done: what a test starts is forked from one that holds PyTorch already.

An export in a process of its own takes seven seconds of processor time, of which six import PyTorch, Dynamo and
onnxscript; a command takes one to four for the same reason.  Here a server imports them once and forks for each order:
the process has its own id, streams, folder, environment, search path and end, and runs the same code.  What it cannot
show is what a fresh interpreter imports, how much memory it begins with, and that the kernel ends it with its parent:
``@pytest.mark.fresh`` lets a test have fresh ones.  ``tests/test_warm.py`` holds a warm export to a fresh one.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import io
import json
import os
import random
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] if "__file__" in globals() else Path.cwd()
ADDRESS = "EDGEKIT_TESTS_WARM"
"""Environment variable with the server's socket; empty: every process is a fresh one."""
# What an export needs anyhow before it looks at what the user's code imports: nothing else may be in this list.
_FOR_EXPORTS = (
    "torch", "torch._dynamo", "torch._inductor.config", "torch.export", "torch.onnx", "onnx", "onnxscript",
    "torch.onnx._internal.exporter._core", "torch.onnx._internal.exporter._registration",
    "torch.onnx._internal.exporter._torchlib.ops", "edgekit.stages.exporting",
)  # fmt: skip
_FOR_COMMANDS = ("edgekit.cli.main", "edgekit.stages.child", "coverage")
# Its frames lie below those of the user's code: they must look like those of `python -c`, which are nobody's.
_SERVER = (
    "text = open({file!r}).read(); exec(compile(text, '<string>', 'exec'), server := {{'__name__': 'server'}}); "
    "server['serve']({path!r})"
)
_servers: list[subprocess.Popen[bytes]] = []
_HIGH = 400  # descriptors are kept above this one while the low ones are arranged


def address() -> str | None:
    """The socket of the server, started on the first question, to end with this process; None: none is wanted."""
    return os.environ[ADDRESS] or None if ADDRESS in os.environ else _start()


@functools.cache
def _start() -> str:
    folder = tempfile.TemporaryDirectory(prefix="edgekit-warm-")
    path = str(Path(folder.name) / "socket")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONPATH": _python_path()}
    command = [sys.executable, "-c", _SERVER.format(file=__file__, path=path)]
    # Its input ends with this process, and it does with its input.
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    _servers.append(server)
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "the server of warm processes did not start"

    def end() -> None:
        server.stdin.close()
        server.wait(60)
        server.stdout.close()
        folder.cleanup()

    atexit.register(end)
    return path


def cpu_s() -> float:
    """Processor seconds of the server and of its processes that have ended; 0: none was started."""
    if not _start.cache_info().currsize:
        return 0.0
    fields = Path(f"/proc/{_servers[0].pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _python_path() -> str:
    import edgekit

    return os.pathsep.join((str(Path(edgekit.__file__).parents[1]), str(ROOT)))


def suits(environment: Mapping[str, str]) -> bool:
    """Whether nothing in the environment asks the interpreter itself for something else as it starts."""
    return not any(
        name.startswith(("PYTHON", "OMP_", "MKL_", "ORT_", "TORCH")) and os.environ.get(name) != value
        for name, value in environment.items()
        if name not in ("PYTHONPATH", "PYTHONHASHSEED")
    )


class Process:
    """As ``subprocess.Popen`` of ``python -c CODE``, ``-m MODULE`` or ``FILE``, of the parts that the tests use."""

    def __init__(
        self,
        path: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | Path | None = None,
        pass_fds: Sequence[int] = (),
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        start_new_session: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self._answers = socket.socket(socket.AF_UNIX)
        with open(os.devnull, "r+b") as null:
            given = (stdin, stdout, stderr)
            streams = [
                null.fileno() if one == subprocess.DEVNULL else number if one is None else one
                for number, one in enumerate(given)
            ]
            order = {
                "command": list(command[1:]),
                "cwd": str(cwd) if cwd is not None else os.getcwd(),
                "env": {**env, ADDRESS: path},
                "session": start_new_session,
                "as": [0, 1, 2, *pass_fds],
            }
            text = json.dumps(order).encode()
            self._answers.connect(path)
            descriptors = array.array("i", [*streams, *pass_fds])
            self._answers.sendmsg(
                [len(text).to_bytes(8, "little")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            )
            self._answers.sendall(text)
        self.pid = int(self._line())

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            part = self._answers.recv(1)
            if not part:
                raise ConnectionError("the server of warm processes has ended")
            line += part
        return line

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with contextlib.suppress(TimeoutError, BlockingIOError):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, waited for; negative for a signal."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._line())
            finally:
                self._answers.settimeout(None)
            self._answers.close()
        return self.returncode

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Any signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def popen(command: Sequence[str], *, env: Mapping[str, str], **more: Any) -> Process | subprocess.Popen[bytes]:
    """``subprocess.Popen`` of a command of Python's: a warm one where the environment allows."""
    path = address() if suits(env) else None
    return Process(path, command, env=env, **more) if path else subprocess.Popen(command, env=env, **more)


def run(command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``subprocess.run`` to the end, without input, with what it prints as text.

    Through pipes: a file would be emptied by a process that opens ``/dev/stdout``.
    """
    (printed, out), (told, err) = os.pipe(), os.pipe()
    try:
        process = popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    finally:
        os.close(out)
        os.close(err)
    with open(printed, encoding="utf-8") as one, open(told, encoding="utf-8") as other, ThreadPoolExecutor(2) as pool:
        texts = pool.map(lambda stream: stream.read(), (one, other))
        try:
            code = process.wait()
        finally:
            process.kill()
        return subprocess.CompletedProcess(list(command), code, *texts)


class _Server:
    """Forks for each connection; tells it the process's id and then its exit code, and kills it when it closes."""

    def __init__(self, path: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(64)
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[int, socket.socket] = {}
        self._woken, waking = socket.socketpair()
        for end in (self._woken, waking):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno())
        self._waking = waking

    def serve(self) -> dict[str, Any] | None:
        """None at the end; in each forked process, what to run."""
        for what in (self._listening, self._woken, sys.stdin):
            self._selector.register(what, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    for pid in self._waiting:
                        os.kill(pid, signal.SIGKILL)
                    return None
                if key.fileobj is self._woken:
                    self._reap()
                elif key.fileobj is self._listening:
                    order = self._fork()
                    if order is not None:
                        return order
                elif key.data in self._waiting:  # the other side is gone
                    os.kill(key.data, signal.SIGKILL)
                    self._selector.unregister(key.fileobj)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = self._waiting.pop(pid)
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()

    def _fork(self) -> dict[str, Any] | None:
        connection, _ = self._listening.accept()
        head, descriptors, _, _ = socket.recv_fds(connection, 8, 16)
        length = int.from_bytes(head, "little")
        text = b""
        while len(text) < length:
            text += connection.recv(length - len(text))
        pid = os.fork()
        if pid == 0:
            self._own = connection
            return json.loads(text) | {"descriptors": list(descriptors)}
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
        self._waiting[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        return None


def _become(order: Mapping[str, Any]) -> None:
    """Make this forked process the one that was ordered, as far as Python has not begun."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if order["session"]:
        os.setsid()
    held = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _HIGH) for descriptor in order["descriptors"]]
    os.closerange(3, _HIGH)
    for descriptor, number in zip(held, order["as"], strict=True):
        os.dup2(descriptor, number)
    os.closerange(_HIGH, held[-1] + 1)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    first, rest = order["command"][0], order["command"][1:]
    paths = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    begun = [*_python_path().split(os.pathsep), "", str(ROOT)]
    own = {"-m": order["cwd"], "-c": ""}.get(first, str(Path(first).absolute().parent))
    sys.path[:] = [own, *paths, *(path for path in sys.path if path not in begun)]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    sys.argv[:] = [first, *(rest[1:] if first in ("-c", "-m") else rest)]
    random.seed()
    sys.modules["numpy"].random.seed()
    if "edgekit.stages.child" in sys.modules:
        sys.modules["edgekit.stages.child"].subprocess = types.SimpleNamespace(Popen=popen)  # type: ignore[attr-defined]


def _run(order: Mapping[str, Any]) -> int:
    """Run the code; its exit code, as the interpreter would give it."""
    coverage = _coverage()
    first = order["command"][0]
    try:
        if first == "-c":
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(order["command"][1], "<string>", "exec"), vars(sys.modules["__main__"]))
        elif first == "-m":
            runpy.run_module(order["command"][1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(first, run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = _code_of(ended)
    except BaseException:  # noqa: BLE001 - as an interpreter ends
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if coverage is not None:
        coverage.stop()
        coverage.save()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120
    return code


def _code_of(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return (ended.code or 0) & 0xFF
    print(ended.code, file=sys.stderr)
    return 1


def _coverage() -> Any:
    """Coverage of this process, if the tests measure it."""
    if not any(name.startswith("COVERAGE_PROCESS") for name in os.environ):
        return None
    import coverage

    return coverage.process_startup(force=True)


def _export() -> None:
    """Export a small network, for the modules that this imports on its way and the tables that it makes once."""
    try:
        import torch
    except ImportError:
        return
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread that watches progress bars: there may be none when this process is forked
    nothing = io.StringIO()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()).eval()
        program = torch.export.export(network, (torch.zeros(1, 3, 8, 8),), strict=False)
        torch.onnx.export(program, dynamo=True, verbose=False)
    tqdm.monitor_interval = 10


def serve(path: str) -> None:
    """The server; each forked process returns through here too, and ends."""
    for module in (*_FOR_EXPORTS, *_FOR_COMMANDS):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    _export()
    tasks = len(os.listdir("/proc/self/task"))
    assert tasks == 1, f"{tasks} threads after the imports: a process with several cannot be forked"
    gc.collect()
    gc.freeze()
    # Held to the end: a file that is closed when its object goes may have its number from somebody else by then.
    server = _Server(path)
    order = server.serve()
    if order is not None:
        try:
            _become(order)
            code = _run(order)
        except BaseException:  # noqa: BLE001 - it must not run on as a server
            traceback.print_exc()
            code = 1
        os._exit(code)
