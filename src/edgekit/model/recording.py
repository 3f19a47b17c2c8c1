"""What the user's code uses while it runs, recorded from outside: for the process that loads and exports a model.

Python tells an audit hook (PEP 578) of every file that is opened, every folder that is listed and every module that is
looked for.  Questions about files (``os.stat``) and environment variables raise no event: these two are replaced in
the module ``os``.  None of it can be taken out again, so a process of its own ends with the recording.

What cannot be seen is said: libraries in C, C++ or Rust that open files themselves, other processes, the network.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from edgekit.core.sources import Sources, look, place

_STACK = frozenset(
    ("torch", "torchgen", "functorch", "numpy", "onnx", "onnxscript", "onnx_ir", "ml_dtypes", "sympy", "mpmath",
     "networkx", "jinja2", "markupsafe", "yaml", "google", "fsspec", "filelock", "packaging", "typing_extensions",
     "triton", "optree", "setuptools", "pkg_resources", "_distutils_hack", "pydantic", "pydantic_core",
     "annotated_types", "typing_inspection", "rich", "ruamel", "edgekit")
)  # fmt: skip
"""Installed packages that the export itself needs: their version stands for their files."""
_SEEN = _STACK | {"scipy", "PIL", "regex", "msgpack", "charset_normalizer", "_yaml"}
"""Packages with compiled parts that open files through Python alone, or none."""
_NAMES = {"yaml": "PyYAML", "google": "protobuf"}
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")
_PASSING = ("os.py", "<frozen os>", "_collections_abc.py", "<frozen _collections_abc>", "ctypes/__init__.py")
"""Files of Python's that only hand a question on."""
_OBSERVERS = frozenset(("coverage", "debugpy", "pydevd", "_pydevd_bundle", "_pydevd_frame_eval"))
"""Installed packages that watch the user's code from its own frames: their questions are not its."""
_USER, _OBSERVER, _OTHER = "user", "observer", "other"
_KERNEL = ("/proc/", "/sys/", "/dev/")
_IMPORTLIB = "<frozen importlib"


