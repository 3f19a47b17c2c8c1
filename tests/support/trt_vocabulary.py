"""The types that one version of TensorRT's recorded bindings gives to names, attributes and calls.

A type is a string: ``module``, ``api``, ``type:BuilderFlag``, ``obj:Builder``, ``call:Builder.create_network``,
``inst:Session`` (a class of ours), ``fn:_run``, ``list:`` and a type.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from edgekit.engine.trt.bindings import Api
from tests.support import fake_trt

Types = frozenset[str]
NONE: Types = frozenset()


@cache
def api_of(version: str) -> Api:
    """The ``Api`` of a version, over its generated module."""
    module = fake_trt.generate(version, {})
    return Api(module, "tensorrt-rtx" if "rtx" in version else "tensorrt", module.__version__)


def probed(trees: Iterable[ast.Module]) -> set[str]:
    """Every name that ``api.has("...")`` asks for."""
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "has" and call.args]
    return {str(call.args[0].value) for call in asked if isinstance(call.args[0], ast.Constant)}


def capitals(tree: ast.AST) -> Iterable[str]:
    """The constants that are written like members of an enumeration."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", node.value)
        ):
            yield node.value


def fits(node: ast.Call, signature: str, bound: int) -> bool:
    """Whether a call gives as many arguments as ``signature`` takes, ``bound`` of them by being a method."""
    try:
        parameters = fake_trt.parse(signature).parameters[bound:]
    except SyntaxError:
        return True
    names = [each.name for each in parameters]
    given = names[: len(node.args)] + [str(keyword.arg) for keyword in node.keywords]
    needed = {each.name for each in parameters if not each.optional}
    return len(node.args) <= len(names) and len(set(given)) == len(given) and needed <= set(given) <= set(names)


class Vocabulary:
    """What ``version`` has."""

    def __init__(self, version: str) -> None:
        self.record = fake_trt.record(version)
        self.classes: dict[str, Any] = self.record["classes"]
        self.api = api_of(version)

    def member(self, kind: str, name: str) -> Types | None:
        """The type of ``name`` of a type; None: there is no such name."""
        what, _, qualname = kind.partition(":")
        if what == "module":
            return self._of_module(name)
        if what == "type":
            return self._of_type(qualname, name)
        if what == "obj":
            return self._of_object(qualname, name)
        return NONE

    def _of_module(self, name: str) -> Types | None:
        if name in self.classes:
            return frozenset({f"type:{name}"})
        if name in self.record["functions"]:
            return frozenset({f"call:{name}"})
        return NONE if name in self.record["values"] else None

    def _of_type(self, qualname: str, name: str) -> Types | None:
        if f"{qualname}.{name}" in self.classes:
            return frozenset({f"type:{qualname}.{name}"})
        found = self.classes[qualname]
        if name in found.get("members", ()):
            return frozenset({f"obj:{qualname}"})
        return NONE if name in {**found.get("methods", {}), **found.get("values", {}), "__members__": 0} else None

    def _of_object(self, qualname: str, name: str) -> Types | None:
        found = self.classes[qualname]
        if "members" in found:
            return NONE if name in ("name", "value") else None
        if name in found["methods"]:
            return frozenset({f"call:{qualname}.{name}"})
        if name in found["properties"]:
            return self.named(found["properties"][name])
        inherited = [self._of_object(base, name) for base in found["bases"]]
        return next((each for each in inherited if each is not None), None)

    def settable(self, qualname: str, name: str) -> bool:
        """Whether the property can be written."""
        found = self.classes[qualname]
        return name in found.get("settable", ()) or any(self.settable(base, name) for base in found["bases"])

    def named(self, kind: str) -> Types:
        """The type that a recorded signature names."""
        last = kind.replace("::", ".").rpartition(".")[2]
        last = {"IParserError": "ParserError"}.get(last, last)
        for name in (kind, last):
            if name in self.classes:
                return frozenset({f"obj:{name}"})
        return NONE

    def signatures(self, path: str) -> list[str]:
        """The overloads of ``Class.method``, of a class's constructor, or of a function."""
        if path in self.record["functions"]:
            return list(self.record["functions"][path])
        owner, _, method = path.rpartition(".")
        return list(self.classes[owner]["methods"][method])
