"""Which names of TensorRT a module uses, and whether one version of the bindings has them.

The source is walked, not run: values get the types that the recorded signatures give them, through assignments,
attributes of ``self`` and calls between the modules.  Conditions over :class:`edgekit.engine.trt.bindings.Api`
(``api.has(...)``, its properties) are decided for the version at hand, so a branch is held only against the
versions that take it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import fake_trt
from tests.support.trt_conditions import Conditions
from tests.support.trt_vocabulary import NONE, Types, Vocabulary, capitals, fits


@dataclass
class Usage:
    """``used`` are the names that were found to exist, such as ``Builder.create_network``; ``wrong`` what is not."""

    used: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Program(Vocabulary):
    """The modules ``trees`` (by name) against ``version``."""

    def __init__(self, trees: Mapping[str, ast.Module], version: str) -> None:
        super().__init__(version)
        self.trees = trees
        self.functions: dict[str, tuple[str, str, ast.FunctionDef]] = {}
        self.ours: set[str] = set()
        for name, tree in self.trees.items():
            self._define(name, tree.body, "")
        self.attributes: dict[tuple[str, str], Types] = defaultdict(lambda: NONE)
        self.parameters: dict[tuple[str, str], Types] = defaultdict(lambda: NONE)
        self.results: dict[str, Types] = defaultdict(lambda: NONE)
        self.reached: set[str] = set()
        self.usage = Usage()

    def _define(self, module: str, body: list[ast.stmt], owner: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                self.ours.add(node.name)
                self._define(module, node.body, node.name)
            elif isinstance(node, ast.FunctionDef):
                name = f"{owner}.{node.name}" if owner else f"{module}:{node.name}"
                self.functions[name] = (module, owner, node)

    def run(self) -> Usage:
        """Walk everything that this version reaches, until no type is new."""
        called = {name for tree in self.trees.values() for name in _called(tree)}
        self.reached = {name for name in self.functions if name.replace(":", ".").rpartition(".")[2] not in called}
        before = None
        while before != self._state():
            before = self._state()
            self.usage = Usage()
            self._walk(set(self.trees))
        return self.usage

    def rerun(self, known: Program, modules: set[str]) -> Usage:
        """Walk ``modules`` once, with the types that ``known`` found in the same program spelt right."""
        self.attributes, self.parameters = known.attributes.copy(), known.parameters.copy()
        self.results, self.reached = known.results.copy(), set(known.reached)
        self._walk(modules)
        return self.usage

    def _walk(self, modules: set[str]) -> None:
        for name in sorted(self.reached & set(self.functions)):
            module, owner, node = self.functions[name]
            if module in modules:
                self.results[name] |= _Walk(self, module, owner, name, node).run()

    def _state(self) -> tuple[Any, ...]:
        return dict(self.attributes), dict(self.parameters), dict(self.results), set(self.reached)


def _called(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


class _Walk(Conditions):
    """One function, statement by statement."""

    def __init__(self, program: Program, module: str, owner: str, name: str, node: ast.FunctionDef) -> None:
        self.program, self.module, self.owner, self.name, self.node = program, module, owner, name, node
        super().__init__(program.api)
        self.env: dict[str, Types] = {}
        self.returns: Types = NONE

    def run(self) -> Types:
        arguments = self.node.args
        for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            known = self.program.parameters[self.name, each.arg] | self._annotated(each.annotation)
            self.env[each.arg] = known
        if self.owner and arguments.args and arguments.args[0].arg == "self":
            self.env["self"] = frozenset({"api"} if self.owner == "Api" else {f"inst:{self.owner}"})
        self._body(self.node.body)
        return self.returns | self._annotated(self.node.returns)

    def _annotated(self, node: ast.expr | None) -> Types:
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} if node is not None else set()
        found = {f"inst:{name}" for name in names & self.program.ours if name != "Api"}
        return frozenset(found | ({"api"} if "Api" in names else set()))

    def _body(self, body: list[ast.stmt]) -> bool:
        """Whether control leaves the block before its end."""
        return any(self._statement(node) for node in body)

    def _statement(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.If):
            return self._if(node)
        if isinstance(node, ast.Return | ast.Raise):
            for value in ast.iter_child_nodes(node):
                found = self.type(value)
                self.returns |= found if isinstance(node, ast.Return) else NONE
            return True
        if isinstance(node, ast.Assign | ast.AnnAssign):
            self._assign(node)
        elif isinstance(node, ast.For):
            self._target(node.target, self._elements(self.type(node.iter)))
            self._body(node.body)
        elif isinstance(node, ast.With):
            for item in node.items:
                self.type(item.context_expr)
            return self._body(node.body)
        elif isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, ast.Try):
            for block in (node.body, *(handler.body for handler in node.handlers), node.orelse, node.finalbody):
                self._body(block)
        elif isinstance(node, ast.FunctionDef):
            self._body(node.body)
        else:
            for value in ast.iter_child_nodes(node):
                if isinstance(value, ast.stmt):
                    self._statement(value)
                else:
                    self.type(value)
        return False

    def _if(self, node: ast.If) -> bool:
        guard = self._guard(node.test)
        self.type(node.test)
        left = [self._body(body) for body, taken in ((node.body, True), (node.orelse, False)) if guard in (None, taken)]
        return all(left)

    def _class(self, node: ast.ClassDef) -> None:
        """A class inside a function, made of one of TensorRT's: what it must override must be there."""
        defined = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
        for base in node.bases:
            for kind in self.type(base):
                qualname = kind.removeprefix("type:")
                for method, texts in self.program.classes[qualname]["methods"].items():
                    if not method.startswith("_"):
                        self._override(f"{qualname}.{method}", defined.get(method), texts[0])
        for function in defined.values():
            self._body(function.body)

    def _override(self, path: str, given: ast.FunctionDef | None, signature: str) -> None:
        wanted = [each.name for each in fake_trt.parse(signature).parameters]
        if given is None or len(given.args.args) != len(wanted):
            self._wrong(self.node, f"{path} is not overridden with {wanted}")
        else:
            self.program.usage.used.add(path)

    def _assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        if node.value is None:
            return
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        guard, found = self._guard(node.value), self.type(node.value)
        for target in targets:
            parts = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if parts else [(target, None)]  # type: ignore[attr-defined]
            for part, value in pairs:
                self._target(part, found if value is None else self.type(value))
                if isinstance(part, ast.Name):
                    self.guards[part.id] = guard

    def _target(self, target: ast.expr, found: Types) -> None:
        if isinstance(target, ast.Name):
            self.env[target.id] = self.env.get(target.id, NONE) | found
        elif isinstance(target, ast.Attribute):
            for kind in self.type(target.value):
                if kind.startswith("inst:"):
                    self.program.attributes[kind[5:], target.attr] |= found
                elif kind.startswith("obj:"):
                    self._written(target, kind[4:])

    def _written(self, target: ast.Attribute, qualname: str) -> None:
        if self.program.settable(qualname, target.attr):
            self.program.usage.used.add(f"{qualname}.{target.attr}")
        else:
            self._wrong(target, f"{qualname}.{target.attr} cannot be written")

    def _elements(self, found: Types) -> Types:
        return frozenset(kind.removeprefix("list:") for kind in found if kind.startswith("list:"))

    # --- expressions ---

    def type(self, node: ast.AST) -> Types:
        """What an expression is; every name in it is checked on the way."""
        handler = getattr(self, f"_{type(node).__name__}", None)
        if handler is not None:
            return handler(node)  # type: ignore[no-any-return]
        for child in ast.iter_child_nodes(node):
            self.type(child)
        return NONE

    def _Name(self, node: ast.Name) -> Types:  # noqa: N802
        if f"{self.module}:{node.id}" in self.program.functions:
            return frozenset({f"fn:{self.module}:{node.id}"})
        if node.id in self.program.ours:
            return frozenset({f"class:{node.id}"})
        return self.env.get(node.id, NONE)

    def _Lambda(self, node: ast.Lambda) -> Types:  # noqa: N802
        return self.type(node.body)

    def _NamedExpr(self, node: ast.NamedExpr) -> Types:  # noqa: N802
        found = self.type(node.value)
        self._target(node.target, found)
        return found

    def _IfExp(self, node: ast.IfExp) -> Types:  # noqa: N802
        guard = self._guard(node.test)
        self.type(node.test)
        taken = [each for each, when in ((node.body, True), (node.orelse, False)) if guard in (None, when)]
        return frozenset().union(*(self.type(each) for each in taken))

    def _BoolOp(self, node: ast.BoolOp) -> Types:  # noqa: N802
        found = NONE
        for value in node.values:
            found |= self.type(value)
            if self._guard(value) is isinstance(node.op, ast.Or):
                break
        return found

    def _Tuple(self, node: ast.Tuple | ast.List) -> Types:  # noqa: N802
        return frozenset(f"list:{kind}" for each in node.elts for kind in self.type(each))

    _List = _Tuple

    def _ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Types:  # noqa: N802
        self._generators(node.generators)
        return frozenset(f"list:{kind}" for kind in self.type(node.elt))

    _GeneratorExp = _SetComp = _ListComp

    def _DictComp(self, node: ast.DictComp) -> Types:  # noqa: N802
        self._generators(node.generators)
        self.type(node.key)
        self.type(node.value)
        return NONE

    def _generators(self, generators: list[ast.comprehension]) -> None:
        for each in generators:
            self._target(each.target, self._elements(self.type(each.iter)))
            for condition in each.ifs:
                self.type(condition)

    def _Attribute(self, node: ast.Attribute) -> Types:  # noqa: N802
        owners = self.type(node.value)
        if not owners and isinstance(node.value, ast.Name):
            # A module of ours: bindings.logger, or a class in it.
            if f"{node.value.id}:{node.attr}" in self.program.functions:
                return frozenset({f"fn:{node.value.id}:{node.attr}"})
            return frozenset({f"class:{node.attr}"}) if node.attr in self.program.ours else NONE
        found = NONE
        for kind in owners:
            found |= self._member(node, kind, node.attr)
        return found

    def _member(self, node: ast.AST, kind: str, name: str) -> Types:
        what, _, qualname = kind.partition(":")
        if kind == "api":
            method = f"Api.{name}"
            return frozenset({"module"}) if name == "module" else frozenset({f"fn:{method}"} & self._ours(method))
        if what == "inst":
            method = f"{qualname}.{name}"
            return self.program.attributes[qualname, name] | self._ours(method)
        if what not in ("module", "type", "obj"):
            return NONE
        found = self.program.member(kind, name)
        path = f"{qualname}.{name}" if qualname else name
        if found is None:
            self._wrong(node, f"{path} does not exist")
            return NONE
        self.program.usage.used.add(path)
        return found

    def _ours(self, method: str) -> Types:
        """A method of ours, reached by being named; a property's type is that of its result."""
        if method not in self.program.functions:
            return NONE
        node = self.program.functions[method][2]
        if any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list):
            self.program.reached.add(method)
            return self.program.results[method]
        return frozenset({f"fn:{method}"})

    def _Call(self, node: ast.Call) -> Types:  # noqa: N802
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            return self._getattr(node)
        found = NONE
        for kind in self.type(node.func):
            what, _, name = kind.partition(":")
            if what == "type":
                self._check_call(node, f"{name}.__init__", 1)
                found |= frozenset({f"obj:{name}"})
            elif what == "call":
                signatures = self._check_call(node, name, int("." in name))
                found |= frozenset().union(*(self._result(text) for text in signatures))
            elif what == "fn":
                found |= self._enter(node, name)
            elif what == "class":
                self._enter(node, f"{name}.__init__")
                found |= frozenset({f"inst:{name}"})
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            for kind in self.type(argument):
                if kind.startswith("fn:"):
                    self.program.reached.add(kind[3:])
        return found

    def _result(self, signature: str) -> Types:
        try:
            return self.program.named(fake_trt.parse(signature).result)
        except SyntaxError:
            return NONE

    def _check_call(self, node: ast.Call, path: str, bound: int) -> list[str]:
        """The overloads that take so many arguments and these keywords."""
        if any(isinstance(each, ast.Starred) for each in node.args):
            return self.program.signatures(path)
        signatures = self.program.signatures(path)
        fitting = [text for text in signatures if fits(node, text, bound)]
        if not fitting:
            self._wrong(node, f"{path} takes {signatures}")
        return fitting

    def _enter(self, node: ast.Call, name: str) -> Types:
        """A call of ours: the callee is reached, and its parameters are what is given."""
        if name not in self.program.functions:
            return NONE
        self.program.reached.add(name)
        parameters = [each.arg for each in self.program.functions[name][2].args.args]
        if self.program.functions[name][1]:
            parameters = parameters[1:]
        given = dict(zip(parameters, node.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        for parameter, value in given.items():
            self.program.parameters[name, parameter] |= self.type(value)
        return self.program.results[name]

    def _getattr(self, node: ast.Call) -> Types:
        """``getattr(trt.BuilderFlag, name)``: a constant is checked; of a computed name, what it can be."""
        found = NONE
        if self.name == "Api.has":
            return found  # the probe itself
        for kind in self.type(node.args[0]):
            if isinstance(node.args[1], ast.Constant):
                found |= self._member(node, kind, str(node.args[1].value))
                continue
            first = node.args[1].values[0] if isinstance(node.args[1], ast.JoinedStr) else None
            if isinstance(first, ast.Constant):
                members = self.program.classes[kind.removeprefix("type:")]["members"]
                if not any(str(member).startswith(str(first.value)) for member in members):
                    self._wrong(node, f"no member of {kind} begins with {first.value}")
                continue
            for name in self._constants():
                found |= self._member(node, kind, name)
        return found

    def _constants(self) -> set[str]:
        """The names in capitals that the functions of this module hold, as far as this version reaches them."""
        tree = self.program.trees[self.module]
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        tables = {each.id: node.value for node in assigned for each in node.targets if isinstance(each, ast.Name)}
        found: set[str] = set()
        for name in self.program.reached:
            module, _, node = self.program.functions[name]
            if module == self.module:
                used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                for tree in [node, *(tables[name] for name in used & set(tables))]:
                    found |= set(capitals(tree))
        return found

    def _wrong(self, node: ast.AST, what: str) -> None:
        self.program.usage.wrong.append(f"{self.module}.py:{getattr(node, 'lineno', '?')}: {what}")