class Recorder:
    """Records from :meth:`start` to :meth:`sources`; ``base`` is the spec's folder, ``result`` the result's."""

    def __init__(self, base: Path, result: Path) -> None:
        self._base, self._result = base, f"{result}{os.sep}"
        self._items: dict[str, str] = {}
        self._unseen: dict[str, None] = {}
        self._written: set[str] = set()
        self._asked: set[str] = set()
        self._owners: dict[str, str] = {}
        self._busy = threading.local()
        self._active = False
        stdlib = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")}
        self._stdlib = tuple(f"{folder}{os.sep}" for folder in stdlib)
        self._sites = tuple(f"{folder}{os.sep}" for folder in _site_folders())
        self._edgekit = f"{Path(__file__).parents[1]}{os.sep}"
        self._before = frozenset(sys.modules)
        self._handlers: dict[str, Callable[..., None]] = {
            "open": self._open,
            "os.listdir": self._list,
            "os.scandir": self._list,
            "import": self._import,
            "sqlite3.connect": self._read,
            "ctypes.dlopen": self._library,
            "socket.connect": self._network,
            **dict.fromkeys(_PROCESSES, self._process),
        }

    def start(self) -> None:
        """From now on, to the end of the process."""
        self._active = True
        sys.addaudithook(self._hook)
        for name in ("stat", "lstat", "access"):
            setattr(os, name, self._asking(getattr(os, name)))
        # The object stays the same, for those who hold it already.
        os.environ.__class__ = _recording(type(os.environ), self._variable)
        _compile_always(self._is_site)

    def sources(self) -> Sources:
        """All that was used; ends the recording."""
        self._active = False
        for name in sorted(self._asked):
            if name not in sys.modules:
                self._absent(name)
        for package in sorted(_packages(self._sites, self._before)):
            item = f"package {package}"
            self._items[item] = look(item, self._base)
        return Sources(dict(sorted(self._items.items())), tuple(sorted(self._unseen)))

    # --- events ----------------------------------------------------------------

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        handler = self._handlers.get(event)
        if handler is not None and self._active:
            self._alone(handler, *((event, *args) if event in _PROCESSES else args))

    def _alone(self, handler: Callable[..., None], *args: Any) -> None:
        """Run a handler, whose own questions to the system are not recorded."""
        if getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            handler(*args)
        finally:
            self._busy.now = False

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        name = _text(path)
        if name is None:
            return
        reads = "r" in mode if isinstance(mode, str) else not flags & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if not reads:
            self._written.add(os.path.abspath(name))
        elif self._is_foreign(os.path.abspath(name)) and (self._imports() or self._of_user()):
            self._file(name)

    def _read(self, path: Any) -> None:
        name = _text(path)
        if name is not None and self._of_user():
            self._file(name)

    def _file(self, name: str) -> None:
        if name.endswith(".pyc"):
            name = _source_of(name)
        whole = os.path.abspath(name)
        if self._is_foreign(whole) and whole not in self._written:
            self._note("file", name)

    def _list(self, path: Any) -> None:
        name = "." if path is None else _text(path)
        if name is not None and not self._imports() and self._of_user() and self._is_foreign(os.path.abspath(name)):
            self._note("folder", name)

    def _import(self, name: str, file: Any, *_: Any) -> None:
        top = name.partition(".")[0]
        if not self._of_user():
            return
        if file is None:
            asking = next((f.f_code.co_filename for f in _frames() if not _is_importing(f)), "")
            if self._is_user(asking):  # not a library that Python or the export itself may do without
                self._asked.add(name)
        elif not self._is_stdlib(str(file)) and not (
            self._is_site(str(file)) and _top(str(file), self._sites) in _SEEN
        ):
            self._unseen[f"{top} may open files unseen"] = None
            if not self._is_site(str(file)):
                self._file(str(file))

    def _library(self, path: Any) -> None:
        name = _text(path)
        if name is None or not self._of_user():
            return
        of_user = os.sep in name and self._is_foreign(os.path.abspath(name))
        if of_user or self._direct():
            self._unseen[f"the library {os.path.basename(name)} may open files unseen"] = None
        if of_user:
            self._file(name)

    def _process(self, event: str, *args: Any) -> None:
        if self._of_user():
            command = args[0] if event == "subprocess.Popen" and args else event
            self._unseen[f"another process ran: {os.path.basename(_text(command) or event)}"] = None

    def _network(self, *_: Any) -> None:
        if self._of_user():
            self._unseen["the network was used"] = None

    def _asking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``os.stat`` and similar calls count as reading: libraries ask before they open files unseen."""

        def ask(path: Any, *args: Any, **keys: Any) -> Any:
            name = _text(path)
            if self._active and name is not None:
                self._alone(self._question, name)
            return function(path, *args, **keys)

        return ask

    def _question(self, name: str) -> None:
        if os.path.basename(next(_frames()).f_code.co_filename) == "tempfile.py":
            return  # of a temporary file only its random name is new
        if not self._is_foreign(os.path.abspath(name)) or not self._of_user():
            return
        if os.path.isfile(name):
            self._file(name)
        else:
            self._note("kind", name)

    def _variable(self, name: str) -> None:
        if self._active:
            self._alone(self._named_variable, name)

    def _named_variable(self, name: str) -> None:
        if self._direct():
            self._items.setdefault(f"variable {name}", look(f"variable {name}", self._base))

    # --- notes -----------------------------------------------------------------

    def _note(self, kind: str, name: str) -> None:
        item = f"{kind} {place(name, self._base)}"
        if item not in self._items:  # as it was when it was first used, whatever becomes of it
            self._items[item] = look(item, self._base)

    def _absent(self, name: str) -> None:
        parent, _, leaf = name.rpartition(".")
        if not parent:
            places = ["*"]
        else:
            places = [place(str(folder), self._base) for folder in getattr(sys.modules.get(parent), "__path__", ())]
        for folder in places:
            item = f"module {folder}/{leaf}"
            self._items[item] = look(item, self._base)

    # --- whose -----------------------------------------------------------------

    def _of_user(self) -> bool:
        """Whether the user's code asked, itself or through a library, and not one that watches it."""
        frame: FrameType | None = sys._getframe(1)
        owners = self._owners
        while frame is not None:
            file = frame.f_code.co_filename
            owner = owners.get(file) or self._owner(file)
            if owner != _OTHER:
                return owner == _USER
            frame = frame.f_back
        return False

    def _direct(self) -> bool:
        """Whether the user's code asked, through nothing but the module ``os``."""
        for frame in _frames():
            name = frame.f_code.co_filename
            if not name.endswith(_PASSING) and frame.f_code.co_name != "expandvars":
                return self._is_user(name)
        return False

    @staticmethod
    def _imports() -> bool:
        return any(_is_importing(frame) for frame, _ in zip(_frames(), range(3), strict=False))

    def _owner(self, file: str) -> str:
        """Whose a source file is; kept, because stacks are deep and their files are few."""
        known = self._owners.get(file)
        if known is None:
            if self._is_site(file) and _top(file, self._sites) in _OBSERVERS:
                known = _OBSERVER
            elif file.startswith("<") or self._is_stdlib(file) or not self._is_foreign(os.path.abspath(file)):
                known = _OTHER
            else:
                known = _USER
            self._owners[file] = known
        return known

    def _is_user(self, file: str) -> bool:
        return self._owner(file) == _USER

    def _is_foreign(self, whole: str) -> bool:
        """Whether a path is the user's: not of Python, edgekit, the kernel or a package that its version covers."""
        if whole.startswith((self._edgekit, self._result, *_KERNEL)) or self._is_stdlib(whole):
            return False
        return not (self._is_site(whole) and _top(whole, self._sites) in _STACK)

    def _is_stdlib(self, file: str) -> bool:
        return file.startswith(self._stdlib) and not self._is_site(file)

    def _is_site(self, file: str) -> bool:
        return file.startswith(self._sites)


