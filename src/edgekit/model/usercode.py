"""The user's own Python code: imported as it is, kept apart between models, and named when it fails.

A public model repository is written to run from its own folder.  It must work here
unchanged, beside another repository whose files have the same names.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import io
import linecache
import logging
import sys
import sysconfig
import traceback
import warnings
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from edgekit.core.errors import EdgekitError, ModelError

# A second copy of these would break the running process, whatever the user's files are called.
_NEVER_REPLACED = frozenset({"edgekit", "torch", "numpy"})


@dataclasses.dataclass
class _Places:
    """What a model's code adds to ``sys.path``: in front of the model's own folders, and behind."""

    first: list[str]
    last: list[str]

    def note(self, now: list[str], before: list[str], roots: list[str]) -> None:
        """Find the additions in the path ``now``; ``before`` is the caller's."""
        start = min((now.index(root) for root in roots if root in now), default=len(now))
        known = {*before, *roots}
        self.first = [path for path in now[:start] if path not in known]
        self.last = [path for path in now[start:] if path not in known]


class UserCode:
    """One model's source tree: its folder on ``sys.path`` and its modules in ``sys.modules``, only while it runs."""

    _of_models: ClassVar[weakref.WeakSet[ModuleType]] = weakref.WeakSet()
    _added: ClassVar[dict[tuple[Path, Path | None, str], _Places]] = {}

    def __init__(self, base: Path, file: Path | None = None, args: Mapping[str, object] | None = None) -> None:
        """``base`` is the folder of the spec; ``file`` the factory's file, or None for an importable package.

        ``args`` are the factory's: they may name the folder that its code is in.
        """
        self._base = base.resolve()
        self._file = None if file is None else file.resolve()
        self._roots = [self._base]
        self._synthetic = ""
        if self._file is not None:
            self._roots += [root for root in (self._file.parent, self._anchor()) if root not in self._roots]
            self._synthetic = "_edgekit_" + hashlib.sha256(str(self._package_root()).encode()).hexdigest()[:8]
        self._locations = _importable(self._roots)
        self._modules: dict[str, ModuleType] = {}
        # Shared by all that load this model, as its modules are.
        self._places = self._added.setdefault((self._base, self._file, repr(args)), _Places([], []))

    @contextlib.contextmanager
    def imports(self) -> Iterator[None]:
        """Resolve imports as if Python had been started in the model's folder.

        Modules of other files with the same names are out of ``sys.modules``
        inside the block and back after it, as is what other models left
        there; the model's own return at the next entry, so lazy imports in a
        ``forward`` find the right ones.  So do the folders that its code puts
        on ``sys.path``, which is as before after the block.
        """
        paths = list(sys.path)
        hidden = {name: module for name, module in sys.modules.items() if self._is_foreign(name, module)}
        hidden |= self._left_by_others(paths)
        for name in hidden:
            del sys.modules[name]
        before = set(sys.modules)
        sys.modules.update(self._modules)
        sys.path[:] = [*self._places.first, *map(str, self._roots), *paths, *self._places.last]
        try:
            yield
        finally:
            self._places.note(sys.path, paths, [str(root) for root in self._roots])
            sys.path[:] = paths
            fresh = self._modules.keys() | sys.modules.keys() - before
            self._modules = {
                name: module
                for name, module in sys.modules.items()
                if self._is_own(name, module) or (name in fresh and self._is_placed(name))
            }
            self._of_models.update(self._modules.values())
            taken = {name.partition(".")[0] for name in hidden}
            for name in self._modules:
                if name.partition(".")[0] in taken:
                    del sys.modules[name]
            sys.modules.update(hidden)

    def shadowed(self, error: BaseException) -> str:
        """The file beside the spec that ``error``, of an import, met in place of the package it looked for, or ``""``.

        A checkout's package ``model`` cannot be imported where the user's own file is called model.py.
        """
        if not isinstance(error, ModuleNotFoundError) or "is not a package" not in str(error):
            return ""
        place = self._locations.get((error.name or "").partition(".")[0])
        return str(place) if place is not None and place.is_file() else ""

    def import_candidates(self) -> Iterator[str]:
        """Module names to try for the factory's file: its place in the repository, then inside a made-up package.

        The made-up package gives relative imports a parent where the folder has no ``__init__.py``.
        """
        assert self._file is not None
        name = self._dotted(self._anchor())
        relative = max((n.level for n in ast.walk(self._tree()) if isinstance(n, ast.ImportFrom)), default=0)
        protected = sys.stdlib_module_names | _NEVER_REPLACED
        parents = name.count(".") + (self._file.name == "__init__.py")
        if relative <= parents and name.partition(".")[0] not in protected:
            yield name
        yield f"{self._synthetic}.{self._dotted(self._package_root())}"

    def import_file(self, name: str) -> ModuleType:
        """Import the factory's file as module ``name``; its own errors pass through."""
        assert self._file is not None
        importlib.invalidate_caches()
        if name.startswith(self._synthetic):
            self._make_package()
        loaded = sys.modules.get(name)
        if loaded is not None and _origins(loaded) == [str(self._file)]:
            return loaded
        parent = name.rpartition(".")[0]
        if parent:
            importlib.import_module(parent)
        return _execute(name, self._file)

    def _anchor(self) -> Path:
        # As pytest does: above the outermost folder with an __init__.py, else the folder Python would be started in.
        assert self._file is not None
        folder = self._file.parent
        if (folder / "__init__.py").is_file():
            while (folder / "__init__.py").is_file() and folder != folder.parent:
                folder = folder.parent
            return folder
        return self._package_root()

    def _package_root(self) -> Path:
        assert self._file is not None
        inside = self._file.is_relative_to(self._base)
        plain = inside and not any("." in part for part in self._file.relative_to(self._base).parts[:-1])
        return self._base if plain else self._file.parent

    def _dotted(self, anchor: Path) -> str:
        assert self._file is not None
        parts = self._file.relative_to(anchor).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        return ".".join((*parts[:-1], parts[-1].replace(".", "_")))

    def _tree(self) -> ast.Module:
        assert self._file is not None
        return ast.parse(self._file.read_bytes(), filename=str(self._file))

    def _make_package(self) -> None:
        root = self._package_root()
        if self._synthetic in sys.modules:
            return
        if (root / "__init__.py").is_file():
            _execute(self._synthetic, root / "__init__.py")
            return
        package = ModuleType(self._synthetic)
        package.__path__ = [str(root)]
        sys.modules[self._synthetic] = package

    def _is_own(self, name: str, module: ModuleType) -> bool:
        top = name.partition(".")[0]
        if top == self._synthetic:
            return True
        location = self._locations.get(top)
        return location is not None and any(_within(origin, location) for origin in _origins(module))

    def _is_placed(self, name: str) -> bool:
        """Whether a loaded module comes from a folder that this model's code puts on ``sys.path``."""
        added = {str(Path(path).resolve()) for path in (*self._places.first, *self._places.last)}
        return bool(added) and not added.isdisjoint(_homes(name))

    def _left_by_others(self, paths: list[str]) -> dict[str, ModuleType]:
        """Modules of other models, save those that the caller's own imports find."""
        callers = {str(Path(path).resolve()) for path in paths}
        return {
            module.__name__: module
            for module in self._of_models
            if sys.modules.get(module.__name__) is module
            and not self._is_own(module.__name__, module)
            and not self._is_placed(module.__name__)
            and callers.isdisjoint(_homes(module.__name__))
        }

    def _is_foreign(self, name: str, module: ModuleType) -> bool:
        top = name.partition(".")[0]
        if top not in self._locations or top in _NEVER_REPLACED or top in sys.stdlib_module_names:
            return False
        regular = self._locations[top].is_file() or (self._locations[top] / "__init__.py").is_file()
        parent = sys.modules.get(top, module)
        # Python prefers an installed package to a folder without __init__.py, so such a folder hides only its like
        # and what another model left behind.
        hides = regular or getattr(parent, "__file__", None) is None or parent in self._of_models
        return hides and bool(_origins(module)) and not self._is_own(name, module)


