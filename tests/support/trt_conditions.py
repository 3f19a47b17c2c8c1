"""What a condition over :class:`edgekit.engine.trt.bindings.Api` is for one version of TensorRT."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from typing import Any

from edgekit.engine.trt.bindings import Api
from tests.support.trt_vocabulary import Types


class Conditions(ABC):
    """``guards`` are the names that a condition was assigned to."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.guards: dict[str, bool | None] = {}

    @abstractmethod
    def type(self, node: ast.AST) -> Types:
        """The types of an expression."""

    def _guard(self, node: ast.AST) -> bool | None:
        """What a condition is for this version; None: it depends on something else."""
        if isinstance(node, ast.Name):
            return self.guards.get(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._guard(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            values, decisive = [self._guard(value) for value in node.values], isinstance(node.op, ast.Or)
            return decisive if decisive in values else None if None in values else not decisive
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.comparators[0], ast.Constant):
            left, right = self._value(node.left), node.comparators[0].value
            if left is not None and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                return bool((left == right) is isinstance(node.ops[0], ast.Eq))
            return None
        value = self._value(node)
        return value if isinstance(value, bool) else None

    def _value(self, node: ast.AST) -> Any:
        asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "has"
        if asks and "api" in self.type(node.func.value) and isinstance(node.args[0], ast.Constant):  # type: ignore[attr-defined]
            return self.api.has(str(node.args[0].value))  # type: ignore[attr-defined]
        if isinstance(node, ast.Attribute) and "api" in self.type(node.value) and node.attr != "module":
            value = getattr(self.api, node.attr)
            return value if isinstance(value, bool | str) else None
        return None