def _frames() -> Iterator[FrameType]:
    """Those of this thread from the innermost, the recorder's own left out."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename != __file__:
            yield frame
        frame = frame.f_back


def _is_importing(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_IMPORTLIB)


def _text(path: Any) -> str | None:
    """A path as text; None: it is the number of an open file, or nothing that names one."""
    try:
        return os.fsdecode(path)
    except TypeError:
        return None


def _source_of(bytecode: str) -> str:
    try:
        source = importlib.util.source_from_cache(bytecode)
    except ValueError:  # it lies where no source is
        return bytecode
    return source if os.path.isfile(source) else bytecode


def _site_folders() -> list[str]:
    paths = sysconfig.get_paths()
    found = {*site.getsitepackages(), site.getusersitepackages(), paths["purelib"], paths["platlib"]}
    return sorted(found | {entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))})


def _top(file: str, sites: tuple[str, ...]) -> str:
    """The top-level package that an installed file belongs to."""
    folder = max((f for f in sites if file.startswith(f)), key=len)
    return file[len(folder) :].partition(os.sep)[0].partition(".")[0]


def _packages(sites: tuple[str, ...], before: frozenset[str]) -> set[str]:
    """Distributions of the installed modules that are loaded."""
    tops = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(sites):
            tops[_top(file, sites)] = name in before
    known = {_NAMES.get(top, top) for top in tops.keys() & _STACK}
    foreign = {top for top, was_before in tops.items() if not was_before} - _STACK
    if foreign:
        owners = importlib.metadata.packages_distributions()
        known |= {owner for top in foreign for owner in owners.get(top, ())}
    return {name for name in known if look(f"package {name}", Path()) != ""} - {"edgekit"}


def _recording(kind: type[Any], note: Callable[[str], None]) -> type[Any]:
    """A subclass of ``os.environ``'s class that reports each variable that is read; ``*``: all names were listed."""

    class Environment(kind):  # type: ignore[misc]
        def __getitem__(self, key: str) -> str:
            if isinstance(key, str):
                note(key)
            value: str = super().__getitem__(key)
            return value

        def __iter__(self) -> Iterator[str]:
            note("*")
            return iter(list(super().__iter__()))

    return Environment


def _compile_always(installed: Callable[[str], bool]) -> None:
    """Compile the user's sources anew: Python trusts bytecode when size and second of the source are unchanged."""
    machinery: Any = importlib.import_module("importlib._bootstrap_external")
    original = machinery.cache_from_source

    def cache_from_source(path: str, *args: Any, **keys: Any) -> str:
        if not installed(os.path.abspath(path)):
            raise NotImplementedError  # what a Python without bytecode says
        found: str = original(path, *args, **keys)
        return found

    machinery.cache_from_source = cache_from_source
