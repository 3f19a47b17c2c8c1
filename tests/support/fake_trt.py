"""TensorRT's Python bindings as their recorded signatures describe them, for tests without the library.

``generate("tensorrt-10.3", behaviour)`` makes a module with every class, method, property and enumeration of that
version and nothing else.  A call is bound to the recorded signature and refused as pybind11 refuses it; what it then
does is ``behaviour["Class.method"]``, and a call without behaviour fails.  The records are made by
``record_trt_api.py``.
"""

from __future__ import annotations

import ast
import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

RECORDS = Path(__file__).parents[1] / "golden" / "trt_api"
VERSIONS = tuple(sorted(path.stem for path in RECORDS.glob("tensorrt-*.json")))
Behaviour = Mapping[str, Callable[..., Any]]


@cache
def record(name: str) -> dict[str, Any]:
    """What ``record_trt_api.py`` wrote for ``name``."""
    found: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_text())
    return found


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    optional: bool


@dataclass(frozen=True)
class Signature:
    """One overload; ``self`` is among the parameters."""

    parameters: tuple[Parameter, ...]
    result: str


@cache
def parse(text: str) -> Signature:
    """``(self: Builder, flags: int = 0) -> INetworkDefinition``.

    Raises:
        SyntaxError: not as pybind11 or Python writes a signature.
    """
    code = text.replace("::", ".")
    while "<" in code:
        code = re.sub(r"<[^<>]*>", "None", code)
    function = ast.parse(f"def f{code}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = [*function.args.posonlyargs, *function.args.args]
    required = len(given) - len(function.args.defaults)
    parameters = tuple(
        Parameter(each.arg, ast.unparse(each.annotation) if each.annotation else "", at >= required)
        for at, each in enumerate(given)
    )
    return Signature(parameters, ast.unparse(function.returns) if function.returns else "")


def generate(name: str, behaviour: Behaviour) -> ModuleType:
    """The module ``name``, such as ``tensorrt-10.3``; ``behaviour`` is read at every call."""
    recorded = record(name)
    module = ModuleType("tensorrt_rtx" if "rtx" in name else "tensorrt")
    classes: dict[str, type] = {}
    pending = dict(recorded["classes"])
    while pending:
        for qualname in [name for name, found in pending.items() if all(base in classes for base in found["bases"])]:
            classes[qualname] = _class(qualname, pending.pop(qualname), classes, behaviour)
    for qualname, made in classes.items():
        owner, _, last = qualname.rpartition(".")
        setattr(classes[owner] if owner else module, last, made)
    for function, signatures in recorded["functions"].items():
        setattr(module, function, _callable(function, function, signatures, classes, behaviour))
    module.__version__ = recorded["source"]["version"]  # type: ignore[attr-defined]
    module.classes = classes  # type: ignore[attr-defined]
    return module


def make(module: ModuleType, kind: str, **state: Any) -> Any:
    """An object that the library hands out, such as an ``ICudaEngine``; ``state`` is for the behaviour."""
    made = object.__new__(module.classes[kind])
    object.__setattr__(made, "fake", dict(state))
    return made


class _Number(enum.Enum):
    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


def number(name: str, members: dict[str, int]) -> Any:
    """An enumeration as pybind11 and cuda-bindings make them: ``int(value)`` and ``value.name``."""
    return _Number(name, members)


class _Object:
    """Base of the generated classes; ``fake`` is what the behaviour keeps."""

    fake: dict[str, Any]

    def __new__(cls, *_: Any, **__: Any) -> Any:
        made = super().__new__(cls)
        object.__setattr__(made, "fake", {})
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        # A pybind11 object takes new attributes only when Python subclassed it.
        if not isinstance(getattr(type(self), name, None), property) and "generated" in vars(type(self)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


def _class(qualname: str, found: dict[str, Any], classes: dict[str, type], behaviour: Behaviour) -> type:
    last = qualname.rpartition(".")[2]
    if "members" in found:
        return number(last, found["members"])
    body: dict[str, Any] = {"generated": True}
    for method, signatures in found["methods"].items():
        body[method] = _callable(f"{qualname}.{method}", method, signatures, classes, behaviour)
    for name, kind in found["properties"].items():
        body[name] = _property(qualname, name, kind, name in found["settable"], classes, behaviour)
    return type(last, tuple(classes[base] for base in found["bases"]) or (_Object,), body)


def _callable(
    path: str, name: str, signatures: list[str], classes: dict[str, type], behaviour: Behaviour
) -> Callable[..., Any]:

    def call(*args: Any, **keywords: Any) -> Any:
        # Parsed when called: pybind11 writes a few that Python cannot read.
        overloads = [parse(text) for text in signatures]
        if not overloads:
            raise TypeError(f"{path}: No constructor defined!" if name == "__init__" else f"{path}: not recorded")
        given, overload = _bind(path, overloads, args, keywords, classes)
        if name == "__init__" and path not in behaviour:
            return None
        if path not in behaviour:
            raise NotImplementedError(f"the fake has no behaviour for {path}{given[1:]}")
        result = behaviour[path](*given)
        if not _accepts(overload.result, result, classes):
            raise AssertionError(f"the fake's {path} gave {result!r}; recorded: {overload.result}")
        return result

    return call


def _bind(
    path: str, overloads: list[Signature], args: tuple[Any, ...], keywords: dict[str, Any], classes: dict[str, type]
) -> tuple[tuple[Any, ...], Signature]:
    """The arguments in order, and the first overload that takes them."""
    for overload in overloads:
        names = [each.name for each in overload.parameters]
        given = dict(zip(names, args, strict=False)) | keywords
        needed = {each.name for each in overload.parameters if not each.optional}
        right = (
            len(args) <= len(names)
            and needed <= set(given) <= set(names)
            and not set(names[: len(args)]) & set(keywords)
        )
        kinds = {each.name: each.kind for each in overload.parameters}
        if right and all(_accepts(kinds[name], value, classes) for name, value in given.items()):
            return tuple(given[name] for name in names if name in given), overload
    known = "; ".join(str([f"{p.name}: {p.kind}" for p in overload.parameters]) for overload in overloads)
    raise TypeError(f"{path}(): incompatible function arguments: {args} {keywords}; supported: {known}")


def _property(
    owner: str, name: str, kind: str, settable: bool, classes: dict[str, type], behaviour: Behaviour
) -> property:
    path = f"{owner}.{name}"

    def read(self: Any) -> Any:
        if path in behaviour:
            return behaviour[path](self)
        if name not in self.fake:
            raise NotImplementedError(f"the fake has no value for {path}")
        return self.fake[name]

    def write(self: Any, value: Any) -> None:
        if not _accepts(kind, value, classes):
            raise TypeError(f"{path} = {value!r}: incompatible function arguments; recorded: {kind}")
        self.fake[name] = value

    return property(read, write if settable else None)


def _accepts(kind: str, value: Any, classes: dict[str, type]) -> bool:
    """Whether pybind11 would convert ``value`` to a parameter of ``kind``; unknown kinds take all."""
    last = kind.rpartition(".")[2]
    if kind in classes or last in classes:
        wanted = classes.get(kind) or classes[last]
        return value is None or isinstance(value, wanted) or (last == "Dims" and isinstance(value, tuple | list))
    plain = {"bool": bool, "str": str, "tuple": tuple, "list": list, "None": type(None)}
    if kind in plain:
        return isinstance(value, plain[kind])
    if last in ("int", "SupportsInt", "SupportsIndex"):
        return hasattr(value, "__index__")
    if last in ("float", "SupportsFloat"):
        return isinstance(value, int | float)
    if last in ("buffer", "Buffer"):
        return isinstance(value, bytes | bytearray | memoryview)
    if re.match(r"(typing\.|collections\.abc\.)?(List|Sequence|list)\b", kind):
        return isinstance(value, tuple | list)
    return True


def record_has(module: ModuleType, kind: str, method: str) -> bool:
    """Whether the generated ``module`` has the method or property ``kind.method``."""
    return hasattr(module.classes[kind], method)