def blame(error: BaseException) -> str:
    """``"file.py:12 (x = y.item()): "`` of the innermost user frame of ``error``, or ``""``.

    Frames of PyTorch, edgekit and the standard library are not the user's.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return _place(error.filename, error.lineno, error.text)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_user_file(f.filename)]
    # A model may live in an installed package; otherwise the frame that called one says more.
    frames = [f for f in frames if "-packages" not in f.filename] or frames
    if not frames:
        return ""
    return _place(frames[-1].filename, frames[-1].lineno or 0, frames[-1].line)


def blame_stack(stack: str) -> str:
    """Like :func:`blame`, for the text of a stack trace (innermost frame last)."""
    for line in reversed(stack.splitlines()):
        parts = line.strip().split('"')
        if len(parts) >= 3 and parts[0] == "File " and parts[2].startswith(", line ") and is_user_file(parts[1]):
            number = int(parts[2].removeprefix(", line ").split(",")[0])
            return _place(parts[1], number, linecache.getline(parts[1], number))
    return ""


def describe(error: BaseException) -> str:
    """Type and first line of an error's message."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a message may be made by the user's code, from the user's objects
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever the user's objects raise inside, an exit included, into a :class:`ModelError`: ``what: ...``."""
    try:
        yield
    except EdgekitError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ModelError(f"{what}: {blame(error)}{describe(error)}") from error


