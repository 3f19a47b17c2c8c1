"""Places in a source that mutants change: which count, and which lines run there."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmic_ray.work_item import MutationSpec

Span = tuple[tuple[int, int], tuple[int, int]]
"""Begin and end, each a line and a column."""
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def annotations(source: str) -> list[Span]:
    """Begin and end (line, column) of every annotation: nothing evaluates them, and mypy judges them."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            found.append(node.returns)
    return [((e.lineno, e.col_offset), (e.end_lineno or 0, e.end_col_offset or 0)) for e in found]


def literal_comparisons(source: str) -> list[Span]:
    """Begin and end of every comparison with a number or a text: ``is`` in one is refused by ruff (F632)."""
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Constant) and one.value is not None for one in (node.left, *node.comparators))
    ]
    return [((e.lineno, e.col_offset), (e.end_lineno or 0, e.end_col_offset or 0)) for e in found]


def counts(mutation: MutationSpec, source: str) -> bool:
    """Whether a mutation changes what runs, and passes ``make lint``."""
    skipped = annotations(source)
    if mutation.operator_name.endswith(("_Is", "_IsNot")):
        skipped += literal_comparisons(source)
    return not any(begin <= mutation.start_pos < end for begin, end in skipped)


def lines_of(source: str, line: int) -> list[int] | None:
    """Lines of the innermost statement at ``line``, of one with a body its head; None for what runs at import.

    >>> text = "LIMIT = 1\\ndef f(\\n    a=2,\\n):\\n    return (\\n        a\\n    )\\n"
    >>> lines_of(text, 1), lines_of(text, 3), lines_of(text, 6)
    (None, None, [5, 6, 7])
    """
    around = [node for node in ast.walk(ast.parse(source)) if _first(node) <= line <= (_last(node) or 0)]
    inner = min(around, key=lambda node: ((_last(node) or 0) - _first(node), -node.lineno), default=None)
    if inner is None or not any(isinstance(node, _FUNCTION) and node is not inner for node in around):
        return None
    body = inner.cases[0].body if isinstance(inner, ast.Match) else getattr(inner, "body", None)
    end = body[0].lineno - 1 if body else inner.end_lineno
    return sorted({line, *range(_first(inner), (end or line) + 1)})


def _first(node: ast.AST) -> int:
    if not isinstance(node, ast.stmt | ast.ExceptHandler):
        return sys.maxsize
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])


def _last(node: ast.AST) -> int | None:
    return getattr(node, "end_lineno", None)