def is_user_file(filename: str) -> bool:
    """Whether a frame's file belongs neither to PyTorch, nor edgekit, nor the standard library."""
    if filename.startswith("<"):
        return False
    torch = getattr(sys.modules.get("torch"), "__file__", None)
    libraries = [Path(__file__).parents[1], *([Path(torch).parent] if torch else [])]
    if any(_within(filename, folder) for folder in libraries):
        return False
    stdlib = sysconfig.get_paths()["stdlib"]
    return not _within(filename, Path(stdlib)) or "site-packages" in filename or "dist-packages" in filename


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow prints, warnings and log lines below ERROR; exceptions pass."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _place(filename: str, line: int, code: str | None) -> str:
    text = (code or "").strip()
    return f"{filename}:{line} ({text[:120]}): " if text else f"{filename}:{line}: "


def _importable(roots: list[Path]) -> dict[str, Path]:
    """Top-level names that ``import`` finds below ``roots``, and where; folders without ``__init__.py`` come last."""
    modules: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    for root in roots:
        for entry in sorted(root.iterdir()) if root.is_dir() else []:
            if entry.is_dir() and entry.name.isidentifier():
                (modules if (entry / "__init__.py").is_file() else folders).setdefault(entry.name, entry)
        for entry in sorted(root.glob("*.py")):
            modules.setdefault(entry.stem, entry)
    return {**folders, **modules}


def _origins(module: Any) -> list[str]:
    file = getattr(module, "__file__", None)
    return [file] if isinstance(file, str) else [str(path) for path in getattr(module, "__path__", [])]


def _homes(name: str) -> list[str]:
    """The folders on ``sys.path`` that the loaded module ``name`` comes from: those of its top-level package."""
    files = [Path(origin).resolve() for origin in _origins(sys.modules.get(name.partition(".")[0]))]
    return [str((file.parent if file.name == "__init__.py" else file).parent) for file in files]


def _within(filename: str, place: Path) -> bool:
    path = Path(filename)
    return path == place or place in path.parents


def _execute(name: str, file: Path) -> ModuleType:
    folder = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folder)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module
